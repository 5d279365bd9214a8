"""The part of a picture about an object."""

from __future__ import annotations

import math

from maskwright.structures import Size

__all__ = ["window_around"]

_LEAST = 1
"""Pixels of surroundings on each side, however small the object."""


def window_around(
    box: tuple[float, float, float, float], image_size: Size, margin: float = 1.0
) -> tuple[int, int, int, int]:
    """Return a box with as much around it on each side as it is wide and high, whole pixels.

    Args:
        box: xyxy pixels; it may lie beyond the picture, but for a part.
        image_size: The window is cut at the picture's borders; it has a pixel at least.
        margin: Of the box's width and height, on each side.

    >>> window_around((20.0, 20.0, 30.0, 30.0), (35, 100))
    (10, 10, 40, 35)
    """
    height, width = image_size
    x1, y1, x2, y2 = box
    across, down = max(margin * (x2 - x1), _LEAST), max(margin * (y2 - y1), _LEAST)
    left = min(max(math.floor(x1 - across), 0), width - 1)
    top = min(max(math.floor(y1 - down), 0), height - 1)
    right = min(max(math.ceil(x2 + across), left + 1), width)
    bottom = min(max(math.ceil(y2 + down), top + 1), height)
    return left, top, right, bottom
