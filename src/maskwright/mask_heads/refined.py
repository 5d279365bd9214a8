"""Refined: another head's masks, redrawn along their outlines with the pixels in view.

Mask heads draw on feature maps of stride 4 or more, so that outlines are as fine as their cells.
Here a small network looks at each box once more: at its pixels, at the finest level of the
features and at the mask that was drawn, and says how the mask should change. After "Look Closer to
Segment Better: Boundary Patch Refinement" (BPR), Tang et al. 2021,
https://arxiv.org/abs/2104.05239, which gives pixels and a coarse mask to a network of its own, and
PointRend, Kirillov et al. 2020, https://arxiv.org/abs/1912.08193, section 3.3, which joins coarse
predictions with fine features.
Deviations: whole boxes resized to one size instead of patches along the outline (objects of our
data are a few patches large); layers of a few channels beside the model instead of a large network
after it, so both learn at once; the coarse mask is not learnt through, as in BPR.

Shapes: b pictures, c channels of the pixels, d of the detail, n boxes, m cells of a coarse crop per
side, s of a refined one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Self, TypeAlias

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from maskwright.backbones import Norm, norm_layer
from maskwright.errors import ConfigError
from maskwright.mask_heads.crop_losses import (
    crop_mask_losses,
    no_mask_losses,
    point_mask_losses,
)
from maskwright.mask_heads.deeplab import DeepLab
from maskwright.mask_heads.fcn import FCN
from maskwright.mask_heads.mask_head import MaskHead
from maskwright.mask_heads.mask_rcnn import MaskRCNNHead
from maskwright.mask_heads.mask_targets import spread_rois
from maskwright.mask_heads.prototypes import Prototypes
from maskwright.ops import (
    Count,
    MaskLoss,
    PositiveCount,
    Setting,
    parse_mask_loss,
    pool_rois,
    sample_crops,
)
from maskwright.structures import PIXELS, Dense, Features, Instances, Losses, Rois

__all__ = ["CoarseHeadConfig", "Refined"]

CoarseHeadConfig: TypeAlias = MaskRCNNHead.Config | FCN.Config | DeepLab.Config | Prototypes.Config
"""The heads whose masks can be refined."""

_SUREST = 0.998
"""Probabilities of the coarse mask are cut to 1 - _SUREST and _SUREST: logits of -6.2 and 6.2."""

_HALF_PIXEL = 0.5
"""Boxes are pooled at the centres of cells; the targets are moved to match."""


class Refined(MaskHead):
    """Draws masks with another head, then corrects them.

    Args:
        channels: Stride -> channels of the features, with the pixels as stride 1.
        num_classes: Classes of objects, for the coarse head.
        config: The coarse head and the layers.

    Attributes:
        coarse: The head whose masks are refined.

    Raises:
        ConfigError: No pixels among the features, or what the coarse head raises.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of `Refined`.

        Args:
            coarse: The head whose masks are refined: "mask_rcnn", "fcn", "deeplab", "prototypes".
            size: Cells per side of the refined masks.
            detail_channels: What the finest level of the features is reduced to; 0 leaves it out.
            conv_channels: 3 x 3 convolutions of the refinement, with dilations 1, 2, 4, ...
            norm: Normalisation of those; None for a bias instead.
            rois_per_image: Learn to refine on at most so many RoIs of a picture; all where None.
            mask_loss: What refined masks learn with, as for the other heads; what the coarse ones
                learn with is `coarse.mask_loss`.
            mask_points: Learn at so many points of a RoI, most of them where its mask is least
                sure, against the pixels there (PointRend); in all cells where None.
        """

        kind: Literal["refined"] = "refined"
        coarse: CoarseHeadConfig = field(default_factory=MaskRCNNHead.Config)
        size: PositiveCount = 56
        detail_channels: Count = 32
        conv_channels: tuple[PositiveCount, ...] = (64, 64, 64)
        norm: Norm | None = "group"
        rois_per_image: PositiveCount | None = 64
        mask_loss: MaskLoss = "cross_entropy"
        mask_points: PositiveCount | None = None

        @classmethod
        def for_setting(cls, setting: Setting) -> Self:
            """Return options that fit the data and the hardware."""
            coarse = MaskRCNNHead.Config.for_setting(setting)
            if not setting.is_light:
                return cls(coarse=coarse)
            return cls(
                coarse=coarse,
                size=40,
                detail_channels=16,
                conv_channels=(24, 24, 24),
                rois_per_image=24,
            )

        def build(self, channels: Mapping[int, int], num_classes: int) -> Refined:
            """Return the head for features of these channels by stride."""
            return Refined(channels, num_classes, self)

    def __init__(
        self, channels: Mapping[int, int], num_classes: int, config: Refined.Config
    ) -> None:
        super().__init__()
        if PIXELS not in channels:
            raise ConfigError(
                "a refined mask head reads pixels: give their channels as those of stride 1 "
                f"({{1: 3, ...}} for RGB), the features have strides {sorted(channels)}"
            )
        self.config = config
        parse_mask_loss(config.mask_loss)  # which checks it
        levels = {stride: width for stride, width in channels.items() if stride != PIXELS}
        self.coarse: MaskHead = config.coarse.build(levels, num_classes)
        self.detail_stride = min(levels)
        self.detail: nn.Module | None = None
        if config.detail_channels:
            self.detail = nn.Conv2d(
                channels[self.detail_stride], config.detail_channels, kernel_size=1
            )
        norm = None if config.norm is None else norm_layer(config.norm)
        layers: list[nn.Module] = []
        self.in_channels = width = channels[PIXELS] + config.detail_channels + 1
        for index, channel in enumerate(config.conv_channels):
            # each sees twice as far as the one before: neighbours that touch are told apart
            layers.append(
                Conv2dNormActivation(
                    width, channel, kernel_size=3, dilation=2**index, norm_layer=norm
                )
            )
            width = channel
        last = nn.Conv2d(width, 1, kernel_size=3, padding=1)
        # no change at first: the coarse masks as they are
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        self.correction = nn.Sequential(*layers, last)

    def loss(
        self, features: Features, rois: Sequence[Rois], targets: Sequence[Instances]
    ) -> Losses:
        """Return the losses of the coarse head, and `refinement`, that of the corrected masks."""
        config = self.config
        losses = self.coarse.loss(features, rois, targets)
        rois = [spread_rois(each, config.rois_per_image) for each in rois]
        if not sum(len(each) for each in rois):
            found = no_mask_losses(self, config.mask_loss)
            return losses | {_renamed(name): loss for name, loss in found.items()}
        boxes = [each.boxes for each in rois]
        coarse = self._coarse_crops(features, rois, targets)
        logits = self._refine(coarse, self._details(features), features, boxes)
        if config.mask_points is None:
            found = crop_mask_losses(
                logits, rois, targets, mask_loss=config.mask_loss, shift=_HALF_PIXEL
            )
        else:
            found = point_mask_losses(
                lambda points: sample_crops(logits, points),
                rois,
                targets,
                mask_loss=config.mask_loss,
                num_points=config.mask_points,
                size=config.size,
                shift=_HALF_PIXEL,
            )
        return losses | {_renamed(name): loss for name, loss in found.items()}

    def crops(
        self, features: Features, detections: Sequence[Instances]
    ) -> list[Float[Tensor, "_ s s"]]:
        """Return per picture the probabilities of each detection's pixels, corrected."""
        return self.crops_from(self.dense(features), features, detections)

    def dense(self, features: Features) -> Dense:
        """Return the maps of the coarse head, and `detail` (b, d, gh, gw), the finest level's."""
        return self.coarse.dense(features) | self._details(features)

    def crops_from(
        self, dense: Dense, features: Features, detections: Sequence[Instances]
    ) -> list[Float[Tensor, "_ s s"]]:
        """Return what `crops` does, from the maps, the pixels and what the coarse head pools."""
        coarse = torch.cat(self.coarse.crops_from(dense, features, detections))
        logits = self._refine(coarse, dense, features, [each.boxes for each in detections])
        return list(torch.split(logits.sigmoid(), [len(each) for each in detections]))

    def _details(self, features: Features) -> Dense:
        return {} if self.detail is None else {"detail": self.detail(features[self.detail_stride])}

    @torch.no_grad()
    def _coarse_crops(
        self, features: Features, rois: Sequence[Rois], targets: Sequence[Instances]
    ) -> Float[Tensor, "n m m"]:
        """Draw the RoIs as they would be at prediction: without dropout, norms at rest."""
        found = [
            Instances(image_size=target.image_size, boxes=roi.boxes, labels=roi.labels)
            for roi, target in zip(rois, targets, strict=True)
        ]
        was_training = self.coarse.training
        self.coarse.eval()
        try:
            return torch.cat(self.coarse.crops(features, found))
        finally:
            self.coarse.train(was_training)

    def _refine(
        self,
        coarse: Float[Tensor, "n m m"],
        dense: Dense,
        features: Features,
        boxes: Sequence[Float[Tensor, "_ 4"]],
    ) -> Float[Tensor, "n s s"]:
        """Return the logits of the corrected masks."""
        size = self.config.size
        resized = F.interpolate(
            coarse[:, None].float(), size=(size, size), mode="bilinear", align_corners=False
        )
        before = torch.logit(resized.clamp(1.0 - _SUREST, _SUREST))  # (n, 1, s, s)
        seen = [_pooled(features[PIXELS], PIXELS, boxes, size)]
        if self.detail is not None:
            seen.append(_pooled(dense["detail"], self.detail_stride, boxes, size))
        change: Tensor = self.correction(torch.cat((before, *seen), dim=1))
        return (before + change.float())[:, 0]


def _pooled(
    maps: Float[Tensor, "b c gh gw"],
    stride: int,
    boxes: Sequence[Float[Tensor, "_ 4"]],
    size: int,
) -> Float[Tensor, "n c s s"]:
    return pool_rois({stride: maps}, boxes, size=size, method="align_half_pixel")


def _renamed(name: str) -> str:
    return name.replace("mask", "refinement", 1)
