"""Semantic segmentation: the class of every pixel, without telling objects apart.

Shapes: b pictures, k classes, (gh, gw) cells of a class map, (h, w) of an original picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Int32, Shaped
from torch import Tensor, nn

from maskwright.backbones import FPN, BackboneConfig, ResNet
from maskwright.data import PixelFormat
from maskwright.errors import ConfigError, DataError
from maskwright.mask_heads import FCN, DeepLab
from maskwright.model.class_maps import class_maps_of
from maskwright.model.config import config_from_dict, config_to_dict
from maskwright.model.narrowing import NarrowedLayer, narrow_model
from maskwright.model.picture_batches import (
    batch_to_device,
    collate_pictures,
    evaluating,
    normalise_pixels,
    prepare_pixels,
)
from maskwright.ops import PositiveCount
from maskwright.structures import Batch, Dense, Features, Losses, Size
from maskwright.transforms import resized_size

__all__ = ["ClassMapConfig", "SemanticSegmenter"]

ClassMapConfig: TypeAlias = FCN.Config | DeepLab.Config


class SemanticSegmenter(nn.Module):
    """Gives every pixel of a picture a class or the background.

    Args:
        config: The parts and the size of their input.
        class_names: One per class, by label, without the background.
        category_ids: A dataset's id of each class; () means 1 to k.

    Attributes:
        config: The checked config.
        class_names: As given.
        category_ids: As given, or 1 to k.

    Raises:
        ConfigError: An option outside its range, parts that do not fit, or no class.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of `SemanticSegmenter`.

        Args:
            backbone: The network on the picture.
            neck: What evens out its maps; None hands them on as they are.
            head: What scores them.
            short_side: Pictures are resized so that their short side has so many pixels,
            long_side: unless the long side would then have more than this.
            fixed_size: Pictures are resized to this (height, width) instead, whatever their
                aspect; None keeps the aspect.
            size_multiple: Batches are padded to a multiple of this.
            pixels: What pictures it takes; None is RGB of 8 bits, scaled as its backbone wants.
            narrowed: Layers that pruning has left with fewer channels than their part's config
                gives, see `maskwright.model.narrowing`.
        """

        kind: Literal["semantic"] = "semantic"
        backbone: BackboneConfig = field(default_factory=ResNet.Config)
        neck: FPN.Config | None = field(default_factory=FPN.Config)
        head: ClassMapConfig = field(default_factory=DeepLab.Config)
        short_side: PositiveCount = 520
        long_side: PositiveCount = 2080
        fixed_size: tuple[PositiveCount, PositiveCount] | None = None
        size_multiple: PositiveCount = 32
        pixels: PixelFormat | None = None
        narrowed: tuple[NarrowedLayer, ...] = ()

        def build(
            self, class_names: Sequence[str], category_ids: Sequence[int] = ()
        ) -> SemanticSegmenter:
            """Return the model for these classes."""
            return SemanticSegmenter(self, class_names, category_ids)

    def __init__(
        self,
        config: SemanticSegmenter.Config,
        class_names: Sequence[str],
        category_ids: Sequence[int] = (),
    ) -> None:
        super().__init__()
        if not class_names:
            raise ConfigError("a model needs at least one class name")
        if category_ids and len(category_ids) != len(class_names):
            raise ConfigError(
                f"{len(class_names)} class names and {len(category_ids)} category ids: "
                "give one id per class, or none"
            )
        # rebuilt from plain values, which checks what a direct call of Config did not
        self.config = config_from_dict(SemanticSegmenter.Config, config_to_dict(config))
        self.class_names = tuple(class_names)
        self.category_ids = tuple(category_ids) or tuple(range(1, len(class_names) + 1))
        self.backbone = self.config.backbone.build()
        channels = self.backbone.channels
        neck = self.config.neck
        self.neck = None if neck is None else neck.build(channels)
        channels = channels if self.neck is None else self.neck.channels
        self.head = self.config.head.build(channels, len(class_names))
        mean, std = prepare_pixels(self.backbone, self.config.pixels)
        self.register_buffer("pixel_mean", mean, persistent=False)
        self.register_buffer("pixel_std", std, persistent=False)
        narrow_model(self, self.config.narrowed, self.dense)

    pixel_mean: Tensor
    pixel_std: Tensor

    @property
    def pixel_format(self) -> PixelFormat | None:
        """What pictures it takes; None is RGB of 8 bits."""
        return self.config.pixels

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    def collate(self, images: Sequence[Shaped[np.ndarray, "_ _ c"]]) -> Batch:
        """Resize pictures and pad them to one batch; see `collate_pictures`."""
        config = self.config
        return collate_pictures(
            images,
            pixels=self.config.pixels,
            size_of=partial(
                resized_size,
                short_side=config.short_side,
                long_side=config.long_side,
                fixed_size=config.fixed_size,
            ),
            size_multiple=config.size_multiple,
            device=self.device,
        )

    def forward(self, batch: Batch) -> Losses:
        """Return the loss `class_map`, the mean over pictures; see `ClassMapHead.class_loss`.

        Raises:
            DataError: The batch has no targets.
        """
        if batch.targets is None:
            raise DataError("a batch without targets cannot be learnt from; class_maps() does")
        batch = batch_to_device(batch, self.device)
        return self.head.class_loss(self.features(batch), batch.targets or ())

    def features(self, batch: Batch) -> Features:
        """Return the maps that the head reads."""
        pixels = normalise_pixels(batch, self.pixel_mean, self.pixel_std)
        features: Features = self.backbone(pixels)
        return features if self.neck is None else self.neck(features)

    def dense(self, features: Features, padded_size: Size) -> Dense:
        """Return what the head says of every place."""
        del padded_size
        return self.head.dense(features)

    @torch.no_grad()
    def class_maps(self, batch: Batch) -> list[Int32[np.ndarray, "_ _"]]:
        """Return per picture the class of each pixel of the original: 0 background, label + 1.

        The network is in evaluation mode meanwhile.
        """
        batch = batch_to_device(replace(batch, targets=None), self.device)
        with evaluating(self):
            logits = self.head.class_logits(self.features(batch))
        return class_maps_of(logits, batch)
