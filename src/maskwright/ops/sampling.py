"""Sampling: the few boxes of a picture from which a detector learns.

Shapes: n boxes, p sampled positives, q sampled negatives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Generator, Tensor

from maskwright.ops.matching import BACKGROUND

__all__ = ["BalancedSampler", "Sampler"]

Sampler = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Matches of a picture's boxes (n,) -> indices of positives (p,) and of negatives (q,), sorted."""


@dataclass(frozen=True, kw_only=True)
class BalancedSampler:
    """Draws boxes at random, up to a fraction of them positive (Fast R-CNN, section 2.3).

    Negatives fill up what positives leave; a picture with too few of both gives fewer.

    Args:
        num_samples: Boxes per picture.
        positive_fraction: Largest part of positives among `num_samples`.
        generator: Source of randomness, on the device of the matches; None is torch's own, which
            training seeds and stores.

    >>> sampler = BalancedSampler(num_samples=4, positive_fraction=0.5)
    >>> sampler(torch.tensor([0, -1, -2, -1]))
    (tensor([0]), tensor([1, 3]))
    """

    num_samples: int
    positive_fraction: float
    generator: Generator | None = None

    def __call__(
        self, matched: Int64[Tensor, " n"]
    ) -> tuple[Int64[Tensor, " p"], Int64[Tensor, " q"]]:
        """Return sorted indices of the drawn positives (match >= 0) and negatives (BACKGROUND)."""
        positive = torch.where(matched >= 0)[0]
        negative = torch.where(matched == BACKGROUND)[0]
        num_positive = min(len(positive), int(self.num_samples * self.positive_fraction))
        num_negative = min(len(negative), self.num_samples - num_positive)
        return self._draw(positive, num_positive), self._draw(negative, num_negative)

    def _draw(self, indices: Tensor, count: int) -> Tensor:
        order = torch.randperm(len(indices), device=indices.device, generator=self.generator)
        return indices[order[:count]].sort().values
