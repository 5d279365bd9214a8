"""Pictures to a batch and a batch to what a backbone reads: the same for every model.

Shapes: b pictures, (h, w) of one picture, (H, W) of the padded batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from maskwright.errors import ImageError
from maskwright.structures import Batch, Instances, Size

__all__ = [
    "batch_to_device",
    "collate_pictures",
    "evaluating",
    "normalise_pixels",
]


def collate_pictures(
    images: Sequence[UInt8[np.ndarray, "_ _ 3"]],
    *,
    size_of: Callable[[Size], Size],
    size_multiple: int,
    device: torch.device,
) -> Batch:
    """Resize RGB pictures, bilinearly, and pad them to one batch.

    Args:
        images: Their sizes may differ.
        size_of: The network's size of a picture of that size.
        size_multiple: The batch is padded to a multiple of this.
        device: Where the batch is made.

    Raises:
        ImageError: Not (h, w, 3) uint8, or without pixels.
        ValueError: No pictures.
    """
    if not len(images):
        raise ValueError("a batch needs at least one picture")
    resized = [_resize(image, size_of, device) for image in images]
    sizes = tuple((each.shape[1], each.shape[2]) for each in resized)
    height, width = (
        math.ceil(max(side) / size_multiple) * size_multiple for side in zip(*sizes, strict=True)
    )
    padded = torch.zeros((len(images), 3, height, width), device=device)
    for place, picture in zip(padded, resized, strict=True):
        place[:, : picture.shape[1], : picture.shape[2]] = picture
    return Batch(
        images=padded,
        image_sizes=sizes,
        original_sizes=tuple((image.shape[0], image.shape[1]) for image in images),
    )


def normalise_pixels(
    batch: Batch, mean: Float[Tensor, "3 1 1"], std: Float[Tensor, "3 1 1"]
) -> Float[Tensor, "b 3 H W"]:
    """Return normalised pixels; the padding is zero afterwards, in every channel."""
    images = (batch.images.float() - mean) / std
    # by index: autograd refuses writing into what iterating over a tensor gives
    for i, (height, width) in enumerate(batch.image_sizes):
        images[i, :, height:] = 0.0
        images[i, :, :, width:] = 0.0
    return images


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put every module in evaluation mode, and back in training those that were."""
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


def batch_to_device(batch: Batch, device: torch.device) -> Batch:
    """Return the batch with pictures and targets on the device; masks stay where they are."""
    targets = batch.targets
    if targets is not None:
        targets = tuple(_target_to_device(target, device) for target in targets)
    return replace(batch, images=batch.images.to(device, non_blocking=True), targets=targets)


def _resize(
    image: UInt8[np.ndarray, "h w 3"], size_of: Callable[[Size], Size], device: torch.device
) -> Float[Tensor, "3 _ _"]:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ImageError(
            f"a picture must be (h, w, 3) uint8 RGB, got {image.shape} {image.dtype}: "
            "read it with maskwright.data.read_image"
        )
    size = size_of((image.shape[0], image.shape[1]))
    # a copy: torch takes neither read-only arrays nor mirrored ones
    pixels = torch.from_numpy(image.copy()).to(device)
    channels_first = pixels.permute(2, 0, 1)[None].float()
    return F.interpolate(channels_first, size=size, mode="bilinear", align_corners=False)[0]


def _target_to_device(target: Instances, device: torch.device) -> Instances:
    return replace(
        target,
        boxes=target.boxes.to(device),
        labels=target.labels.to(device),
        is_crowd=None if target.is_crowd is None else target.is_crowd.to(device),
    )
