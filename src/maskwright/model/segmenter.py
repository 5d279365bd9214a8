"""The whole network: backbone, neck, detector and mask head, from pictures to `Instances`.

Shapes: b pictures, (h, w) of one picture, (H, W) of the padded batch, n objects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int32, Shaped
from torch import Tensor, nn

from maskwright.backbones import FPN, BackboneConfig, ResNet
from maskwright.data import PixelFormat
from maskwright.detectors import DetectorConfig, FasterRCNN
from maskwright.errors import ConfigError, DataError
from maskwright.mask_heads import ClassMapHead, MaskHeadConfig, MaskRCNNHead, Refined
from maskwright.masks import Masks
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
from maskwright.ops import PositiveCount, scale_boxes
from maskwright.structures import PIXELS, Batch, Dense, Features, Instances, Losses, Size
from maskwright.transforms import resized_size

__all__ = ["InstanceSegmenter", "in_original_frame", "mask_head_channels"]


class InstanceSegmenter(nn.Module):
    """Finds every object of a picture: box, class, score and mask.

    Args:
        config: The parts and the size of their input.
        class_names: One per class, by label.
        category_ids: A dataset's id of each class, written into results; () means 1 to k.

    Attributes:
        config: The checked config.
        class_names: As given.
        category_ids: As given, or 1 to k.

    Raises:
        ConfigError: An option outside its range, parts that do not fit, or no class.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of `InstanceSegmenter`.

        Args:
            backbone: The network on the picture.
            neck: What evens out its maps; None hands them on as they are.
            detector: What finds boxes.
            mask_head: What draws the mask of each box; None finds boxes alone, and the masks of
                what it finds are None.
            short_side: Pictures are resized so that their short side has so many pixels,
            long_side: unless the long side would then have more than this.
            fixed_size: Pictures are resized to this (height, width) instead, whatever their
                aspect, for weights that were trained so (SSD's); None keeps the aspect.
            size_multiple: Batches are padded to a multiple of this.
            pixels: What pictures it takes; None is RGB of 8 bits, scaled as its backbone wants.
            picture_side: Usual short side, in pixels, of the pictures it is trained on; large
                pictures are cut into tiles of this size. None where it is not known.
            object_side: Side of large objects in such pictures, in pixels; None likewise.
            narrowed: Layers that pruning has left with fewer channels than their part's config
                gives, see `maskwright.model.narrowing`.
        """

        kind: Literal["instances"] = "instances"
        backbone: BackboneConfig = field(default_factory=ResNet.Config)
        neck: FPN.Config | None = field(default_factory=FPN.Config)
        detector: DetectorConfig = field(default_factory=FasterRCNN.Config)
        mask_head: MaskHeadConfig | None = field(default_factory=MaskRCNNHead.Config)
        short_side: PositiveCount = 800
        long_side: PositiveCount = 1333
        fixed_size: tuple[PositiveCount, PositiveCount] | None = None
        size_multiple: PositiveCount = 32
        pixels: PixelFormat | None = None
        picture_side: PositiveCount | None = None
        object_side: PositiveCount | None = None
        narrowed: tuple[NarrowedLayer, ...] = ()

        def build(
            self, class_names: Sequence[str], category_ids: Sequence[int] = ()
        ) -> InstanceSegmenter:
            """Return the model for these classes."""
            return InstanceSegmenter(self, class_names, category_ids)

    def __init__(
        self,
        config: InstanceSegmenter.Config,
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
        self.config = config_from_dict(InstanceSegmenter.Config, config_to_dict(config))
        self.class_names = tuple(class_names)
        self.category_ids = tuple(category_ids) or tuple(range(1, len(class_names) + 1))
        self.backbone = self.config.backbone.build()
        channels = self.backbone.channels
        neck = self.config.neck
        self.neck = None if neck is None else neck.build(channels)
        channels = channels if self.neck is None else self.neck.channels
        self.detector = self.config.detector.build(channels, len(class_names))
        if self.config.pixels is not None and self.detector.search is not None:
            raise ConfigError(
                f"the detector {self.config.detector.kind!r} proposes boxes by the colours of RGB "
                "of 8 bits: train it with pictures='rgb' (--pictures rgb), or take another detector"
            )
        head = self.config.mask_head
        channels = mask_head_channels(self.config, channels)
        self.mask_head = None if head is None else head.build(channels, len(class_names))
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

    @property
    def picture_side(self) -> int:
        """Short side, in pixels, of the pictures it knows: the trained one, else the network's."""
        config = self.config
        return config.picture_side or min(config.fixed_size or (config.short_side,))

    @property
    def object_side(self) -> int | None:
        """Side of large objects in the pictures it was trained on, in pixels, where known."""
        return self.config.object_side

    def collate(self, images: Sequence[Shaped[np.ndarray, "_ _ c"]]) -> Batch:
        """Resize pictures and pad them to one batch, on the model's device.

        Bilinear, as torchvision's detection models do it. Sizes may differ.

        Raises:
            ImageError: Pictures of another format than it takes, or without pixels.
            ValueError: No pictures.
        """
        return self.collate_scaled(images, 1.0)

    def collate_scaled(self, images: Sequence[Shaped[np.ndarray, "_ _ c"]], scale: float) -> Batch:
        """Make a batch as `collate` does, of pictures `scale` times as large in the network.

        Raises:
            ImageError: Pictures of another format than it takes, or without pixels.
            ValueError: No pictures.
        """

        def scaled_size(size: Size) -> Size:
            height, width = self._network_size(size)
            return max(1, round(height * scale)), max(1, round(width * scale))

        return collate_pictures(
            images,
            pixels=self.config.pixels,
            size_of=scaled_size,
            size_multiple=self.config.size_multiple,
            device=self.device,
        )

    def forward(self, batch: Batch) -> Losses:
        """Return the losses of all parts, each a mean over pictures; their sum is minimised.

        Raises:
            DataError: The batch has no targets, or a target without a width or a height.
        """
        _check_targets(batch)
        batch = batch_to_device(batch, self.device)
        features = self.features(batch)
        losses, rois = self.detector.loss(features, batch)
        if self.mask_head is None:
            return losses
        return losses | self.mask_head.loss(features, rois, batch.targets or ())

    def features(self, batch: Batch) -> Features:
        """Return the maps that detector and mask head read."""
        pixels = normalise_pixels(batch, self.pixel_mean, self.pixel_std)
        features: Features = self.backbone(pixels)
        if self.neck is not None:
            features = self.neck(features)
        return features | {PIXELS: pixels} if isinstance(self.mask_head, Refined) else features

    def dense(self, features: Features, padded_size: Size) -> Dense:
        """Return all that detector and mask head say of every place of pictures of that size."""
        found = self.detector.dense(features, padded_size)
        return found if self.mask_head is None else found | self.mask_head.dense(features)

    @torch.no_grad()
    def predict(self, batch: Batch) -> list[Instances]:
        """Return the objects of each picture on the CPU, in the frame of the original pictures.

        The highest score comes first. The network is in evaluation mode meanwhile.
        """
        batch = batch_to_device(replace(batch, targets=None), self.device)
        with evaluating(self):
            features = self.features(batch)
            detections = self.detector.detect(features, batch)
            crops: Sequence[Tensor | None] = (
                [None] * len(detections)
                if self.mask_head is None
                else self.mask_head.crops(features, detections)
            )
        return [
            in_original_frame(found, crop, original, self.class_names, self.category_ids)
            for found, crop, original in zip(detections, crops, batch.original_sizes, strict=True)
        ]

    @torch.no_grad()
    def class_maps(self, batch: Batch) -> list[Int32[np.ndarray, "_ _"]]:
        """Return per picture the class of each pixel of the original: 0 background, label + 1.

        The network is in evaluation mode meanwhile.

        Raises:
            ConfigError: The mask head draws boxes one by one and has no class map.
        """
        head = self.mask_head
        if not isinstance(head, ClassMapHead):
            kind = "none" if self.config.mask_head is None else self.config.mask_head.kind
            raise ConfigError(
                f"a class map needs the mask head 'fcn' or 'deeplab', this model has {kind!r}"
            )
        batch = batch_to_device(replace(batch, targets=None), self.device)
        with evaluating(self):
            logits = head.class_logits(self.features(batch))
        return class_maps_of(logits, batch)

    def _network_size(self, size: Size) -> Size:
        config = self.config
        return config.fixed_size or resized_size(
            size, short_side=config.short_side, long_side=config.long_side
        )


def mask_head_channels(
    config: InstanceSegmenter.Config, channels: Mapping[int, int]
) -> dict[int, int]:
    """Return the channels that the mask head is built for: the levels', and pixels if it reads any.

    Args:
        config: Of the model.
        channels: Stride -> channels of the features.
    """
    if not isinstance(config.mask_head, Refined.Config):
        return dict(channels)
    return {PIXELS: 3 if config.pixels is None else config.pixels.channels, **channels}


def in_original_frame(
    found: Instances,
    crops: Float[Tensor, "n s s"] | None,
    original: Size,
    class_names: tuple[str, ...],
    category_ids: tuple[int, ...],
) -> Instances:
    """Return the detections of a picture on the CPU, with masks, in the frame of the original.

    Args:
        found: In the frame of the network's picture.
        crops: Probabilities in the frame of each box; None leaves masks out.
        original: Size of the picture before it was resized.
        class_names: Names by label.
        category_ids: A dataset's ids by label.
    """
    boxes = scale_boxes(found.boxes.cpu().float(), found.image_size, original)
    masks = None
    if crops is not None:
        masks = Masks.paste(crops.cpu().float().numpy(), boxes.numpy(), original)
    assert found.scores is not None
    return Instances(
        image_size=original,
        boxes=boxes,
        labels=found.labels.cpu(),
        scores=found.scores.cpu().float(),
        masks=masks,
        class_names=class_names,
        category_ids=category_ids,
    )


def _check_targets(batch: Batch) -> None:
    if batch.targets is None:
        raise DataError("a batch without targets cannot be learnt from; predict() needs none")
    for index, target in enumerate(batch.targets):
        flat = (target.boxes[:, 2:] <= target.boxes[:, :2]).any(dim=1)
        if bool(flat.any()):
            name = batch.names[index] if batch.names else f"picture {index} of the batch"
            box = target.boxes[flat][0].tolist()
            raise DataError(
                f"{name}: object {int(flat.nonzero()[0])} has the box {box}, which has no area: "
                "leave such objects out"
            )
