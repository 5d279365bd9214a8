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
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from maskwright.backbones import Backbone, adapt_stem
from maskwright.data import PixelFormat, check_pixels
from maskwright.errors import ImageError
from maskwright.structures import Batch, Instances, Size

__all__ = [
    "batch_to_device",
    "collate_pictures",
    "evaluating",
    "normalise_pixels",
    "prepare_pixels",
]


def collate_pictures(
    images: Sequence[Shaped[np.ndarray, "_ _ c"]],
    *,
    pixels: PixelFormat | None = None,
    size_of: Callable[[Size], Size],
    size_multiple: int,
    device: torch.device,
) -> Batch:
    """Resize pictures, bilinearly, and pad them to one batch.

    Args:
        images: Their sizes may differ.
        pixels: What they are; None is RGB of 8 bits.
        size_of: The network's size of a picture of that size.
        size_multiple: The batch is padded to a multiple of this.
        device: Where the batch is made.

    Raises:
        ImageError: A picture of another format than `pixels`, or without pixels.
        ValueError: No pictures.
    """
    if not len(images):
        raise ValueError("a batch needs at least one picture")
    for image in images:
        check_pixels(image, pixels, "a picture")
    resized = [_resize(image, size_of, device) for image in images]
    sizes = tuple((each.shape[1], each.shape[2]) for each in resized)
    height, width = (
        math.ceil(max(side) / size_multiple) * size_multiple for side in zip(*sizes, strict=True)
    )
    padded = torch.zeros((len(images), images[0].shape[2], height, width), device=device)
    for place, picture in zip(padded, resized, strict=True):
        place[:, : picture.shape[1], : picture.shape[2]] = picture
    return Batch(
        images=padded,
        image_sizes=sizes,
        original_sizes=tuple((image.shape[0], image.shape[1]) for image in images),
    )


def prepare_pixels(
    backbone: Backbone, pixels: PixelFormat | None
) -> tuple[Float[Tensor, "c 1 1"], Float[Tensor, "c 1 1"]]:
    """Let a backbone take such pictures; returns the mean and std that `normalise_pixels` wants."""
    mean: Sequence[float] = backbone.pixel_mean
    std: Sequence[float] = backbone.pixel_std
    if pixels is not None:
        adapt_stem(backbone, pixels.channels)
        mean, std = pixels.mean, pixels.std
    return torch.tensor(mean).view(-1, 1, 1), torch.tensor(std).view(-1, 1, 1)


def normalise_pixels(
    batch: Batch, mean: Float[Tensor, "c 1 1"], std: Float[Tensor, "c 1 1"]
) -> Float[Tensor, "b c H W"]:
    """Return normalised pixels; the padding is zero afterwards, in every channel.

    Raises:
        ImageError: The pictures have another number of channels.
    """
    if batch.images.shape[1] != len(mean):
        raise ImageError(
            f"a batch of pictures of {batch.images.shape[1]} channels for a model of {len(mean)}: "
            "open the dataset with dataset.with_pixels(model.config.pixels)"
        )
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
    image: Shaped[np.ndarray, "h w c"], size_of: Callable[[Size], Size], device: torch.device
) -> Float[Tensor, "c _ _"]:
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
