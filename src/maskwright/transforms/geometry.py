"""Maps of pictures and masks, composed before anything is resampled.

A map is a homography, a (3, 3) float64 matrix that takes homogeneous points (x, y, 1) of the
source picture to the target picture. Points are in pixels with pixel (row i, column j) covering
[j, j + 1) x [i, i + 1), so the centre of the first pixel is (0.5, 0.5) and mirroring a picture of
width w is x -> w - x. Maps compose by `@`, the last one on the left.

OpenCV puts the centre of the first pixel at (0, 0): `warp_image` shifts by half a pixel.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64, Shaped, UInt8

from maskwright.structures import Instances, Size

__all__ = [
    "FILL",
    "blank",
    "flip_horizontal",
    "flip_vertical",
    "move_corners",
    "paint",
    "rotate",
    "scale",
    "translate",
    "warp_image",
    "warp_instances",
]

Matrix = Float64[np.ndarray, "3 3"]

Fill = tuple[float, ...]
"""A value per channel."""

FILL = (124, 116, 104)
"""Colour (RGB) of what lies outside the source: the mean of ImageNet, so 0 once normalised."""


def translate(x: float, y: float) -> Matrix:
    """Move right by `x` and down by `y` pixels."""
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], np.float64)


def scale(x: float, y: float) -> Matrix:
    """Stretch about the top left corner."""
    return np.diag([x, y, 1.0])


def flip_horizontal(width: int) -> Matrix:
    """Swap left and right of a picture of this width."""
    return np.array([[-1, 0, width], [0, 1, 0], [0, 0, 1]], np.float64)


def flip_vertical(height: int) -> Matrix:
    """Swap top and bottom of a picture of this height."""
    return np.array([[1, 0, 0], [0, -1, height], [0, 0, 1]], np.float64)


def rotate(degrees: float, centre: tuple[float, float]) -> Matrix:
    """Turn counter-clockwise, as seen on the screen, about the point (x, y)."""
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    turn = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]], np.float64)
    about: np.ndarray = translate(*centre) @ turn @ translate(-centre[0], -centre[1])
    return about


def move_corners(size: Size, shifts: Float64[np.ndarray, "4 2"]) -> Matrix:
    """Move the corners of a picture: top left, top right, bottom right, bottom left.

    Args:
        size: (height, width) of the picture.
        shifts: (x, y) of each corner in pixels; by less than half a side each, no corner comes
            to lie between the others, and all of the picture stays before the horizon.
    """
    height, width = size
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
    rows, wanted = [], []
    for (x, y), (u, v) in zip(corners, corners + shifts, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        wanted += [u, v]
    return np.append(np.linalg.solve(np.array(rows), wanted), 1.0).reshape(3, 3)


def blank(image_size: Size, fill: Fill, like: np.ndarray) -> np.ndarray:
    """A picture of one colour, with the type and the channels of another."""
    canvas = np.empty((*image_size, like.shape[2]), like.dtype)
    paint(canvas, (0, 0, image_size[1], image_size[0]), fill)
    return canvas


def paint(image: np.ndarray, box: tuple[int, int, int, int], fill: Fill) -> None:
    """Give a box (xyxy, whole pixels, not empty) of a picture one colour, in place."""
    x1, y1, x2, y2 = box
    if image.shape[2] > 4:
        image[y1:y2, x1:x2] = fill
        return
    # Ten times quicker, and it knows at most four channels.
    cv2.rectangle(image, (x1, y1), (x2 - 1, y2 - 1), fill, cv2.FILLED)


def warp_image(
    image: Shaped[np.ndarray, "h w c"],
    matrix: Matrix,
    image_size: Size,
    *,
    fill: Fill = FILL,
) -> Shaped[np.ndarray, "H W c"]:
    """Resample a picture once, bilinearly, without antialiasing.

    Prediction resizes bilinearly without antialiasing too, so a network meets the same aliasing
    in training. Target pixels whose centre falls outside the source get `fill`; inside, values
    near the border are those of the border pixels, never mixed with `fill`.

    Args:
        image: The source picture; uint8, uint16 or float32.
        matrix: Source to target; invertible.
        image_size: (height, width) of the target.
        fill: Values outside the source, one per channel.
    """
    height, width = image_size
    if (whole := _resize_whole(image, matrix, image_size)) is not None:
        return whole
    target_to_source = translate(-0.5, -0.5) @ np.linalg.inv(matrix) @ translate(0.5, 0.5)
    is_affine = _is_affine(matrix)
    warp = cv2.warpAffine if is_affine else cv2.warpPerspective
    parts = [
        warp(
            part,
            target_to_source[:2] if is_affine else target_to_source,
            (width, height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        ).reshape(height, width, part.shape[2])
        for part in _threes(image)
    ]
    warped: np.ndarray = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)
    _fill_outside(warped, *_inside(matrix, image.shape[:2], image_size), fill)
    return warped


def warp_instances(
    targets: Instances, matrix: Matrix, image_size: Size, *, ignore_below: float = 0.0
) -> Instances:
    """Carry true objects along with their picture.

    Masks are resampled by the nearest pixel centre, boxes are read off them, and objects of
    which no pixel is left are dropped. Crowds are carried like any object.

    Args:
        targets: Objects with masks, in the source's frame.
        matrix: Source to target.
        image_size: (height, width) of the target.
        ignore_below: Objects become crowds, so that nothing about them counts, where less than
            this share of their area is left in the target.

    Raises:
        ValueError: The objects have no masks.
    """
    if targets.masks is None:
        raise ValueError("objects must have masks to be warped, got boxes alone")
    if _is_affine(matrix):
        masks = targets.masks.warp_affine(matrix[:2], image_size)
    else:
        masks = targets.masks.warp_perspective(matrix, image_size)
    kept = np.flatnonzero(masks.area > 0)
    if len(kept) < len(masks):
        masks = masks[kept]
    order = torch.from_numpy(kept)
    is_crowd = None if targets.is_crowd is None else targets.is_crowd[order]
    if ignore_below > 0:
        whole = targets.masks.area * _magnification(matrix, targets.masks.boxes)
        is_sliver = torch.from_numpy(masks.area < ignore_below * whole[kept])
        is_crowd = is_sliver if is_crowd is None else is_crowd | is_sliver
    return replace(
        targets,
        image_size=image_size,
        boxes=torch.from_numpy(masks.boxes),
        labels=targets.labels[order],
        scores=None if targets.scores is None else targets.scores[order],
        masks=masks,
        is_crowd=is_crowd,
    )


def _threes(image: Shaped[np.ndarray, "h w c"]) -> list[np.ndarray]:
    """Return the picture in parts of three channels or one.

    OpenCV 5 warps 1, 3 and 4 channels exactly and others by a coarse table (4 grey levels off).
    """
    channels = image.shape[2]
    if channels in (1, 3):
        return [image]
    whole = channels // 3 * 3
    threes = [image[:, :, c : c + 3] for c in range(0, whole, 3)]
    singles = [image[:, :, c : c + 1] for c in range(whole, channels)]
    return [np.ascontiguousarray(part) for part in threes + singles]


def _resize_whole(
    image: Shaped[np.ndarray, "h w c"], matrix: Matrix, image_size: Size
) -> Shaped[np.ndarray, "H W c"] | None:
    """Take the quicker way (3 times, measured) where the picture just fills the target.

    It may differ from the other way by one grey level. None where the map is another one.
    """
    height, width = image.shape[:2]
    if matrix[0, 1] or matrix[1, 0] or not _is_affine(matrix):
        return None
    corners = matrix[:2] @ np.array([[0, width], [0, height], [1, 1]])
    x1, y1, x2, y2 = corners.T.ravel()
    if not np.allclose(np.sort([[x1, x2], [y1, y2]]), [[0, image_size[1]], [0, image_size[0]]]):
        return None
    resized: np.ndarray = image
    if (height, width) != image_size:
        resized = cv2.resize(image, image_size[::-1], interpolation=cv2.INTER_LINEAR)
    # -1 for both axes, 1 for left and right, 0 for top and bottom.
    flips = {(True, True): -1, (True, False): 1, (False, True): 0}.get((x1 > x2, y1 > y2))
    if flips is not None:
        resized = cv2.flip(resized, flips)
    if resized is image:
        return image.copy()
    return resized.reshape(*image_size, image.shape[2])  # OpenCV drops a single channel


def _magnification(matrix: Matrix, boxes: Float32[np.ndarray, "n 4"]) -> Float64[np.ndarray, " n"]:
    """Return by how much areas grow at the middle of each box."""
    centres = (boxes[:, :2] + boxes[:, 2:]).astype(np.float64) / 2
    depths = centres @ matrix[2, :2] + matrix[2, 2]
    factors: np.ndarray = np.abs(np.linalg.det(matrix) / depths**3)
    return factors


def _is_affine(matrix: Matrix) -> bool:
    return bool(matrix[2].tolist() == [0, 0, 1])


def _fill_outside(
    image: UInt8[np.ndarray, "H W 3"],
    starts: Int64[np.ndarray, " H"],
    stops: Int64[np.ndarray, " H"],
    fill: Fill,
) -> None:
    """Paint, in place, what lies left of `starts` and right of `stops` in each row."""
    height, width = image.shape[:2]
    if not starts.any() and (stops == width).all():
        return
    # Rows that are alike, which is all but a few where nothing turns, are painted at once.
    changes = np.flatnonzero((np.diff(starts) != 0) | (np.diff(stops) != 0)) + 1
    tops = np.concatenate([[0], changes]).tolist()
    bottoms = np.concatenate([changes, [height]]).tolist()
    for top, bottom in zip(tops, bottoms, strict=True):
        start, stop = int(starts[top]), int(stops[top])
        if start:
            paint(image, (0, top, start, bottom), fill)
        if stop < width:
            paint(image, (stop, top, width, bottom), fill)


def _inside(
    matrix: Matrix, source_size: Size, target_size: Size
) -> tuple[Int64[np.ndarray, " H"], Int64[np.ndarray, " H"]]:
    """Return for each target row the columns [start, stop) with centres inside the source."""
    inverse = np.linalg.inv(matrix)
    y = np.arange(target_size[0]) + 0.5
    low, high = np.full(len(y), -np.inf), np.full(len(y), np.inf)
    # The third coordinate, positive wherever the source can be seen from.
    depth_slope, depth = inverse[2, 0], inverse[2, 1] * y + inverse[2, 2]
    for (slope, across, offset), extent in zip(inverse[:2], source_size[::-1], strict=True):
        # 0 <= (slope * x + rest) / (depth_slope * x + depth) < extent, as two bounds
        rest = across * y + offset
        for bound_slope, bound_rest, beyond in (
            (slope, rest, rest < 0),
            (extent * depth_slope - slope, extent * depth - rest, rest >= extent * depth),
        ):
            # bound_slope * x + bound_rest must be positive
            if abs(bound_slope) < 1e-12:
                low[beyond] = np.inf
            elif bound_slope > 0:
                low = np.maximum(low, -bound_rest / bound_slope)
            else:
                high = np.minimum(high, -bound_rest / bound_slope)
    # A billionth of a pixel, so that rounding does not cut the border of an exact fit.
    starts = np.clip(np.ceil(low - 0.5 - 1e-9), 0, target_size[1])
    stops = np.clip(np.ceil(high - 0.5 - 1e-9), starts, target_size[1])
    return starts.astype(np.int64), stops.astype(np.int64)
