"""Large pictures made small enough to look at, without ever holding them whole."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
from jaxtyping import Shaped

from maskwright.data import PictureWindows

if TYPE_CHECKING:
    from maskwright.structures import Instances, Size

__all__ = ["LARGEST_OVERLAY", "overlay_factor", "shrink_instances", "shrink_picture"]

LARGEST_OVERLAY = 64_000_000
"""Pixels up to which an overlay has the size of its picture: 200 MB while it is drawn, and about
what viewers of pictures open without complaint."""

_BAND = 256
"""Rows of the small picture that are made at a time."""


def overlay_factor(image_size: Size) -> int:
    """Return by how much a picture's sides are divided so that its overlay is not too large.

    >>> overlay_factor((4000, 6000)), overlay_factor((20_000, 20_000))
    (1, 3)
    """
    height, width = image_size
    return max(1, math.ceil(math.sqrt(height * width / LARGEST_OVERLAY)))


def shrink_picture(windows: PictureWindows, factor: int) -> Shaped[np.ndarray, "_ _ c"]:
    """Return the picture with its sides divided, rounded up; a pixel is the mean of its square.

    Of more than three channels, the first three, which are those that are shown.
    """
    height, width = windows.image_size
    first = windows.read((0, 0, 1, 1))
    small = np.empty(
        (-(-height // factor), -(-width // factor), min(first.shape[2], 3)), first.dtype
    )
    for y in range(0, len(small), _BAND):
        rows = small[y : y + _BAND]
        top, bottom = y * factor, min((y + len(rows)) * factor, height)
        band = windows.read((0, top, width, bottom))[:, :, :3]
        # Squares that reach beyond the picture are filled with its last pixels.
        below, beside = len(rows) * factor - len(band), small.shape[1] * factor - width
        band = cv2.copyMakeBorder(band, 0, below, 0, beside, cv2.BORDER_REPLICATE)
        shrunk = cv2.resize(band, rows.shape[1::-1], interpolation=cv2.INTER_AREA)
        rows[:] = shrunk.reshape(rows.shape)  # OpenCV drops a single channel
    return small


def shrink_instances(instances: Instances, factor: int) -> Instances:
    """Return the objects in the frame of the picture that `shrink_picture` makes."""
    height, width = instances.image_size
    size = (-(-height // factor), -(-width // factor))
    masks = instances.masks
    if masks is not None:
        masks = masks.warp_affine([[1 / factor, 0, 0], [0, 1 / factor, 0]], size)
    return replace(
        instances, image_size=size, boxes=instances.boxes / factor, masks=masks, source=None
    )
