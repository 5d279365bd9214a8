"""The one rule by which pictures are resized before a network, and the resize by itself."""

from __future__ import annotations

import math
from dataclasses import replace

from maskwright.structures import Sample, Size
from maskwright.transforms.geometry import scale, warp_image, warp_instances

__all__ = ["resize_sample", "resized_size"]


def resized_size(
    image_size: Size, *, short_side: int, long_side: int, fixed_size: Size | None = None
) -> Size:
    """Return the size that keeps the aspect and fits both bounds.

    The shorter side becomes `short_side` unless the longer one would pass `long_side`. Rule and
    rounding (down) are torchvision's GeneralizedRCNNTransform's, so that its detectors see
    pictures of the sizes they were trained on. Where rounding changes the aspect, the two axes are
    scaled by their own ratio of sizes. A side is at least 1.

    Args:
        image_size: (height, width) in pixels.
        short_side: Wanted length of the shorter side.
        long_side: Most that the longer side may have.
        fixed_size: The result whatever the picture, for networks that want one size; None for
            the rule above.

    >>> resized_size((480, 640), short_side=800, long_side=1333)
    (800, 1066)
    >>> resized_size((100, 1000), short_side=800, long_side=1333)
    (133, 1333)
    """
    if fixed_size is not None:
        return fixed_size
    height, width = image_size
    factor = min(short_side / min(height, width), long_side / max(height, width))
    return max(1, math.floor(height * factor)), max(1, math.floor(width * factor))


def resize_sample(
    sample: Sample, *, short_side: int, long_side: int, fixed_size: Size | None = None
) -> Sample:
    """Return the sample resized by the rule of `resized_size`, unchanged otherwise."""
    height, width = sample.targets.image_size
    size = resized_size(
        (height, width), short_side=short_side, long_side=long_side, fixed_size=fixed_size
    )
    if size == (height, width):
        return sample
    matrix = scale(size[1] / width, size[0] / height)
    return replace(
        sample,
        image=warp_image(sample.image, matrix, size),
        targets=warp_instances(sample.targets, matrix, size),
    )
