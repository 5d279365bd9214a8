"""FCN: class scores at several strides, summed from coarse to fine, for the whole picture.

Fully Convolutional Networks for Semantic Segmentation, Long et al. 2015,
https://arxiv.org/abs/1411.4038, section 4.2: "combining what and where". With strides (8, 16, 32)
it is FCN-8s, with (32,) FCN-32s; with (8,) on a backbone of output stride 8 it is torchvision's
`fcn_resnet50`.
Deviations: each level has a 3 x 3 convolution before its scores, as in torchvision; scores are
enlarged bilinearly, not by a learnt deconvolution that begins there; all levels learn at once.

Shapes: b pictures, k classes, (gh, gw) cells of the finest level.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from maskwright.backbones import Norm, norm_layer
from maskwright.errors import ConfigError
from maskwright.mask_heads.class_map import ClassMapHead
from maskwright.ops import Fraction, MaskLoss, PositiveCount, Setting, parse_mask_loss
from maskwright.structures import Features

__all__ = ["FCN"]


class FCN(ClassMapHead):
    """Scores each level with a small convolutional network and adds the scores up.

    Args:
        channels: Stride -> channels of the features; levels may differ.
        num_classes: Classes of objects.
        config: Levels and layers.

    Raises:
        ConfigError: None of the levels exists.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of `FCN`.

        Args:
            strides: Levels to score; those that the features lack are left out. The finest is
                the resolution of the class map.
            hidden_channels: Channels of the convolution before each level's scores.
            norm: Normalisation of that convolution; None for a bias instead.
            dropout: Part of its channels left out in training.
            crop_size: Cells per side of the masks cut out of the map.
            mask_loss: What the map learns with: "cross_entropy", "focal", "dice", "lovasz",
                "boundary", or a sum such as "cross_entropy+0.5*dice".
            mask_points: Learn from at most so many cells of a picture, most of them where the map
                is least sure; all where None.
        """

        kind: Literal["fcn"] = "fcn"
        strides: tuple[PositiveCount, ...] = (4, 8, 16, 32)
        hidden_channels: PositiveCount = 128
        norm: Norm | None = "group"
        dropout: Fraction = 0.1
        crop_size: PositiveCount = 56
        mask_loss: MaskLoss = "cross_entropy"
        mask_points: PositiveCount | None = None

        @classmethod
        def for_setting(cls, setting: Setting) -> Self:
            """Return options that fit the data and the hardware."""
            return cls(hidden_channels=max(32, setting.width // 2))

        def build(self, channels: Mapping[int, int], num_classes: int) -> FCN:
            """Return the head for features of these channels by stride."""
            return FCN(channels, num_classes, self)

    def __init__(self, channels: Mapping[int, int], num_classes: int, config: FCN.Config) -> None:
        super().__init__()
        strides = sorted(set(config.strides) & set(channels))
        if not strides:
            raise ConfigError(
                f"no level to score: asked for strides {sorted(config.strides)}, "
                f"the features have {sorted(channels)}"
            )
        self.config = config
        self.num_classes = num_classes
        parse_mask_loss(config.mask_loss)  # which checks it
        self.mask_loss, self.mask_points = config.mask_loss, config.mask_points
        self.map_stride, self.crop_size = strides[0], config.crop_size
        norm = None if config.norm is None else norm_layer(config.norm)
        hidden = config.hidden_channels
        self.levels = nn.ModuleDict(
            {
                str(stride): nn.Sequential(
                    Conv2dNormActivation(channels[stride], hidden, kernel_size=3, norm_layer=norm),
                    nn.Dropout(config.dropout),
                    nn.Conv2d(hidden, num_classes + 1, kernel_size=1),
                )
                for stride in reversed(strides)
            }
        )

    def class_logits(self, features: Features) -> Float[Tensor, "b k+1 gh gw"]:
        """Return the summed scores of all levels, at the finest level's resolution."""
        logits: Tensor | None = None
        for stride, level in self.levels.items():  # from coarse to fine
            scores: Tensor = level(features[int(stride)])
            if logits is not None:
                scores = scores + F.interpolate(
                    logits, size=scores.shape[-2:], mode="bilinear", align_corners=False
                )
            logits = scores
        assert logits is not None
        return logits
