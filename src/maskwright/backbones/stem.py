"""The first convolution of a backbone, for pictures of other than three channels.

The rule: with one channel it takes the sum of the weights for R, G and B, so that a grey picture
gives what it would repeated three times; with c channels, channel i takes the weights of R, G and
B in turn (i modulo 3) times 3 / c, so that the sum over the channels keeps its size. timm does the
same.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maskwright.backbones.backbone import Backbone
from maskwright.errors import ConfigError

__all__ = ["adapt_stem", "spread_weights", "stem_name"]

_RGB = 3


def spread_weights(weight: Float[Tensor, "o 3 k1 k2"], channels: int) -> Float[Tensor, "o c k1 k2"]:
    """Return the weights of a first convolution for pictures of `channels` channels.

    >>> spread_weights(torch.ones(1, 3, 1, 1), 1).flatten().tolist()
    [3.0]
    >>> spread_weights(torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1), 4).flatten().tolist()
    [0.75, 1.5, 2.25, 0.75]
    """
    if channels == _RGB:
        return weight
    if channels == 1:
        return weight.sum(dim=1, keepdim=True)
    turns = torch.arange(channels, device=weight.device) % _RGB
    return weight[:, turns] * (_RGB / channels)


def stem_name(backbone: Backbone) -> str:
    """Return the name of the convolution that reads the picture.

    Raises:
        ConfigError: The backbone has none.
    """
    for name, module in backbone.named_modules():
        if isinstance(module, nn.Conv2d):
            return str(name)
    raise ConfigError(f"{type(backbone).__name__} has no convolution that reads the picture")


def adapt_stem(backbone: Backbone, channels: int) -> None:
    """Let a backbone take pictures of `channels` channels; its weights stay by the rule above.

    Raises:
        ConfigError: Its first convolution does not read three channels.
    """
    if channels == _RGB:
        return
    convolution = backbone.get_submodule(stem_name(backbone))
    assert isinstance(convolution, nn.Conv2d)
    if convolution.in_channels != _RGB or convolution.groups != 1:
        raise ConfigError(
            f"the first convolution of {type(backbone).__name__} reads {convolution.in_channels} "
            f"channels in {convolution.groups} groups: it cannot be made to take {channels}"
        )
    weight = convolution.weight
    convolution.weight = nn.Parameter(
        spread_weights(weight.detach(), channels).clone(), requires_grad=weight.requires_grad
    )
    convolution.in_channels = channels
