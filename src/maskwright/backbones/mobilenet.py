"""MobileNetV3: inverted residuals of depthwise convolutions, for processors and telephones.

Searching for MobileNetV3, Howard et al. 2019, https://arxiv.org/abs/1905.02244, tables 1 and 2. The
layers are torchvision's (BSD-3-Clause) and keep their names, so that its weights fit. With the
levels of SSDLite: Sandler et al. 2018 (MobileNetV2), https://arxiv.org/abs/1801.04381, section 6.2,
placed as MobileNetV3's section 6.3 says.

Shapes: b pictures, (H, W) their padded size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torchvision.models import mobilenet_v3_large, mobilenet_v3_small
from torchvision.ops import Conv2dNormActivation

from maskwright.backbones.backbone import Backbone
from maskwright.backbones.freezing import keep_in_eval, stop_gradients
from maskwright.backbones.norm import Norm, norm_layer
from maskwright.structures import Features

__all__ = ["MobileNet"]

_BUILDERS = {"large": mobilenet_v3_large, "small": mobilenet_v3_small}

_EXTRA_CHANNELS = {64: 512, 128: 256, 256: 256, 512: 128}
"""SSDLite's further levels by stride (torchvision; the papers do not say)."""

_COARSEST = 32


class MobileNet(Backbone):
    """MobileNetV3 at strides 4 to 32, or with other levels for weights of whole detectors.

    Args:
        config: Size, levels, normalisation, frozen stages.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of `MobileNet`.

        Args:
            size: "large" or "small", tables 1 and 2.
            levels: "plain": the last map at strides 4, 8, 16 and 32. "ssdlite": the expansion of
                the first block of stride 32, which still has stride 16, the last map, and four
                more at strides 64 to 512. "last_two": two maps of stride 32, of its first block
                and the last; the second stands under stride 64, though its cells are 32 px
                apart, because every level needs a key of its own. It is what torchvision's
                `fasterrcnn_mobilenet_v3_large_fpn` reads.
            reduced_tail: Half as many channels from stride 32 on (section 6.3, table 6).
            norm: Normalisation of every convolution.
            norm_eps: Added to the variance; torchvision's ImageNet and SSDLite weights were
                trained with 0.001, its Faster R-CNN with 0.00001.
            pixels: What is done to pixels: "imagenet" for torchvision's weights of ImageNet and
                Faster R-CNN, "symmetric" (to -1..1) for its SSDLite.
            freeze_stages: How many of the five stages (one per stride from 2 to 32) stay as they
                are in training, counted from the picture.
        """

        kind: Literal["mobilenet"] = "mobilenet"
        size: Literal["large", "small"] = "large"
        levels: Literal["plain", "ssdlite", "last_two"] = "plain"
        reduced_tail: bool = False
        norm: Norm = "batch"
        norm_eps: Annotated[float, Field(ge=0.0)] = 1e-3
        pixels: Literal["imagenet", "symmetric"] = "imagenet"
        freeze_stages: Annotated[int, Field(ge=0, le=5)] = 0

        def build(self) -> MobileNet:
            """Return the network with random weights (He et al. 2015)."""
            return MobileNet(self)

    def __init__(self, config: MobileNet.Config) -> None:
        super().__init__()
        self.config = config
        norm = norm_layer(config.norm, eps=config.norm_eps)
        trunk = _BUILDERS[config.size](
            weights=None, norm_layer=norm, reduced_tail=config.reduced_tail
        )
        self.features: nn.Sequential = trunk.features
        self._strides = _strides(self.features)
        self._last = {stride: place for place, stride in enumerate(self._strides)}
        widths = {stride: _width(self.features[place]) for stride, place in self._last.items()}
        self.extra = nn.ModuleList()
        if config.levels == "plain":
            self.channels = {stride: width for stride, width in widths.items() if stride >= 4}
        elif config.levels == "last_two":
            self.channels = {32: _width(self.features[self._last[16] + 1]), 64: widths[_COARSEST]}
        else:
            first = self.features[self._last[16] + 1]
            expanded = _width(first.block[0])
            self.channels = {16: expanded, 32: widths[_COARSEST]} | _EXTRA_CHANNELS
            self.extra = _extra_levels(widths[_COARSEST], norm)
        if config.pixels == "symmetric":
            self.pixel_mean = self.pixel_std = (127.5, 127.5, 127.5)
        self._frozen = self.first_stages(config.freeze_stages)
        stop_gradients(self._frozen)

    def forward(self, images: Float[Tensor, "b 3 H W"]) -> Features:
        """Return the maps at the strides of `channels`."""
        if self.config.levels == "ssdlite":
            return self._ssdlite_levels(images)
        x, found = images, []
        for layer in self.features:
            x = layer(x)
            found.append(x)
        if self.config.levels == "last_two":
            two = found[self._last[16] + 1], found[self._last[_COARSEST]]
            return dict(zip(self.channels, two, strict=True))
        return {stride: found[self._last[stride]] for stride in self.channels}

    def first_stages(self, count: int) -> list[nn.Module]:
        """Return the layers up to the `count`-th stride of the five from 2 to 32."""
        starts = [0] + [self._last[stride] + 1 for stride in sorted(self._last)]
        return [self.features[: starts[count]]]

    def train(self, mode: bool = True) -> MobileNet:
        """Set training or evaluation; frozen stages always stay in evaluation."""
        super().train(mode)
        keep_in_eval(self._frozen)
        return self

    def _ssdlite_levels(self, images: Tensor) -> Features:
        place = self._last[16] + 1
        block: nn.Sequential = self.features[place].block  # type: ignore[assignment]
        x = block[0](self.features[:place](images))
        maps = [x]
        x = self.features[place + 1 :](block[1:](x))  # a block that halves adds no shortcut
        maps.append(x)
        for level in self.extra:
            x = level(x)
            maps.append(x)
        return dict(zip(self.channels, maps, strict=True))


def _strides(layers: nn.Sequential) -> list[int]:
    """Return the stride of each layer's result, in pixels."""
    strides, stride = [], 1
    for layer in layers:
        for module in layer.modules():
            if isinstance(module, nn.Conv2d):
                stride *= module.stride[0]
        strides.append(stride)
    return strides


def _width(layer: nn.Module) -> int:
    """Return the channels of a layer's result: those of its last convolution."""
    return [module.out_channels for module in layer.modules() if isinstance(module, nn.Conv2d)][-1]


def _extra_levels(width: int, norm: Callable[[int], nn.Module]) -> nn.ModuleList:
    levels = []
    for channels in _EXTRA_CHANNELS.values():
        half = channels // 2
        layer = partial(Conv2dNormActivation, norm_layer=norm, activation_layer=nn.ReLU6)
        levels.append(
            nn.Sequential(
                layer(width, half, kernel_size=1),
                layer(half, half, kernel_size=3, stride=2, groups=half),
                layer(half, channels, kernel_size=1),
            )
        )
        width = channels
    return nn.ModuleList(levels)
