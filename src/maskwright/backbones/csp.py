"""CSP: the backbone of the YOLO family, of any size by two numbers.

CSPNet, Wang et al. 2020, https://arxiv.org/abs/1911.11929: each stage sends half of its channels
through residual blocks and the other half past them. Stages, blocks and sizes are those of
YOLOX (Ge et al. 2021, https://arxiv.org/abs/2107.08430), with spatial pyramid pooling (He et al.
2015, https://arxiv.org/abs/1406.4729) before the last. Deviations: the stem is a plain 3 x 3
convolution of stride 2; any normalisation.

Shapes: b pictures, c channels, (h, w) of a map, (H, W) the padded size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Annotated, Final, Literal, Self

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from maskwright.backbones.backbone import Backbone
from maskwright.backbones.freezing import keep_in_eval, stop_gradients
from maskwright.backbones.norm import Norm, norm_layer
from maskwright.errors import ConfigError, nearest_name
from maskwright.ops import Positive
from maskwright.structures import Features

__all__ = ["CSP", "CSP_SIZES"]

CSP_SIZES: Final[Mapping[str, tuple[float, float]]] = MappingProxyType(
    {
        "nano": (0.33, 0.25),
        "tiny": (0.33, 0.375),
        "small": (0.33, 0.5),
        "medium": (0.67, 0.75),
        "large": (1.0, 1.0),
    }
)
"""Name -> (depth, width) of YOLOX's sizes."""

_BLOCKS = (3, 9, 9, 3)
_CHANNELS = (128, 256, 512, 1024)
"""Residual blocks and channels of the stages at depth and width 1, at strides 4, 8, 16 and 32."""

_DIVISOR = 8
"""Channels are multiples of it, so that vector units and groups divide them."""

_Layer = Callable[..., nn.Module]


class CSP(Backbone):
    """A cross-stage partial network that gives the maps at strides 4, 8, 16 and 32.

    Args:
        config: Depth, width, normalisation, frozen stages.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of `CSP`.

        Args:
            depth: Factor of the residual blocks, of which each stage has at least one.
            width: Factor of the channels.
            norm: Normalisation of every convolution.
            freeze_stages: How many of the five stages (stem, then four of blocks) stay as they
                are in training, counted from the picture.
        """

        kind: Literal["csp"] = "csp"
        depth: Positive = 0.33
        width: Positive = 0.5
        norm: Norm = "batch"
        freeze_stages: Annotated[int, Field(ge=0, le=5)] = 0

        @classmethod
        def of_size(cls, name: str) -> Self:
            """Return the options of one of `CSP_SIZES`.

            Raises:
                ConfigError: There is no such size.

            >>> CSP.Config.of_size("nano").width
            0.25
            """
            if name not in CSP_SIZES:
                raise ConfigError(
                    f"unknown size {name!r} of the CSP backbone.{nearest_name(name, [*CSP_SIZES])} "
                    f"There are: {', '.join(CSP_SIZES)}"
                )
            depth, width = CSP_SIZES[name]
            return cls(depth=depth, width=width)

        def build(self) -> CSP:
            """Return the network with random weights (He et al. 2015)."""
            return CSP(self)

    def __init__(self, config: CSP.Config) -> None:
        super().__init__()
        layer = partial(
            Conv2dNormActivation, norm_layer=norm_layer(config.norm), activation_layer=nn.SiLU
        )
        widths = [_DIVISOR * max(1, round(wide * config.width / _DIVISOR)) for wide in _CHANNELS]
        counts = [max(1, round(count * config.depth)) for count in _BLOCKS]
        before = _DIVISOR * max(1, round(widths[0] / 2 / _DIVISOR))
        self.stem = layer(3, before, kernel_size=3, stride=2)
        stages: list[nn.Module] = []
        for width, count in zip(widths, counts, strict=True):
            is_last = len(stages) == len(widths) - 1
            stages.append(
                nn.Sequential(
                    layer(before, width, kernel_size=3, stride=2),
                    _PyramidPooling(width, layer) if is_last else nn.Identity(),
                    # the last stage looks around and refines nothing (YOLOX)
                    _Stage(width, count, layer, is_residual=not is_last),
                )
            )
            before = width
        self.stages = nn.ModuleList(stages)
        self.channels = {4 * 2**index: width for index, width in enumerate(widths)}
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self._frozen = self.first_stages(config.freeze_stages)
        stop_gradients(self._frozen)

    def forward(self, images: Float[Tensor, "b 3 H W"]) -> Features:
        """Return the maps at strides 4, 8, 16 and 32."""
        x = self.stem(images)  # (b, c, H / 2, W / 2)
        features = {}
        for stride, stage in zip(self.channels, self.stages, strict=True):
            x = stage(x)
            features[stride] = x
        return features

    def first_stages(self, count: int) -> list[nn.Module]:
        """Return the stem and the blocks after it, up to `count` of the five."""
        return [self.stem, *self.stages][:count]

    def train(self, mode: bool = True) -> CSP:
        """Set training or evaluation; frozen stages always stay in evaluation."""
        super().train(mode)
        keep_in_eval(self._frozen)
        return self


class _Stage(nn.Module):
    """Half of the channels through `count` blocks, the other half past them, then both mixed."""

    def __init__(self, width: int, count: int, layer: _Layer, *, is_residual: bool) -> None:
        super().__init__()
        half = width // 2
        self.through = layer(width, half, kernel_size=1)
        self.past = layer(width, half, kernel_size=1)
        self.blocks = nn.Sequential(
            *(_Block(half, layer, is_residual=is_residual) for _ in range(count))
        )
        self.mix = layer(2 * half, width, kernel_size=1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        mixed: Tensor = self.mix(torch.cat((self.blocks(self.through(x)), self.past(x)), dim=1))
        return mixed


class _Block(nn.Module):
    """A 1 x 1 and a 3 x 3 convolution, added to what came in if residual."""

    def __init__(self, width: int, layer: _Layer, *, is_residual: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            layer(width, width, kernel_size=1), layer(width, width, kernel_size=3)
        )
        self.is_residual = is_residual

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        found: Tensor = self.layers(x)
        return x + found if self.is_residual else found


class _PyramidPooling(nn.Module):
    """Each place beside the largest values around it, in squares of 5, 9 and 13 cells.

    The squares of 9 and 13 are the maximum over 5 of that over 5, and once more: the same values
    as three separate poolings, with 75 instead of 275 values looked at for each.
    """

    def __init__(self, width: int, layer: _Layer) -> None:
        super().__init__()
        self.reduce = layer(width, width // 2, kernel_size=1)
        self.mix = layer(4 * (width // 2), width, kernel_size=1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        pooled = [self.reduce(x)]
        for _ in range(3):
            pooled.append(F.max_pool2d(pooled[-1], kernel_size=5, stride=1, padding=2))
        mixed: Tensor = self.mix(torch.cat(pooled, dim=1))
        return mixed
