"""FPN: a pyramid of equally wide feature maps, each knowing what the coarser ones see.

Feature Pyramid Networks for Object Detection, Lin et al. 2017, https://arxiv.org/abs/1612.03144.
Deviation: optional normalisation after each convolution (torchvision's v2 models; Detectron2).

Shapes: b pictures, c channels of the pyramid, (h, w) size of a level.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch.nn.functional as F
from torch import nn
from torchvision.ops import Conv2dNormActivation

from maskwright.backbones.norm import Norm, norm_layer
from maskwright.ops import Count, PositiveCount
from maskwright.structures import Features

__all__ = ["FPN"]


class FPN(nn.Module):
    """Gives every level of a backbone the same channels, and adds coarser levels.

    Args:
        channels: Stride -> channels of the backbone's maps, rising.
        config: Width, normalisation, extra levels.

    Attributes:
        channels: Stride -> channels of the pyramid, rising.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of `FPN`.

        Args:
            channels: Channels of every level.
            norm: Normalisation after each convolution; None for a bias instead.
            extra_levels: Coarser levels, each every second cell of the one before.
        """

        channels: PositiveCount = 256
        norm: Norm | None = None
        extra_levels: Count = 1

        def build(self, channels: Mapping[int, int]) -> FPN:
            """Return the neck for a backbone with these channels by stride."""
            return FPN(channels, self)

    def __init__(self, channels: Mapping[int, int], config: FPN.Config) -> None:
        super().__init__()
        norm = None if config.norm is None else norm_layer(config.norm)
        width = config.channels
        self.inner_blocks = nn.ModuleList(
            Conv2dNormActivation(
                wide, width, kernel_size=1, padding=0, norm_layer=norm, activation_layer=None
            )
            for wide in channels.values()
        )
        self.layer_blocks = nn.ModuleList(
            Conv2dNormActivation(
                width, width, kernel_size=3, norm_layer=norm, activation_layer=None
            )
            for _ in channels
        )
        strides = list(channels)
        self._extra_strides = [strides[-1] * 2**i for i in range(1, config.extra_levels + 1)]
        self.channels = dict.fromkeys(strides + self._extra_strides, width)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, a=1)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, features: Features) -> Features:
        """Return the pyramid, the finest level first."""
        coarser = None
        pyramid: Features = {}
        levels = list(zip(features.items(), self.inner_blocks, self.layer_blocks, strict=True))
        for (stride, feature), inner, layer in reversed(levels):
            x = inner(feature)  # (b, c, h, w)
            if coarser is not None:
                x = x + F.interpolate(coarser, size=x.shape[-2:], mode="nearest")
            pyramid[stride] = layer(x)
            coarser = x
        pyramid = dict(reversed(pyramid.items()))
        last = pyramid[max(pyramid)]
        for stride in self._extra_strides:
            last = F.max_pool2d(last, kernel_size=1, stride=2)
            pyramid[stride] = last
        return pyramid
