"""Weights of classes by how many objects each has.

Shapes: k classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["class_balanced_weights", "object_weights"]


def class_balanced_weights(counts: Sequence[int], beta: float) -> Float[Tensor, " k"]:
    """Return a weight for each class, the inverse of its effective number of samples.

    Class-Balanced Loss Based on Effective Number of Samples, Cui et al. 2019,
    https://arxiv.org/abs/1901.05555: n samples of a class, which overlap, count as
    E = (1 - beta^n) / (1 - beta) (proposition 1); the weights 1 / E are scaled so that they sum to
    the number of classes (section 4). beta = 0 weighs all classes alike, beta -> 1 by the inverse
    of their counts. Classes without samples have weight 0 and do not count.

    Args:
        counts: Samples of each class.
        beta: In [0, 1); the paper takes 0.9, 0.99, 0.999 or 0.9999.

    >>> class_balanced_weights([1000, 10, 0], 0.99)
    tensor([0.1746, 1.8254, 0.0000])
    """
    inverse = _inverse_numbers(counts, beta)
    present = (inverse > 0).sum()
    return (inverse * present / inverse.sum().clamp(min=1e-12)).float()


def object_weights(counts: Sequence[int], beta: float) -> Float[Tensor, " k"]:
    """Return the weights of `class_balanced_weights`, scaled to a mean of 1 over all samples.

    What a detector needs, and a deviation from the paper: background has weight 1, and objects as
    a whole must not lose against it. With the paper's scale the many objects of a common class
    would weigh little each, and the class would not be found any more.

    >>> object_weights([1000, 10, 0], 0.99)
    tensor([0.9144, 9.5624, 0.0000])
    """
    inverse = _inverse_numbers(counts, beta)
    numbers = torch.tensor(list(counts), dtype=torch.float64)
    mean = (inverse * numbers).sum() / numbers.sum().clamp(min=1.0)
    return (inverse / mean.clamp(min=1e-12)).float()


def _inverse_numbers(counts: Sequence[int], beta: float) -> Float[Tensor, " k"]:
    """Return 1 / E of each class, 0 for one without samples."""
    numbers = torch.tensor(list(counts), dtype=torch.float64)
    # expm1 keeps digits where beta^n is near to 1
    if beta > 0:
        log_beta = torch.tensor(beta, dtype=torch.float64).log()
        effective = -torch.expm1(numbers * log_beta) / (1.0 - beta)
    else:
        effective = torch.ones_like(numbers)
    return torch.where(numbers > 0, 1.0 / effective.clamp(min=1e-12), 0.0)
