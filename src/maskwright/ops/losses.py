"""Losses that are means over pictures, so that a batch of one is a per-sample loss.

Shapes: b pictures, n boxes of all pictures together.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["mean_over_pictures", "zero_with_gradient"]


def mean_over_pictures(
    losses: Float[Tensor, " n"], counts: Sequence[int], divisors: Sequence[float] | None = None
) -> Float[Tensor, ""]:
    """Return the mean over pictures of each picture's sum of losses over its divisor.

    A picture without boxes counts as a loss of zero, so that the loss of a batch is the mean of
    the losses of its pictures alone.

    Args:
        losses: One per box, picture after picture.
        counts: Boxes of each picture; their sum is n.
        divisors: What each picture's sum is divided by; its number of boxes where None. Zero
            counts as one.

    >>> mean_over_pictures(torch.tensor([1.0, 3.0, 5.0]), [2, 1])
    tensor(3.5000)
    """
    weights = [
        1.0 / (max(divisor, 1.0) * len(counts))
        for divisor in (counts if divisors is None else divisors)
    ]
    per_box = torch.repeat_interleave(torch.tensor(weights), torch.tensor(counts))
    return (losses * per_box.to(losses)).sum()


def zero_with_gradient(module: nn.Module) -> Float[Tensor, ""]:
    """Return a zero that gives every trainable parameter of `module` a gradient of zero.

    For a head without boxes in this batch: distributed training waits for all gradients, and
    batch normalisation of nothing would turn its statistics into NaN.
    """
    terms = [parameter.sum() for parameter in module.parameters() if parameter.requires_grad]
    return torch.stack(terms).sum() * 0.0 if terms else torch.zeros(())
