"""Rectangles, ellipses and bitmaps of annotation tools as polygons and masks."""

from __future__ import annotations

import math

import numpy as np

from maskwright.masks import Masks

__all__ = ["ellipse_mask", "placed_bitmap", "rectangle_ring"]


def rectangle_ring(
    x1: float,
    y1: float,
    x2: float,
    y2: float,
    *,
    degrees: float = 0.0,
    about_corner: bool = False,
) -> list[float]:
    """Return a rectangle as a ring, turned clockwise about its centre or its first corner."""
    ring = np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], np.float64)
    if degrees:
        about = ring[0] if about_corner else ring.mean(axis=0)
        cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        ring = (ring - about) @ np.array([[cosine, sine], [-sine, cosine]]) + about
    flat: list[float] = ring.reshape(-1).tolist()
    return flat


def ellipse_mask(
    centre: tuple[float, float],
    radii: tuple[float, float],
    image_size: tuple[int, int],
    degrees: float = 0.0,
) -> Masks:
    """Return the pixels whose centre lies in an ellipse, turned clockwise, cut to the picture."""
    height, width = image_size
    reach = max(abs(radii[0]), abs(radii[1]))
    left, right = max(int(centre[0] - reach), 0), min(math.ceil(centre[0] + reach), width)
    top, bottom = max(int(centre[1] - reach), 0), min(math.ceil(centre[1] + reach), height)
    if right <= left or bottom <= top or not (radii[0] and radii[1]):
        return Masks.from_dense(np.zeros((1, height, width), bool))
    y, x = np.mgrid[top:bottom, left:right] + 0.5
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    along = (x - centre[0]) * cosine + (y - centre[1]) * sine
    across = (y - centre[1]) * cosine - (x - centre[0]) * sine
    inside = (along / radii[0]) ** 2 + (across / radii[1]) ** 2 <= 1
    return Masks.from_bitmaps([(inside, (left, top))], image_size)


def placed_bitmap(bitmap: np.ndarray, x: int, y: int, image_size: tuple[int, int]) -> Masks:
    """Return a bitmap whose first pixel lies at (x, y) as a mask, cut to the picture."""
    height, width = image_size
    left, top = max(-x, 0), max(-y, 0)
    cut = bitmap[top : max(height - y, 0), left : max(width - x, 0)]
    if not cut.size:
        return Masks.from_dense(np.zeros((1, height, width), bool))
    return Masks.from_bitmaps([(cut, (x + left, y + top))], image_size)
