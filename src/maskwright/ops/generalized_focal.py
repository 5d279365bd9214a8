"""Generalised focal losses: soft class targets, and borders learnt as distributions.

Generalized Focal Loss, Li et al. 2020, https://arxiv.org/abs/2006.04388.

Shapes: n predictions, m bins, which stand for the values 0 to m - 1; any leading dimensions
where `...` stands.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

__all__ = ["distribution_focal_loss", "expected_value", "quality_focal_loss"]


def quality_focal_loss(
    logits: Float[Tensor, "*n"], qualities: Float[Tensor, "*n"], *, power: float = 2.0
) -> Float[Tensor, "*n"]:
    """Return the cross-entropy with a soft target, weighted by the distance from it.

    Section 3.2, equation 5: |y - p|^power times the binary cross-entropy of p = sigmoid(logit)
    with y. Its minimum, 0, is at p = y.

    Args:
        logits: Of any shape.
        qualities: Targets in [0, 1]: 0 is background.
        power: 2 in the paper.

    >>> quality_focal_loss(torch.zeros(2), torch.tensor([0.5, 1.0]))
    tensor([0.0000, 0.1733])
    """
    entropy = F.binary_cross_entropy_with_logits(logits, qualities, reduction="none")
    return (qualities - logits.sigmoid()).abs() ** power * entropy


def expected_value(logits: Float[Tensor, "*n m"]) -> Float[Tensor, "*n"]:
    """Return the mean of the distributions over the bins: section 3.2, equation 4.

    >>> expected_value(torch.tensor([[0.0, 0.0, 0.0], [0.0, 100.0, 100.0]]))
    tensor([1.0000, 1.5000])
    """
    values = torch.arange(logits.shape[-1], device=logits.device, dtype=logits.dtype)
    # no matrix product, which autocast would round to 8 bits
    return (logits.softmax(dim=-1) * values).sum(dim=-1)


def distribution_focal_loss(
    logits: Float[Tensor, "*n m"], values: Float[Tensor, "*n"]
) -> Float[Tensor, "*n"]:
    """Return the cross-entropy with the two bins around each value.

    Section 3.2, equation 6. It is smallest where the two bins share all probability so that the
    mean is the value.

    Args:
        logits: Of two or more bins.
        values: Targets; those outside [0, m - 1] are moved to its end.

    >>> distribution_focal_loss(torch.zeros(1, 4), torch.tensor([1.5]))  # ln 4
    tensor([1.3863])
    """
    last = logits.shape[-1] - 1
    values = values.clamp(0, last)
    lower = values.floor().clamp(max=last - 1).long()
    share = values - lower  # of the upper bin
    log_probs = logits.log_softmax(dim=-1)
    below = log_probs.gather(-1, lower[..., None])[..., 0]
    above = log_probs.gather(-1, lower[..., None] + 1)[..., 0]
    return -((1.0 - share) * below + share * above)
