"""Objects drawn over their picture: fill, outline, and a label where there is room for one.

Shapes: n objects, (h, w) size of the picture. Each object is painted through its own tight bitmap,
so memory follows the largest object and never n x h x w.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import cv2
import numpy as np
from jaxtyping import Float, Shaped, UInt8

from maskwright.data import (
    ArrayWindows,
    PictureWindows,
    PixelFormat,
    look_at_picture,
    open_windows,
    read_picture,
    save_image,
)
from maskwright.draw.colours import distinct_colours
from maskwright.draw.display import displayed
from maskwright.draw.labels import draw_labels
from maskwright.draw.shrinking import overlay_factor, shrink_instances, shrink_picture
from maskwright.errors import ImageError

if TYPE_CHECKING:
    from maskwright.structures import Instances

__all__ = ["line_thickness", "overlay", "overlay_of_windows", "paint_mask", "save_overlay"]


def overlay(
    image: Shaped[np.ndarray, "h w c"] | Shaped[np.ndarray, "h w"],
    instances: Instances,
    *,
    opacity: float = 0.4,
    boxes: bool = False,
    labels: bool | None = None,
    colours: UInt8[np.ndarray, "n 3"] | None = None,
) -> UInt8[np.ndarray, "h w 3"]:
    """Return a copy of `image` with every object painted in a colour of its own.

    Large objects are painted first, so that small ones on them stay visible. Objects without
    masks are drawn as boxes. No objects give a plain RGB copy.

    Args:
        image: The picture, RGB or grey; of other formats as `displayed` shows them.
        instances: Its objects, in the same frame; all are drawn, whatever their scores.
        opacity: Of the fill, 0 (outline only) to 1.
        boxes: Draw the boxes as well.
        labels: Write class and score: True every one, False none, None those that fit without
            covering each other or much of the picture, and none in a crowd of small objects.
        colours: RGB by object; None gives `distinct_colours`.

    Raises:
        ImageError: The picture is not (h, w, c) or (h, w), or of another size than the objects'
            frame.
    """
    canvas = _canvas(image, instances)
    height, width = canvas.shape[:2]
    if colours is None:
        colours = distinct_colours(len(instances))
    thickness = line_thickness(height, width)
    corners = instances.boxes.detach().cpu().numpy()
    if instances.masks is not None:
        for i in np.argsort(-instances.masks.area, kind="stable").tolist():
            bitmap, corner = instances.masks.bitmap(i)
            paint_mask(canvas, bitmap, corner, colours[i], opacity, thickness)
    if boxes or instances.masks is None:
        for box, colour in zip(corners, colours, strict=True):
            _frame(canvas, box, colour, thickness)
    if labels is not False:
        draw_labels(canvas, instances, colours, every_one=bool(labels))
    return canvas


def overlay_of_windows(windows: PictureWindows, instances: Instances) -> UInt8[np.ndarray, "_ _ 3"]:
    """Return `overlay` of a picture of any size, smaller by `overlay_factor` where it is large.

    Raises:
        ImageError: The picture is of another size than the objects' frame, or cannot be read.
    """
    height, width = windows.image_size
    factor = overlay_factor(windows.image_size)
    if factor == 1:
        return overlay(windows.read((0, 0, width, height)), instances)
    return overlay(shrink_picture(windows, factor), shrink_instances(instances, factor))


def save_overlay(
    path: str | os.PathLike[str],
    instances: Instances,
    image: Shaped[np.ndarray, "h w c"] | None = None,
    *,
    min_score: float = 0.5,
) -> None:
    """Draw `instances` over their picture and save it atomically; see `Instances.save_overlay`.

    Raises:
        ImageError: No `image` was given and the objects do not know theirs.
    """
    if instances.scores is not None:
        instances = instances[(instances.scores >= min_score).nonzero().flatten()]
    with _source_windows(instances) if image is None else ArrayWindows(image) as windows:
        save_image(path, overlay_of_windows(windows, instances))


def line_thickness(height: int, width: int) -> int:
    """Return the width of outlines in pixels: 1 on small pictures, 2 on a photo, 6 at 24 MP."""
    return max(1, round(float(np.sqrt(height * width)) / 400))


def paint_mask(
    canvas: UInt8[np.ndarray, "h w 3"],
    bitmap: UInt8[np.ndarray, "bh bw"],
    corner: tuple[int, int],
    colour: UInt8[np.ndarray, " 3"],
    opacity: float,
    thickness: int,
) -> None:
    """Blend one object's fill into `canvas` and draw its outline on the object's own pixels.

    Args:
        canvas: The picture, changed in place.
        bitmap: 1 where the object is.
        corner: (x, y) of the bitmap's first pixel in the picture.
        colour: RGB.
        opacity: Of the fill.
        thickness: Of the outline, in pixels.
    """
    if bitmap.size == 0:
        return
    x, y = corner
    height, width = bitmap.shape
    window = canvas[y : y + height, x : x + width]
    fill = np.broadcast_to(colour, window.shape).copy()
    cv2.copyTo(cv2.addWeighted(window, 1 - opacity, fill, opacity, 0), bitmap, window)
    kernel = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    # A border of background, or an object that fills its bitmap would have no outline.
    padded = cv2.copyMakeBorder(bitmap, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    core = cv2.erode(padded, kernel, iterations=thickness)[1:-1, 1:-1]
    cv2.copyTo(fill, bitmap - core, window)


def _canvas(image: np.ndarray, instances: Instances) -> UInt8[np.ndarray, "h w 3"]:
    """A contiguous RGB copy of `image`, checked."""
    shown = displayed(image)
    if image.shape[:2] != tuple(instances.image_size):
        raise ImageError(
            f"the objects are of a picture of {instances.image_size} (height, width), "
            f"this one is {image.shape[:2]}"
        )
    return np.array(shown, order="C")


def _frame(
    canvas: UInt8[np.ndarray, "h w 3"],
    box: Float[np.ndarray, " 4"],
    colour: UInt8[np.ndarray, " 3"],
    thickness: int,
) -> None:
    """Draw a box just inside its exclusive ends, clipped to the picture."""
    height, width = canvas.shape[:2]
    x1, y1 = np.clip(np.floor(box[:2]), 0, [width - 1, height - 1]).astype(int).tolist()
    x2, y2 = np.clip(np.ceil(box[2:]) - 1, 0, [width - 1, height - 1]).astype(int).tolist()
    cv2.rectangle(canvas, (x1, y1), (x2, y2), colour.tolist(), thickness)


def _source_windows(instances: Instances) -> PictureWindows:
    """The picture that `instances` are of, opened again where only its file is known.

    What RGB of 8 bits does not hold is read as stored, and stretched when it is drawn.
    """
    if instances.source is None:
        raise ImageError(
            "these objects do not know their picture: save_overlay(path, image) with its pixels"
        )
    if isinstance(instances.source, np.ndarray):
        return ArrayWindows(instances.source)
    stored = look_at_picture(instances.source)
    pixels = None if stored.is_8_bit_colour else PixelFormat.unscaled(stored)
    if overlay_factor(instances.image_size) > 1:
        return open_windows(instances.source, pixels)
    image = read_picture(instances.source, pixels, expected_size=instances.image_size)
    return ArrayWindows(image)
