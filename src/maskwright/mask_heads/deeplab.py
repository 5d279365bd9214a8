"""DeepLab: convolutions with holes see the whole picture at several scales at once.

Version 3: Rethinking Atrous Convolution for Semantic Image Segmentation, Chen et al. 2017,
https://arxiv.org/abs/1706.05587, section 3.3: atrous spatial pyramid pooling (ASPP). Version 3+:
Encoder-Decoder with Atrous Separable Convolution, Chen et al. 2018,
https://arxiv.org/abs/1802.02611, section 3.1: a decoder that adds a fine level. Without a decoder,
on a backbone of output stride 8, it is torchvision's `deeplabv3_resnet50`.
Deviations: the decoder's convolutions are whole, not separable; with group normalisation the
branch of the picture's mean has a bias instead (one value per channel has no spread). The mean is
over the padded picture.

Shapes: b pictures, k classes, c channels, (h, w) cells of ASPP's level, (gh, gw) of the map.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from maskwright.backbones import Norm, norm_layer
from maskwright.mask_heads.class_map import ClassMapHead
from maskwright.ops import Fraction, MaskLoss, PositiveCount, Setting, parse_mask_loss
from maskwright.structures import Features

__all__ = ["ASPP", "DeepLab"]


class DeepLab(ClassMapHead):
    """Reads one coarse level with ASPP, joins a fine one to it, and scores every cell.

    Args:
        channels: Stride -> channels of the features; levels may differ.
        num_classes: Classes of objects.
        config: Levels and layers.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of `DeepLab`.

        Args:
            stride: The level that ASPP reads; the nearest where the features lack it.
            atrous_rates: Holes of ASPP's branches in cells: 6, 12 and 18 at stride 16, twice
                that at stride 8 (version 3, section 4.1).
            aspp_channels: Channels of each branch, and of what they are joined to.
            decoder_stride: The fine level of version 3+; the nearest that is finer than ASPP's,
                and none where there is none. None leaves the decoder out, as in version 3.
            low_level_channels: Channels that the fine level is reduced to (3+, table 1).
            head_channels: 3 x 3 convolutions before the scores.
            norm: Normalisation of every convolution; None for a bias instead. "batch" needs two
                pictures in a training batch, for ASPP's mean of the picture.
            dropout: Part of ASPP's channels left out in training.
            crop_size: Cells per side of the masks cut out of the map.
            mask_loss: What the map learns with: "cross_entropy", "focal", "dice", "lovasz",
                "boundary", or a sum such as "cross_entropy+0.5*dice".
            mask_points: Learn from at most so many cells of a picture, most of them where the map
                is least sure; all where None.
        """

        kind: Literal["deeplab"] = "deeplab"
        stride: PositiveCount = 16
        atrous_rates: tuple[PositiveCount, ...] = (6, 12, 18)
        aspp_channels: PositiveCount = 256
        decoder_stride: PositiveCount | None = 4
        low_level_channels: PositiveCount = 48
        head_channels: tuple[PositiveCount, ...] = (256, 256)
        norm: Norm | None = "group"
        dropout: Fraction = 0.1
        crop_size: PositiveCount = 56
        mask_loss: MaskLoss = "cross_entropy"
        mask_points: PositiveCount | None = None

        @classmethod
        def for_setting(cls, setting: Setting) -> Self:
            """Return options that fit the data and the hardware.

            The decoder stays as wide as ASPP: with half of it, and half of the fine level, the
            rarer of two classes was not learnt in 120 steps that were enough for FCN.
            """
            if not setting.is_light:
                return cls()
            width = setting.width
            return cls(aspp_channels=width, head_channels=(width, width))

        def build(self, channels: Mapping[int, int], num_classes: int) -> DeepLab:
            """Return the head for features of these channels by stride."""
            return DeepLab(channels, num_classes, self)

    def __init__(
        self, channels: Mapping[int, int], num_classes: int, config: DeepLab.Config
    ) -> None:
        super().__init__()
        self.config = config
        self.num_classes = num_classes
        parse_mask_loss(config.mask_loss)  # which checks it
        self.mask_loss, self.mask_points = config.mask_loss, config.mask_points
        self.crop_size = config.crop_size
        norm = None if config.norm is None else norm_layer(config.norm)
        self.stride = _nearest(channels, config.stride)
        self.map_stride = self.stride
        width = config.aspp_channels
        self.aspp = ASPP(
            channels[self.stride],
            width,
            config.atrous_rates,
            norm=config.norm,
            dropout=config.dropout,
        )
        finer = [stride for stride in channels if stride < self.stride]
        self.low_level: nn.Module | None = None
        if config.decoder_stride is not None and finer:
            self.map_stride = _nearest(finer, config.decoder_stride)
            self.low_level = Conv2dNormActivation(
                channels[self.map_stride],
                config.low_level_channels,
                kernel_size=1,
                norm_layer=norm,
            )
            width += config.low_level_channels
        layers: list[nn.Module] = []
        for channel in config.head_channels:
            layers.append(Conv2dNormActivation(width, channel, kernel_size=3, norm_layer=norm))
            width = channel
        self.layers = nn.Sequential(*layers)
        self.logits = nn.Conv2d(width, num_classes + 1, kernel_size=1)

    def class_logits(self, features: Features) -> Float[Tensor, "b k+1 gh gw"]:
        """Return the scores of every cell, at the decoder's or else ASPP's resolution."""
        x: Tensor = self.aspp(features[self.stride])  # (b, c, h, w)
        if self.low_level is not None:
            fine = self.low_level(features[self.map_stride])
            x = F.interpolate(x, size=fine.shape[-2:], mode="bilinear", align_corners=False)
            x = torch.cat((x, fine), dim=1)  # (b, c + low_level_channels, gh, gw)
        logits: Tensor = self.logits(self.layers(x))
        return logits


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: the same cells seen with several fields of view.

    A 1 x 1 convolution, a 3 x 3 convolution per atrous rate, and the mean of the whole picture,
    joined by a 1 x 1 convolution. The size of the map stays.

    Args:
        in_channels: Channels of the map.
        channels: Channels of each branch and of the result.
        rates: Holes of the branches in cells.
        norm: Normalisation of every convolution; None for a bias instead.
        dropout: Part of the result left out in training.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        rates: Sequence[int],
        *,
        norm: Norm | None,
        dropout: float,
    ) -> None:
        super().__init__()
        layer = None if norm is None else norm_layer(norm)
        branches = [Conv2dNormActivation(in_channels, channels, kernel_size=1, norm_layer=layer)]
        branches += [
            Conv2dNormActivation(
                in_channels, channels, kernel_size=3, dilation=rate, norm_layer=layer
            )
            for rate in rates
        ]
        self.branches = nn.ModuleList(branches)
        self.picture = Conv2dNormActivation(
            in_channels, channels, kernel_size=1, norm_layer=None if norm == "group" else layer
        )
        self.project = nn.Sequential(
            Conv2dNormActivation(
                channels * (len(branches) + 1), channels, kernel_size=1, norm_layer=layer
            ),
            nn.Dropout(dropout),
        )

    def forward(self, x: Float[Tensor, "b c_in h w"]) -> Float[Tensor, "b c h w"]:
        """Return what all branches see, of the size of the map."""
        mean = self.picture(x.mean(dim=(2, 3), keepdim=True)).expand(-1, -1, *x.shape[-2:])
        seen = [branch(x) for branch in self.branches]
        joined: Tensor = self.project(torch.cat((*seen, mean), dim=1))
        return joined


def _nearest(strides: Mapping[int, int] | Sequence[int], wanted: int) -> int:
    """The stride nearest to the wanted one in steps of two; the finer of two."""
    return min(strides, key=lambda stride: (max(stride / wanted, wanted / stride), stride))
