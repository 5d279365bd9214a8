"""The way in for transforms of other libraries: new pixels and masks for a sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from maskwright.errors import ConfigError
from maskwright.masks import Masks
from maskwright.structures import Sample

__all__ = ["Transform", "with_pixels"]

Transform = Callable[[Sample, np.random.Generator], Sample]
"""What makes a sample of the dataset into one of a batch; randomness from the generator only."""


def with_pixels(sample: Sample, image: Any, masks: Sequence[Any] | Any) -> Sample:
    """Return the sample with a new picture and, object by object, new masks.

    Labels and crowds stay with their masks and boxes are read off them. Objects whose mask is
    empty have left the picture and drop.

    Args:
        sample: The sample as it was.
        image: (h, w, c), with the channels and the type of the sample's.
        masks: One (h, w) mask per object of the sample, in their order, or an (n, h, w) array.

    Raises:
        ConfigError: Another number of masks than objects, so that nobody knows which is which,
            or a picture or masks of another shape.

    >>> import maskwright as mw
    >>> masks = mw.Masks.from_boxes([[0, 0, 2, 1]], (2, 3))
    >>> targets = mw.Instances(
    ...     image_size=(2, 3), boxes=torch.tensor([[0.0, 0, 2, 1]]), labels=torch.tensor([4]),
    ...     masks=masks)
    >>> sample = Sample(
    ...     image=np.zeros((2, 3, 3), np.uint8), targets=targets, image_id=1, name="a.png")
    >>> mirrored = with_pixels(sample, sample.image[:, ::-1], masks.to_dense()[:, :, ::-1])
    >>> mirrored.targets.boxes.tolist(), mirrored.targets.labels.tolist()
    ([[1.0, 0.0, 3.0, 1.0]], [4])
    """
    picture = np.ascontiguousarray(image)
    channels, values = sample.image.shape[2], sample.image.dtype
    if picture.dtype != values or picture.ndim != 3 or picture.shape[2] != channels:
        raise ConfigError(
            f"{sample.name}: the new picture must be (h, w, {channels}) {values}, as it was, "
            f"got {picture.shape} {picture.dtype}"
        )
    if len(masks) != len(sample.targets):
        raise ConfigError(
            f"{sample.name}: {len(masks)} masks came back for {len(sample.targets)} objects; "
            "give one per object, in their order, and an empty mask for one that left the picture"
        )
    size = (picture.shape[0], picture.shape[1])
    parts = [np.asarray(mask) for mask in masks]
    for number, part in enumerate(parts):
        if part.shape != size:
            raise ConfigError(
                f"{sample.name}: mask {number} is {part.shape}, the new picture is {size}"
            )
    changed = Masks.from_bitmaps([(part, (0, 0)) for part in parts], size)
    kept = np.flatnonzero(changed.area > 0)
    changed = changed[kept]
    targets = replace(
        sample.targets[kept],
        image_size=size,
        masks=changed,
        boxes=torch.from_numpy(changed.boxes),
    )
    return replace(sample, image=picture, targets=targets)
