"""Small pictures of single objects in their surroundings, for pages that show many of them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float64, UInt8

from maskwright.draw.overlay import paint_mask
from maskwright.masks import Masks

__all__ = ["object_thumbnail", "picture_thumbnail"]

_LEAST_WINDOW = 48  # pixels of the picture: smaller objects are shown with this much around them
_MARGIN = 0.4  # of the object's longer side, on every side
_MOST_ENLARGED = 8
_OUTLINE = np.array([255, 59, 130], np.uint8)  # pink: rare in nature and on stained tissue
_BOX = (0, 190, 255)
_OPACITY = 0.25
_SEEN = 6  # pixels of the thumbnail: smaller polygons are circled


def picture_thumbnail(image: UInt8[np.ndarray, "h w 3"], side: int) -> UInt8[np.ndarray, "_ _ 3"]:
    """Return a picture with its longer side scaled to `side`; small ones grow eightfold at most."""
    return cv2.resize(image, _scaled_size(image, side), interpolation=_interpolation(image, side))


def object_thumbnail(
    image: UInt8[np.ndarray, "h w 3"],
    masks: Masks,
    *,
    side: int,
    rings: Sequence[Float64[np.ndarray, "p 2"]] = (),
    boxes: Float64[np.ndarray, "b 4"] | None = None,
) -> UInt8[np.ndarray, "_ _ 3"]:
    """Return the part of a picture around objects, with the objects marked.

    Args:
        image: The whole picture.
        masks: Objects in its frame, filled and outlined; empty ones are not seen.
        side: Longer side of the thumbnail in pixels.
        rings: Polygons as drawn, as lines: they show crossings and what covers no pixel.
        boxes: Stated boxes, xyxy, as frames.
    """
    around = [masks.boxes[masks.area > 0].astype(np.float64), *_boxes_of(rings)]
    if boxes is not None:
        around.append(boxes)
    left, top, right, bottom = _window(np.concatenate(around), image.shape[:2])
    canvas = np.ascontiguousarray(image[top:bottom, left:right])
    inside = masks.crop((left, top, right, bottom))
    scale = _scaled_size(canvas, side)[0] / canvas.shape[1]
    canvas = picture_thumbnail(canvas, side).copy()
    for k in range(len(inside)):
        bitmap, (x, y) = inside.bitmap(k)
        _paint(canvas, bitmap, (x, y), scale)
    for ring in rings:
        points = np.rint((ring - (left, top)) * scale * 8).astype(np.int32)
        cv2.polylines(canvas, [points], True, _OUTLINE.tolist(), 1, cv2.LINE_AA, 3)
        if np.ptp(points, axis=0).max() < 8 * _SEEN:  # a dot: circled, or nobody finds it
            centre = (points.mean(axis=0) / 8).round().astype(int).tolist()
            cv2.circle(canvas, centre, 2 * _SEEN, _OUTLINE.tolist(), 2, cv2.LINE_AA)
    for x1, y1, x2, y2 in (boxes if boxes is not None else np.empty((0, 4))).tolist():
        start = (round((x1 - left) * scale), round((y1 - top) * scale))
        end = (round((x2 - left) * scale) - 1, round((y2 - top) * scale) - 1)
        cv2.rectangle(canvas, start, end, _BOX, 2)
    return canvas


def _paint(
    canvas: UInt8[np.ndarray, "h w 3"],
    bitmap: UInt8[np.ndarray, "bh bw"],
    corner: tuple[int, int],
    scale: float,
) -> None:
    """Paint one object of the window onto the scaled canvas."""
    if not bitmap.size:
        return
    x1, y1 = (int(value * scale) for value in corner)
    width = min(max(1, round(bitmap.shape[1] * scale)), canvas.shape[1] - x1)
    height = min(max(1, round(bitmap.shape[0] * scale)), canvas.shape[0] - y1)
    if width < 1 or height < 1:
        return
    scaled = cv2.resize(bitmap, (width, height), interpolation=cv2.INTER_NEAREST)
    paint_mask(canvas, scaled, (x1, y1), _OUTLINE, _OPACITY, 2)


def _boxes_of(rings: Sequence[Float64[np.ndarray, "p 2"]]) -> list[Float64[np.ndarray, "1 4"]]:
    return [np.concatenate([ring.min(axis=0), ring.max(axis=0)])[None] for ring in rings]


def _window(boxes: Float64[np.ndarray, "b 4"], size: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Return the window to show: around all boxes, inside the picture; all of it without boxes."""
    height, width = size
    if not len(boxes):
        return 0, 0, width, height
    low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    half = max((high - low).max() * (0.5 + _MARGIN), _LEAST_WINDOW / 2)
    # An object beyond the edge is looked for at the nearest place inside.
    centre = np.clip((low + high) / 2, 0, (width, height))
    left, top = np.maximum(centre - half, 0).astype(int).tolist()
    right, bottom = np.minimum(np.ceil(centre + half), (width, height)).astype(int).tolist()
    return left, top, max(right, left + 1), max(bottom, top + 1)


def _scaled_size(image: np.ndarray, side: int) -> tuple[int, int]:
    """Return (width, height) of the thumbnail."""
    height, width = image.shape[:2]
    scale = min(side / max(height, width), _MOST_ENLARGED)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _interpolation(image: np.ndarray, side: int) -> int:
    return int(cv2.INTER_AREA if max(image.shape[:2]) > side else cv2.INTER_NEAREST)
