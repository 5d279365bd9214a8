"""Pictures and masks, resized and augmented."""

from __future__ import annotations

from maskwright.transforms.augmentation import Augmentation
from maskwright.transforms.cut_out import CutOut
from maskwright.transforms.degradations import JPEG, Blur, Noise
from maskwright.transforms.geometry import FILL, warp_image, warp_instances
from maskwright.transforms.lighting import Exposure, Veil
from maskwright.transforms.mixing import CopyPaste, MixUp, Mosaic, Partner
from maskwright.transforms.photometric import shift_colours
from maskwright.transforms.presets import AUGMENTATIONS, augmentation_named
from maskwright.transforms.resize import resize_sample, resized_size
from maskwright.transforms.user_transform import Transform, with_pixels

__all__ = [
    "AUGMENTATIONS",
    "FILL",
    "JPEG",
    "Augmentation",
    "Blur",
    "CopyPaste",
    "CutOut",
    "Exposure",
    "MixUp",
    "Mosaic",
    "Noise",
    "Partner",
    "Transform",
    "Veil",
    "augmentation_named",
    "resize_sample",
    "resized_size",
    "shift_colours",
    "warp_image",
    "warp_instances",
    "with_pixels",
]
