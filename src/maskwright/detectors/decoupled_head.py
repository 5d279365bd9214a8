"""Decoupled head: classes and borders predicted at every cell, by a branch of layers each.

YOLOX, Ge et al. 2021, https://arxiv.org/abs/2107.08430, section 2.1, figure 2: a 1 x 1 convolution,
then two branches of 3 x 3 ones. Deviations: no objectness; each border is a distribution (Li et al.
2020, see ops/generalized_focal.py); all levels share the branches behind a first layer of their own
(RetinaNet, TOOD), which learns from fewer pictures; any normalisation.

Shapes: b pictures, n cells of all levels, k classes, m bins of a distance, c channels,
(h, w) of a level.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from maskwright.backbones import Norm, norm_layer
from maskwright.structures import Features

__all__ = ["DecoupledHead"]

_PRIOR = 0.01
"""Score of every cell before training: RetinaNet (Lin et al. 2017), section 4.1."""

_FIRST_DISTANCE = 2.5
"""Mean distance in strides before training. Boxes are five cells wide at first, so that each level
overlaps objects of its own size best and the assignment starts well; an even distribution would
have them 16 cells wide."""


class DecoupledHead(nn.Module):
    """Predicts class scores and the distances to four borders at every cell of every level.

    Args:
        channels: Stride -> channels of the levels it reads, rising; they may differ.
        num_classes: Classes of objects, without background.
        num_bins: Values of a distance, from 0 in steps of a stride.
        width: Channels of its layers.
        num_convs: 3 x 3 convolutions of each branch.
        norm: Normalisation of every convolution; None for a bias instead.
    """

    def __init__(
        self,
        channels: Mapping[int, int],
        num_classes: int,
        num_bins: int,
        *,
        width: int,
        num_convs: int,
        norm: Norm | None,
    ) -> None:
        super().__init__()
        layer = partial(
            Conv2dNormActivation,
            norm_layer=None if norm is None else norm_layer(norm),
            activation_layer=nn.SiLU,
        )
        self.strides = list(channels)
        self.stems = nn.ModuleList(layer(wide, width, kernel_size=1) for wide in channels.values())
        self.class_branch, self.box_branch = (
            nn.Sequential(*(layer(width, width, kernel_size=3) for _ in range(num_convs)))
            for _ in range(2)
        )
        self.classifier = nn.Conv2d(width, num_classes, kernel_size=1)
        self.regressor = nn.Conv2d(width, 4 * num_bins, kernel_size=1)
        self._initialise(num_bins)

    def _initialise(self, num_bins: int) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for predictor in (self.classifier, self.regressor):
            nn.init.normal_(predictor.weight, std=0.01)
        assert self.classifier.bias is not None
        assert self.regressor.bias is not None
        nn.init.constant_(self.classifier.bias, -math.log((1 - _PRIOR) / _PRIOR))
        # geometric: each bin is less likely than the one before by a factor, which sets the mean
        falling = -math.log1p(1 / _FIRST_DISTANCE) * torch.arange(num_bins)
        self.regressor.bias.data = falling.repeat(4)

    def forward(
        self, features: Features
    ) -> tuple[Float[Tensor, "b n k"], Float[Tensor, "b n 4 m"]]:
        """Return the logits of the classes and of the distances, in the order of `grid_cells`."""
        logits, distances = [], []
        for stride, stem in zip(self.strides, self.stems, strict=True):
            x = stem(features[stride])  # (b, c, h, w)
            scores = self.classifier(self.class_branch(x))  # (b, k, h, w)
            borders = self.regressor(self.box_branch(x))  # (b, 4 m, h, w)
            logits.append(scores.flatten(2).transpose(1, 2).float())
            distances.append(borders.flatten(2).transpose(1, 2).unflatten(2, (4, -1)).float())
        return torch.cat(logits, dim=1), torch.cat(distances, dim=1)
