"""A class map drawn over its picture, with a legend of the class names below.

Shapes: k classes, (h, w) size of the picture. Classes are painted one by one through their own
bitmap, so memory follows the picture and not the number of classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Integer, Shaped, UInt8
from PIL import Image, ImageDraw

from maskwright.conversions import class_map_names
from maskwright.draw.colours import distinct_colours
from maskwright.draw.display import displayed
from maskwright.draw.labels import text_font, text_height
from maskwright.draw.overlay import line_thickness, paint_mask
from maskwright.errors import ImageError

__all__ = ["class_overlay"]

_PAPER = (255, 255, 255)
_INK = (40, 40, 40)


def class_overlay(
    image: Shaped[np.ndarray, "h w c"],
    class_map: Integer[np.ndarray, "h w"],
    class_names: Sequence[str],
    *,
    opacity: float = 0.45,
    legend: bool = True,
) -> UInt8[np.ndarray, "H W 3"]:
    """Return a copy of `image` with every class in its colour and the background as it is.

    A class has the same colour in every picture. The legend stands on a strip below the picture
    and hides nothing of it: the classes that are there with their share of the picture, largest
    first. It may make the result wider than a narrow picture; the picture is at the top left.

    Args:
        image: The picture, RGB; of other formats as `displayed` shows them.
        class_map: 0 background, i + 1 class i.
        class_names: By label, without the background.
        opacity: Of the fill, 0 (outline only) to 1.
        legend: Whether to add it.

    Raises:
        ImageError: The picture is not (h, w, c), or of another size than the class map.
    """
    shown = displayed(image)
    if image.shape[:2] != class_map.shape:
        raise ImageError(
            f"the class map is of a picture of {class_map.shape} (height, width), "
            f"this one is {image.shape[:2]}"
        )
    canvas = np.array(shown, order="C")
    colours = distinct_colours(len(class_names))
    pixels = np.bincount(class_map.ravel(), minlength=len(class_names) + 1)
    thickness = line_thickness(*class_map.shape)
    for label in np.flatnonzero(pixels[1:]).tolist():
        bitmap = (class_map == label + 1).astype(np.uint8)
        x, y, width, height = cv2.boundingRect(bitmap)
        tight = bitmap[y : y + height, x : x + width]
        paint_mask(canvas, tight, (x, y), colours[label], opacity, thickness)
    if not legend:
        return canvas
    return _with_legend(canvas, pixels, class_map_names(class_names), colours)


def _with_legend(
    canvas: UInt8[np.ndarray, "h w 3"],
    pixels: Integer[np.ndarray, " k+1"],
    names: Sequence[str],
    colours: UInt8[np.ndarray, "k 3"],
) -> UInt8[np.ndarray, "H W 3"]:
    """Add the strip below: a square in the class's colour, its name and its share, row by row."""
    size = text_height(*canvas.shape[:2])
    font, gap = text_font(size), max(2, size // 2)
    shown = [c for c in np.argsort(-pixels, kind="stable").tolist() if pixels[c]]
    texts = {c: f"{names[c]} {100 * pixels[c] / pixels.sum():.1f} %" for c in shown}
    widths = {c: size + gap // 2 + round(font.getlength(texts[c])) + 2 * gap for c in shown}
    width = max(canvas.shape[1], gap + max(widths.values()))
    places, x, y, line = {}, gap, gap // 2, size + gap
    for c in shown:
        if x > gap and x + widths[c] > width:
            x, y = gap, y + line
        places[c] = (x, y)
        x += widths[c]
    strip = Image.new("RGB", (width, y + line), _PAPER)
    pen = ImageDraw.Draw(strip)
    for c, (left, top) in places.items():
        square = (left, top + 1, left + size - 1, top + size)
        pen.rectangle(square, fill=tuple(colours[c - 1].tolist()) if c else None, outline=_INK)
        # the anchor "ls" is the baseline, so that names stand in line whatever their letters
        pen.text((left + size + gap // 2, top + size), texts[c], font=font, fill=_INK, anchor="ls")
    page = np.full((canvas.shape[0] + strip.height, width, 3), 255, np.uint8)
    page[: canvas.shape[0], : canvas.shape[1]] = canvas
    page[canvas.shape[0] :] = np.asarray(strip)
    return page
