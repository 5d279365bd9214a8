"""The contract of every backbone: a picture in, feature maps by stride out."""

from __future__ import annotations

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn

from maskwright.structures import Features

__all__ = ["Backbone"]


class Backbone(nn.Module, ABC):
    """Turns normalised pictures into feature maps at several strides.

    Attributes:
        channels: Stride in pixels -> number of channels, in rising order of stride.
        amplifies_rounding: Vectors of a map are divided by their own length: where one is nearly
            zero, its rounding becomes as large as others' values.
        num_stages: How many stages can be frozen, see `first_stages`.
        pixel_mean: Mean of R, G, B (0..255) that its weights were trained with.
        pixel_std: Standard deviation likewise.
    """

    channels: dict[int, int]
    amplifies_rounding: bool = False
    num_stages: int = 5
    pixel_mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    pixel_std: tuple[float, float, float] = (58.395, 57.12, 57.375)

    @abstractmethod
    def forward(self, images: Float[Tensor, "b 3 H W"]) -> Features:
        """Return one map (b, channels[stride], ceil(H / stride), ceil(W / stride)) per stride."""

    @abstractmethod
    def first_stages(self, count: int) -> list[nn.Module]:
        """Return the modules of the first `count` stages, counted from the picture.

        Layers behind the last stage, which have no weights of ImageNet, belong to none.
        """
