"""Losses of classes, which detectors choose from by name; each can weigh rare classes more.

Shapes: n boxes, k classes of objects; logit 0 of a softmax is the background, label i is i + 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from maskwright.errors import ConfigError
from maskwright.ops.class_balance import object_weights
from maskwright.ops.ranges import Balance, Count, Fraction, NonNegative

__all__ = [
    "ClassLoss",
    "CrossEntropy",
    "Focal",
    "QualityFocal",
    "class_weights",
    "sigmoid_focal_loss",
    "softmax_class_loss",
]


@dataclass(frozen=True, kw_only=True)
class CrossEntropy:
    """Softmax and cross-entropy.

    Args:
        balance: Objects of rare classes weigh more: beta of `class_balanced_weights`, 0.9 for a
            little, 0.999 for much; None weighs all alike.
        class_counts: Training objects of each class, which `balance` needs; `train` fills them in.
    """

    kind: Literal["cross_entropy"] = "cross_entropy"
    balance: Balance | None = None
    class_counts: tuple[Count, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Focal:
    """Cross-entropy in which what is classified well already weighs little.

    Focal Loss for Dense Object Detection, Lin et al. 2017, https://arxiv.org/abs/1708.02002.
    Deviation: of a softmax, as the detector's scores are, not of a sigmoid per class.

    Args:
        gamma: (1 - p)^gamma is the weight of a probability of p for the right class.
        alpha: Weight of objects, and 1 - alpha that of background; None weighs both alike.
        balance: As for `CrossEntropy`; it multiplies alpha.
        class_counts: As for `CrossEntropy`.
    """

    kind: Literal["focal"] = "focal"
    gamma: NonNegative = 2.0
    alpha: Fraction | None = 0.25
    balance: Balance | None = None
    class_counts: tuple[Count, ...] = ()


@dataclass(frozen=True, kw_only=True)
class QualityFocal:
    """Focal loss with soft targets, see `quality_focal_loss`.

    Args:
        gamma: Of the distance from the target; 0 is binary cross-entropy.
        balance: As for `CrossEntropy`; the weight of a class holds for all scores of its cells.
        class_counts: As for `CrossEntropy`.
    """

    kind: Literal["quality_focal"] = "quality_focal"
    gamma: NonNegative = 2.0
    balance: Balance | None = None
    class_counts: tuple[Count, ...] = ()


ClassLoss: TypeAlias = CrossEntropy | Focal
"""What a detector that scores by a softmax may learn with."""


def class_weights(
    loss: CrossEntropy | Focal | QualityFocal, num_classes: int
) -> Float[Tensor, " k"] | None:
    """Return the weight of each class; None where all weigh alike.

    Raises:
        ConfigError: Counts of another number of classes, or none where they are needed.
    """
    if loss.balance is None:
        return None
    if len(loss.class_counts) != num_classes:
        raise ConfigError(
            f"class_loss.balance={loss.balance:g} weighs {num_classes} classes by their objects, "
            f"and class_loss.class_counts has {len(loss.class_counts)} numbers: give one per "
            "class (maskwright train counts them itself)"
        )
    return object_weights(loss.class_counts, loss.balance)


def softmax_class_loss(
    loss: ClassLoss,
    logits: Float[Tensor, "n k+1"],
    classes: Int64[Tensor, " n"],
) -> Float[Tensor, " n"]:
    """Return the loss of each box for its class, 0 for background and label + 1 for objects.

    >>> from maskwright.ops import CrossEntropy, Focal
    >>> logits, classes = torch.zeros(2, 2), torch.tensor([0, 1])
    >>> softmax_class_loss(CrossEntropy(), logits, classes)  # ln 2
    tensor([0.6931, 0.6931])
    >>> softmax_class_loss(Focal(), logits, classes)  # times 1/4, times 3/4 or 1/4
    tensor([0.1300, 0.0433])
    """
    entropy = F.cross_entropy(logits, classes, reduction="none")
    if isinstance(loss, Focal):
        entropy = (1.0 - torch.exp(-entropy)).clamp(min=0) ** loss.gamma * entropy
        if loss.alpha is not None:
            entropy = entropy * torch.where(classes > 0, loss.alpha, 1.0 - loss.alpha)
    weights = class_weights(loss, logits.shape[1] - 1)
    if weights is None:
        return entropy
    return entropy * F.pad(weights.to(logits), (1, 0), value=1.0)[classes]


def sigmoid_focal_loss(
    logits: Float[Tensor, "*n"],
    targets: Float[Tensor, "*n"],
    *,
    gamma: float = 2.0,
    alpha: float | None = 0.25,
) -> Float[Tensor, "*n"]:
    """Return the focal loss of probabilities, 0 or more, against targets in [0, 1].

    Lin et al. 2017, equation 5, with p_t = p t + (1 - p)(1 - t) for soft targets, as in
    torchvision.

    >>> sigmoid_focal_loss(torch.zeros(2), torch.tensor([0.0, 1.0]))
    tensor([0.1300, 0.0433])
    """
    probs = logits.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    right = probs * targets + (1.0 - probs) * (1.0 - targets)
    loss = (1.0 - right) ** gamma * entropy
    if alpha is None:
        return loss
    return loss * (alpha * targets + (1.0 - alpha) * (1.0 - targets))
