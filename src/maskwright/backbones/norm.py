"""Normalisation layers by name, so that every network takes `norm` as an argument."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

from torch import nn
from torchvision.ops import FrozenBatchNorm2d

__all__ = ["Norm", "norm_layer"]

Norm = Literal["batch", "frozen_batch", "group"]
"""Batch normalisation; the same with fixed statistics and scale (for batches of a few pictures
and weights from elsewhere); group normalisation (for training such batches from scratch)."""

_GROUPS = 32
"""Group Normalization (Wu and He 2018), table 3."""


def norm_layer(norm: Norm, *, eps: float = 1e-5) -> Callable[[int], nn.Module]:
    """Return what builds the normalisation of a number of channels.

    >>> norm_layer("group")(48).num_groups
    24
    """
    builders: dict[Norm, Callable[[int], nn.Module]] = {
        "batch": partial(nn.BatchNorm2d, eps=eps),
        "frozen_batch": partial(FrozenBatchNorm2d, eps=eps),
        "group": partial(_group_norm, eps=eps),
    }
    return builders[norm]


def _group_norm(channels: int, *, eps: float) -> nn.GroupNorm:
    """Use the largest number of groups up to 32 that divides the channels."""
    groups = next(count for count in range(min(_GROUPS, channels), 0, -1) if channels % count == 0)
    return nn.GroupNorm(groups, channels, eps=eps)
