"""The whole network: backbone, neck, detector and mask head, from pictures to `Instances`.

Shapes: b pictures, (h, w) of one picture, (H, W) of the padded batch, n objects.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from maskwright.backbones import FPN, BackboneConfig, ResNet
from maskwright.detectors import DetectorConfig, FasterRCNN
from maskwright.errors import ConfigError, DataError, ImageError
from maskwright.mask_heads import MaskHeadConfig, MaskRCNNHead
from maskwright.masks import Masks
from maskwright.model.config import config_from_dict, config_to_dict
from maskwright.ops import PositiveCount, scale_boxes
from maskwright.structures import Batch, Features, Instances, Losses, Size

__all__ = ["InstanceSegmenter"]


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
        """

        backbone: BackboneConfig = field(default_factory=ResNet.Config)
        neck: FPN.Config | None = field(default_factory=FPN.Config)
        detector: DetectorConfig = field(default_factory=FasterRCNN.Config)
        mask_head: MaskHeadConfig | None = field(default_factory=MaskRCNNHead.Config)
        short_side: PositiveCount = 800
        long_side: PositiveCount = 1333
        fixed_size: tuple[PositiveCount, PositiveCount] | None = None
        size_multiple: PositiveCount = 32

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
        head = self.config.mask_head
        self.mask_head = None if head is None else head.build(channels, len(class_names))
        for name in ("pixel_mean", "pixel_std"):
            statistic = torch.tensor(getattr(self.backbone, name)).view(3, 1, 1)
            self.register_buffer(name, statistic, persistent=False)

    pixel_mean: Tensor
    pixel_std: Tensor

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    def collate(self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> Batch:
        """Resize RGB pictures and pad them to one batch, on the model's device.

        Bilinear, as torchvision's detection models do it. Sizes may differ.

        Raises:
            ImageError: Not (h, w, 3) uint8, or without pixels.
            ValueError: No pictures.
        """
        if not len(images):
            raise ValueError("a batch needs at least one picture")
        resized = [self._resize(image) for image in images]
        sizes = tuple((each.shape[1], each.shape[2]) for each in resized)
        multiple = self.config.size_multiple
        height, width = (
            math.ceil(max(side) / multiple) * multiple for side in zip(*sizes, strict=True)
        )
        padded = torch.zeros((len(images), 3, height, width), device=self.device)
        for place, picture in zip(padded, resized, strict=True):
            place[:, : picture.shape[1], : picture.shape[2]] = picture
        return Batch(
            images=padded,
            image_sizes=sizes,
            original_sizes=tuple((image.shape[0], image.shape[1]) for image in images),
        )

    def forward(self, batch: Batch) -> Losses:
        """Return the losses of all parts, each a mean over pictures; their sum is minimised.

        Raises:
            DataError: The batch has no targets, or a target without a width or a height.
        """
        _check_targets(batch)
        batch = _to_device(batch, self.device)
        features = self.features(batch)
        losses, rois = self.detector.loss(features, batch)
        if self.mask_head is None:
            return losses
        return losses | self.mask_head.loss(features, rois, batch.targets or ())

    def features(self, batch: Batch) -> Features:
        """Return the maps that detector and mask head read."""
        features: Features = self.backbone(self._normalise(batch))
        return features if self.neck is None else self.neck(features)

    @torch.no_grad()
    def predict(self, batch: Batch) -> list[Instances]:
        """Return the objects of each picture on the CPU, in the frame of the original pictures.

        The highest score comes first. The network is in evaluation mode meanwhile.
        """
        batch = _to_device(replace(batch, targets=None), self.device)
        with _evaluating(self):
            features = self.features(batch)
            detections = self.detector.detect(features, batch)
            crops: Sequence[Tensor | None] = (
                [None] * len(detections)
                if self.mask_head is None
                else self.mask_head.crops(features, detections)
            )
        return [
            self._finish(found, crop, original)
            for found, crop, original in zip(detections, crops, batch.original_sizes, strict=True)
        ]

    def _finish(self, found: Instances, crops: Tensor | None, original: Size) -> Instances:
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
            class_names=self.class_names,
            category_ids=self.category_ids,
        )

    def _resize(self, image: UInt8[np.ndarray, "h w 3"]) -> Float[Tensor, "3 _ _"]:
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise ImageError(
                f"a picture must be (h, w, 3) uint8 RGB, got {image.shape} {image.dtype}: "
                "read it with maskwright.data.read_image"
            )
        height, width = image.shape[:2]
        config = self.config
        scale = min(config.short_side / min(height, width), config.long_side / max(height, width))
        size = config.fixed_size or [max(1, math.floor(side * scale)) for side in (height, width)]
        # a copy: torch takes neither read-only arrays nor mirrored ones
        pixels = torch.from_numpy(image.copy()).to(self.device)
        channels_first = pixels.permute(2, 0, 1)[None].float()
        return F.interpolate(channels_first, size=size, mode="bilinear", align_corners=False)[0]

    def _normalise(self, batch: Batch) -> Float[Tensor, "b 3 H W"]:
        """Normalise the pixels; the padding is zero afterwards, in every channel."""
        images = (batch.images.float() - self.pixel_mean) / self.pixel_std
        for image, (height, width) in zip(images, batch.image_sizes, strict=True):
            image[:, height:] = 0.0
            image[:, :, width:] = 0.0
        return images


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Put every module in evaluation mode, and back in training those that were."""
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


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


def _to_device(batch: Batch, device: torch.device) -> Batch:
    targets = batch.targets
    if targets is not None:
        targets = tuple(_target_to_device(target, device) for target in targets)
    return replace(batch, images=batch.images.to(device, non_blocking=True), targets=targets)


def _target_to_device(target: Instances, device: torch.device) -> Instances:
    return replace(
        target,
        boxes=target.boxes.to(device),
        labels=target.labels.to(device),
        is_crowd=None if target.is_crowd is None else target.is_crowd.to(device),
    )
