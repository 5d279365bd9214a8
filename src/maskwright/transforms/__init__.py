"""Pictures and masks, resized and augmented."""

from __future__ import annotations

from maskwright.transforms.augmentation import Augmentation, resize_sample
from maskwright.transforms.geometry import FILL, warp_image, warp_instances
from maskwright.transforms.photometric import shift_colours
from maskwright.transforms.resize import resized_size

__all__ = [
    "FILL",
    "Augmentation",
    "resize_sample",
    "resized_size",
    "shift_colours",
    "warp_image",
    "warp_instances",
]
