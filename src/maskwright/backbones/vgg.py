"""VGG-16: thirteen 3 x 3 convolutions in five stages, and SSD's levels on top of them.

Very Deep Convolutional Networks for Large-Scale Image Recognition, Simonyan and Zisserman 2015,
https://arxiv.org/abs/1409.1556, configuration D. The layers have the numbers of torchvision's
`vgg16` (with batch norm: `vgg16_bn`), so that its weights fit. SSD's further layers: Liu et al.
2016, https://arxiv.org/abs/1512.02325, section 3 and figure 2.

Deviations: pooling rounds sizes up, so that no border is lost (SSD does so once, at 75 cells);
optional normalisation; level 512 of SSD512 comes from a 3 x 3 convolution of stride 2 instead of a
4 x 4 one, so that pictures may have any size; SSD300's last two convolutions, which have no
padding, get some where a map is smaller than they are.

Shapes: b pictures, c channels, (h, w) of a level.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from maskwright.backbones.backbone import Backbone
from maskwright.backbones.freezing import keep_in_eval, stop_gradients
from maskwright.backbones.norm import Norm, norm_layer
from maskwright.structures import Features

__all__ = ["VGG"]

_STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
_FC_CHANNELS = 1024

_EXTRA_CHANNELS = {"plain": (), "ssd300": (512, 256, 256, 256), "ssd512": (512, 256, 256, 256, 256)}
"""Channels of the levels after FC7, each behind a 1 x 1 convolution of half as many."""

_NUM_UNPADDED = {"plain": 0, "ssd300": 2, "ssd512": 0}
"""How many of these, the last ones, shrink the map by leaving out padding and not by a stride."""

_CAFFE_MEAN = (122.99925, 116.9991, 103.9992)
"""torchvision's numbers of what SSD's weights were trained with: 0.48235, 0.45882, 0.40784."""


class VGG(Backbone):
    """The five stages of VGG-16, as they are or with the levels of SSD300 or SSD512.

    Args:
        config: Levels, normalisation, frozen stages.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of `VGG`.

        Args:
            levels: "plain": the last three stages and the last one halved again, at strides 4, 8,
                16 and 32. "ssd300": conv4_3 (normalised, with a learnt scale) at 8, FC7 at 16, and
                four more at 32, 64, 128 and 256, of which the last two have 3 and 1 cells a side
                for a picture of 300. "ssd512": five more, up to stride 512.
            norm: Normalisation of every convolution of the stages; None as in the paper.
            pixels: What is done to pixels: "imagenet" for torchvision's weights of ImageNet,
                "caffe" (only the mean is taken off) for its SSD300.
            freeze_stages: How many of the five stages stay as they are in training, counted from
                the picture.
        """

        kind: Literal["vgg"] = "vgg"
        levels: Literal["plain", "ssd300", "ssd512"] = "plain"
        norm: Norm | None = None
        pixels: Literal["imagenet", "caffe"] = "imagenet"
        freeze_stages: Annotated[int, Field(ge=0, le=5)] = 0

        def build(self) -> VGG:
            """Return the network with random weights (He et al. 2015)."""
            return VGG(self)

    def __init__(self, config: VGG.Config) -> None:
        super().__init__()
        self.config = config
        self.features, self._ends = _stages(config.norm)
        extra = _EXTRA_CHANNELS[config.levels]
        if config.levels == "plain":
            self.channels = {4: 256, 8: 512, 16: 512, 32: 512}
        else:
            self.amplifies_rounding = True
            self.scale = nn.Parameter(torch.full((512,), 20.0))  # section 3.1
            self.fc6 = nn.Conv2d(512, _FC_CHANNELS, kernel_size=3, padding=6, dilation=6)
            self.fc7 = nn.Conv2d(_FC_CHANNELS, _FC_CHANNELS, kernel_size=1)
            coarser = {32 * 2**level: width for level, width in enumerate(extra)}
            self.channels = {8: 512, 16: _FC_CHANNELS} | coarser
        self.extra = _extra_levels(extra, _NUM_UNPADDED[config.levels])
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        if config.pixels == "caffe":
            self.pixel_mean, self.pixel_std = _CAFFE_MEAN, (1.0, 1.0, 1.0)
        self._frozen = self.first_stages(config.freeze_stages)
        stop_gradients(self._frozen)

    def forward(self, images: Float[Tensor, "b 3 H W"]) -> Features:
        """Return the maps at the strides of `channels`."""
        x = images
        stages = []
        for start, end in zip([0, *self._ends], self._ends, strict=False):
            x = self.features[start:end](x)  # (b, c, h, w)
            stages.append(x)
        if self.config.levels == "plain":
            halved = self.features[self._ends[-1] :](x)
            return dict(zip(self.channels, (*stages[2:], halved), strict=True))
        # section 3.1: conv4_3 has another scale than the rest (ParseNet's normalisation)
        maps = [self.scale[:, None, None] * F.normalize(stages[3])]
        x = F.max_pool2d(x, kernel_size=3, stride=1, padding=1)  # pool5
        x = F.relu(self.fc7(F.relu(self.fc6(x))))
        maps.append(x)
        for level in self.extra:
            x = level(x)
            maps.append(x)
        return dict(zip(self.channels, maps, strict=True))

    def first_stages(self, count: int) -> list[nn.Module]:
        """Return the layers of the first `count` stages of the five, pooling left out."""
        return [self.features[: [0, *self._ends][count]]]

    def train(self, mode: bool = True) -> VGG:
        """Set training or evaluation; frozen stages always stay in evaluation."""
        super().train(mode)
        keep_in_eval(self._frozen)
        return self


class _PadToKernel(nn.Module):
    """Pads a map at the right and the bottom where it is smaller than 3 x 3."""

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c _ _"]:
        height, width = x.shape[-2:]
        return F.pad(x, (0, max(0, 3 - width), 0, max(0, 3 - height)))


def _stages(norm: Norm | None) -> tuple[nn.Sequential, list[int]]:
    """Return all layers in torchvision's order, and where each stage ends, its pooling left out.

    A stage's pooling opens the next stage; the last one's stays at the end.
    """
    layers: list[nn.Module] = []
    ends = []
    width = 3
    for stage in _STAGES:
        for channels in stage:
            layers.append(nn.Conv2d(width, channels, kernel_size=3, padding=1))
            if norm is not None:
                layers.append(norm_layer(norm)(channels))
            layers.append(nn.ReLU(inplace=True))
            width = channels
        ends.append(len(layers))
        layers.append(nn.MaxPool2d(kernel_size=2, stride=2, ceil_mode=True))
    return nn.Sequential(*layers), ends


def _extra_levels(channels: tuple[int, ...], num_unpadded: int) -> nn.ModuleList:
    levels = []
    width = _FC_CHANNELS
    for place, channel in enumerate(channels):
        halves = place < len(channels) - num_unpadded
        shrink = nn.Conv2d(
            channel // 2,
            channel,
            kernel_size=3,
            stride=2 if halves else 1,
            padding=1 if halves else 0,
        )
        levels.append(
            nn.Sequential(
                nn.Conv2d(width, channel // 2, kernel_size=1),
                nn.ReLU(inplace=True),
                nn.Identity() if halves else _PadToKernel(),
                shrink,
                nn.ReLU(inplace=True),
            )
        )
        width = channel
    return nn.ModuleList(levels)
