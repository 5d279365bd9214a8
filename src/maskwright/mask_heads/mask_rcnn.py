"""Mask R-CNN: a small fully convolutional network on the features of each box.

He et al. 2017, https://arxiv.org/abs/1703.06870, section 3 and figure 4 (right). The defaults are
torchvision's `maskrcnn_resnet50_fpn`. Deviations: optional normalisation; optionally fewer RoIs.

Shapes: b pictures, r RoIs of all pictures, k classes, s = 2 * pool_size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from maskwright.backbones import Norm, norm_layer
from maskwright.mask_heads.crop_losses import (
    crop_mask_losses,
    no_mask_losses,
    point_mask_losses,
)
from maskwright.mask_heads.mask_head import MaskHead
from maskwright.mask_heads.mask_targets import spread_rois
from maskwright.ops import (
    MaskLoss,
    PoolMethod,
    PositiveCount,
    Setting,
    parse_mask_loss,
    pool_rois,
    pooled_levels,
    sample_crops,
)
from maskwright.structures import Features, Instances, Losses, Rois

__all__ = ["MaskRCNNHead"]


class MaskRCNNHead(MaskHead):
    """Pools each box, convolves, doubles the resolution, and draws one mask per class.

    Args:
        channels: Stride -> channels of the features.
        num_classes: Classes of objects.
        config: Pooling and layers.

    Raises:
        ConfigError: No level to pool from, or levels of different widths.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of `MaskRCNNHead`.

        Args:
            strides: Levels to pool from; those that the features lack are left out.
            pool: How features are pooled; "align_half_pixel" shifts the targets alike.
            pool_size: Pooled cells per side; masks have twice as many.
            sampling_ratio: Points per side of a cell.
            conv_channels: 3 x 3 convolutions after pooling.
            norm: Normalisation of those; None for a bias instead.
            deconv_channels: Channels of the doubled map.
            class_agnostic: One mask for all classes instead of one per class.
            rois_per_image: Learn from at most so many RoIs of a picture; all where None.
            mask_loss: What masks learn with: "cross_entropy", "focal", "dice", "lovasz",
                "boundary", or a sum such as "dice+cross_entropy".
            mask_points: Learn at so many points of a RoI, most of them where its mask is least
                sure, against the pixels there (PointRend); in all cells where None.
        """

        kind: Literal["mask_rcnn"] = "mask_rcnn"
        strides: tuple[PositiveCount, ...] = (4, 8, 16, 32)
        pool: PoolMethod = "align"
        pool_size: PositiveCount = 14
        sampling_ratio: PositiveCount = 2
        conv_channels: tuple[PositiveCount, ...] = (256, 256, 256, 256)
        norm: Norm | None = None
        deconv_channels: PositiveCount = 256
        class_agnostic: bool = False
        rois_per_image: PositiveCount | None = None
        mask_loss: MaskLoss = "cross_entropy"
        mask_points: PositiveCount | None = None

        @classmethod
        def for_setting(cls, setting: Setting) -> Self:
            """Return options that fit the data and the hardware."""
            if not setting.is_light:
                return cls()
            width = setting.width
            return cls(conv_channels=(width, width), deconv_channels=width, rois_per_image=24)

        def build(self, channels: Mapping[int, int], num_classes: int) -> MaskRCNNHead:
            """Return the head for features of these channels by stride."""
            return MaskRCNNHead(channels, num_classes, self)

    def __init__(
        self, channels: Mapping[int, int], num_classes: int, config: MaskRCNNHead.Config
    ) -> None:
        super().__init__()
        self.config = config
        parse_mask_loss(config.mask_loss)  # which checks it
        self.strides = pooled_levels(channels, config.strides)
        width = channels[self.strides[0]]
        norm = None if config.norm is None else norm_layer(config.norm)
        layers: list[nn.Module] = []
        for channel in config.conv_channels:
            layers.append(Conv2dNormActivation(width, channel, kernel_size=3, norm_layer=norm))
            width = channel
        self.layers = nn.Sequential(*layers)
        self.deconv = nn.ConvTranspose2d(width, config.deconv_channels, kernel_size=2, stride=2)
        self.logits = nn.Conv2d(
            config.deconv_channels, 1 if config.class_agnostic else num_classes, kernel_size=1
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        # all pixels undecided at first (Detectron2): the loss starts at ln 2, with He's scale at 4
        nn.init.normal_(self.logits.weight, std=0.001)

    def forward(
        self,
        features: Features,
        boxes: Sequence[Float[Tensor, "_ 4"]],
        labels: Sequence[Int64[Tensor, " _"]],
    ) -> Float[Tensor, "r s s"]:
        """Return the mask logits of each box for its label."""
        pooled = pool_rois(
            {stride: features[stride] for stride in self.strides},
            boxes,
            size=self.config.pool_size,
            sampling_ratio=self.config.sampling_ratio,
            method=self.config.pool,
        )  # (r, c, pool_size, pool_size)
        return self.draw(pooled, torch.cat(list(labels)))

    def draw(
        self, pooled: Float[Tensor, "r c p p"], labels: Int64[Tensor, " r"]
    ) -> Float[Tensor, "r s s"]:
        """Return the mask logits of boxes for their labels, from their pooled features."""
        x = F.relu(self.deconv(self.layers(pooled)), inplace=True)  # (r, c, s, s)
        logits: Tensor = self.logits(x).float()  # (r, k, s, s)
        if self.config.class_agnostic:
            return logits[:, 0]
        # Not logits[arange(r), labels]: exported, that reads r from the shape of the pooled
        # features, and OpenVINO 2026.4 computes what is quantised beside such a reader wrongly
        # (int8 logits off by 0.1 to 0.8 of the largest; so, as in ONNX Runtime, by 0.03).
        own = labels.view(-1, 1, 1, 1).expand(-1, 1, *logits.shape[2:])
        return logits.gather(1, own)[:, 0]

    def loss(
        self, features: Features, rois: Sequence[Rois], targets: Sequence[Instances]
    ) -> Losses:
        """Return `mask`: by default binary cross-entropy, mean over the pixels of each RoI.

        Of each RoI's own class. Several losses have names of their own, such as `mask_dice`.
        """
        rois = [spread_rois(each, self.config.rois_per_image) for each in rois]
        if not sum(len(each) for each in rois):
            return no_mask_losses(self, self.config.mask_loss)
        logits = self(features, [each.boxes for each in rois], [each.labels for each in rois])
        shift = 0.5 if self.config.pool == "align_half_pixel" else 0.0
        if self.config.mask_points is None:
            return crop_mask_losses(
                logits, rois, targets, mask_loss=self.config.mask_loss, shift=shift
            )
        return point_mask_losses(
            lambda points: sample_crops(logits, points),
            rois,
            targets,
            mask_loss=self.config.mask_loss,
            num_points=self.config.mask_points,
            size=logits.shape[-1],
            shift=shift,
        )

    def crops(
        self, features: Features, detections: Sequence[Instances]
    ) -> list[Float[Tensor, "_ s s"]]:
        """Return per picture the probabilities of each detection's pixels, for its own label."""
        logits = self(
            features, [each.boxes for each in detections], [each.labels for each in detections]
        )
        return list(torch.split(logits.sigmoid(), [len(each) for each in detections]))
