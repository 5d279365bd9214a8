"""Losses of whole masks: overlap (Dice), IoU (Lovasz) and outlines (boundary).

Shapes: n masks of p cells each, in any order; s cells of a crop per side. Every function gives one
number per mask, and nothing for no masks.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = [
    "boundary_loss",
    "dice_loss",
    "lovasz_hinge_loss",
    "lovasz_loss",
    "signed_distances",
]

_EMPTY = 1e-6
"""Added above and below, so that nothing drawn of nothing is a perfect mask."""


def dice_loss(probs: Float[Tensor, "n p"], targets: Float[Tensor, "n p"]) -> Float[Tensor, " n"]:
    """Return 1 minus the soft Dice coefficient of each mask, in [0, 1]: 0 where both are equal.

    V-Net, Milletari et al. 2016, https://arxiv.org/abs/1606.04797, section 3:
    2 sum(p t) / (sum(p^2) + sum(t^2)). Small masks count as much as large ones.

    Args:
        probs: In [0, 1].
        targets: In [0, 1]; nothing drawn of a mask without cells is perfect.

    >>> dice_loss(torch.tensor([[1.0, 1.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0]]))
    tensor([0.3333])
    """
    shared = (probs * targets).sum(dim=1)
    sizes = probs.square().sum(dim=1) + targets.square().sum(dim=1)
    return 1.0 - (2.0 * shared + _EMPTY) / (sizes + _EMPTY)


def lovasz_loss(errors: Float[Tensor, "n p"], targets: Bool[Tensor, "n p"]) -> Float[Tensor, " n"]:
    """Return the Lovasz extension of 1 - IoU at the errors of each mask's cells, 0 or more.

    The Lovasz-Softmax loss, Berman et al. 2018, https://arxiv.org/abs/1705.08790, section 2.2 and
    algorithm 1: errors are sorted, and each is weighted by how much IoU is lost with its cell. At
    errors of 0 and 1 it is 1 - IoU itself.

    Args:
        errors: How wrong each cell is: 0 is right.
        targets: Which cells the mask has. Of a mask without cells it is the largest error.

    >>> errors = torch.tensor([[0.0, 1.0, 0.0]])  # one of two cells is missing
    >>> lovasz_loss(errors, torch.tensor([[True, True, False]]))
    tensor([0.5000])
    """
    if not errors.numel():
        return errors.sum(dim=1)
    order = errors.detach().argsort(dim=1, descending=True)
    return (errors.gather(1, order) * _iou_steps(targets.gather(1, order))).sum(dim=1)


def lovasz_hinge_loss(
    logits: Float[Tensor, "n p"], targets: Bool[Tensor, "n p"]
) -> Float[Tensor, " n"]:
    """Return `lovasz_loss` of hinge errors: section 2.3, for one class against the background.

    A cell's error is max(0, 1 - logit) inside the mask and max(0, 1 + logit) outside.

    >>> lovasz_hinge_loss(torch.tensor([[2.0, -2.0]]), torch.tensor([[True, False]]))
    tensor([0.])
    """
    signs = 2.0 * targets.to(logits) - 1.0
    return lovasz_loss((1.0 - logits * signs).clamp(min=0), targets)


def boundary_loss(
    probs: Float[Tensor, "n p"], targets: Bool[Tensor, "n p"], distances: Float[Tensor, "n p"]
) -> Float[Tensor, " n"]:
    """Return the mean distance from the true outline of what is drawn wrongly, 0 or more.

    Boundary loss for highly unbalanced segmentation, Kervadec et al. 2019,
    https://arxiv.org/abs/1812.07032, equations 3 to 5, with the term of the truth that the paper
    drops from (5), which changes no gradient and brings the least value to 0. To be used beside
    another loss: alone, it is content with an empty mask where an object is small (section 3).

    Args:
        probs: In [0, 1].
        targets: Which cells the mask has.
        distances: See `signed_distances`.

    >>> distances = torch.tensor([[-0.2, -0.1, 0.1, 0.2]])
    >>> targets = torch.tensor([[True, True, False, False]])
    >>> boundary_loss(torch.tensor([[0.0, 1.0, 1.0, 0.0]]), targets, distances)
    tensor([0.0750])
    """
    return (distances * (probs - targets.to(probs))).sum(dim=1) / max(probs.shape[1], 1)


def signed_distances(masks: Bool[Tensor, "n h w"]) -> Float[Tensor, "n h w"]:
    """Return how far each cell is from its mask's outline: below 0 inside, above 0 outside.

    Kervadec et al. 2019, section 2.2 and their code: to the nearest cell of the mask from outside,
    to the nearest that is not, less one, from inside; exact to a hundredth of a cell. In units of
    the longer side, so that a loss of them does not depend on the resolution. A mask that is empty
    or fills its crop has no outline, and distances of 0.

    >>> signed_distances(torch.tensor([[[False, True, True, True]]]))
    tensor([[[ 0.2500,  0.0000, -0.2500, -0.5000]]])
    """
    import cv2

    distances = np.zeros(masks.shape, np.float32)
    side = max(masks.shape[1:], default=1)
    for found, mask in zip(distances, masks.cpu().numpy().astype(np.uint8), strict=True):
        if mask.any() and not mask.all():
            outside = cv2.distanceTransform(1 - mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            inside = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            found[:] = (outside - np.maximum(inside - 1, 0)) / side
    return torch.from_numpy(distances).to(masks.device)


def _iou_steps(targets: Bool[Tensor, "n p"]) -> Float[Tensor, "n p"]:
    """What 1 - IoU rises by as each cell in turn is got wrong: algorithm 1."""
    inside = targets.float()
    total = inside.sum(dim=1, keepdim=True)
    shared = total - inside.cumsum(dim=1)
    union = total + (1.0 - inside).cumsum(dim=1)
    jaccard = 1.0 - shared / union.clamp(min=1.0)
    return torch.cat((jaccard[:, :1], jaccard[:, 1:] - jaccard[:, :-1]), dim=1)
