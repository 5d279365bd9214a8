"""Overlap of boxes with their partners, and the losses that are made of it.

Shapes: n pairs of boxes; any leading dimensions where `...` stands.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from maskwright.ops.boxes import box_areas

__all__ = ["ciou_loss", "diou_loss", "giou_loss", "paired_iou"]

_SMALLEST_AREA = 1e-7
"""In square pixels: keeps the ratios of boxes without area finite."""


def paired_iou(boxes: Float[Tensor, "*b n 4"], others: Float[Tensor, "*b n 4"]) -> Tensor:
    """Return the intersection over union of each box with its partner, in [0, 1].

    Two boxes without area give 0.

    >>> paired_iou(torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.tensor([[1.0, 0.0, 3.0, 2.0]]))
    tensor([0.3333])
    """
    shared, covered = _intersection_and_union(boxes, others)
    return shared / covered.clamp(min=_SMALLEST_AREA)


def giou_loss(boxes: Float[Tensor, "*b n 4"], others: Float[Tensor, "*b n 4"]) -> Tensor:
    """Return 1 - GIoU of each box with its partner, in [0, 2]: 0 where they are equal.

    Generalized Intersection over Union, Rezatofighi et al. 2019, https://arxiv.org/abs/1902.09630,
    algorithm 1: IoU minus the part of the smallest enclosing box that neither covers, so that
    boxes apart from each other are still drawn together. Corners must be in order.

    >>> box = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 2.0]])
    >>> giou_loss(box, torch.tensor([[0.0, 0.0, 2.0, 2.0], [2.0, 0.0, 8.0, 1.0]]))
    tensor([0.0000, 1.3750])
    """
    shared, covered = _intersection_and_union(boxes, others)
    enclosing = box_areas(_enclosing(boxes, others))
    iou = shared / covered.clamp(min=_SMALLEST_AREA)
    return 1.0 - iou + (enclosing - covered) / enclosing.clamp(min=_SMALLEST_AREA)


def diou_loss(boxes: Float[Tensor, "*b n 4"], others: Float[Tensor, "*b n 4"]) -> Tensor:
    """Return 1 - IoU plus how far the centres are apart, in [0, 2]: 0 where boxes are equal.

    Distance-IoU Loss, Zheng et al. 2020, https://arxiv.org/abs/1911.08287, equation 7: the
    squared distance of the centres over that of the corners of the smallest enclosing box. It
    moves a box inside another as well, where GIoU has no slope but IoU's. Corners in order.

    >>> box = torch.tensor([[0.0, 0.0, 2.0, 2.0]])
    >>> diou_loss(box, torch.tensor([[2.0, 0.0, 4.0, 2.0]]))
    tensor([1.2000])
    """
    shared, covered = _intersection_and_union(boxes, others)
    iou = shared / covered.clamp(min=_SMALLEST_AREA)
    return 1.0 - iou + _centre_distance(boxes, others)


def ciou_loss(boxes: Float[Tensor, "*b n 4"], others: Float[Tensor, "*b n 4"]) -> Tensor:
    """Return the DIoU loss plus how much the shapes differ: 0 where boxes are equal.

    Distance-IoU Loss, Zheng et al. 2020, section 3.3, equations 8 to 11, "Complete IoU": v, the
    squared difference of the angles of the diagonals, times alpha, which is held constant (as in
    the authors' code). Corners must be in order.

    >>> wide, tall = torch.tensor([[0.0, 0.0, 4.0, 2.0]]), torch.tensor([[1.0, -1.0, 3.0, 3.0]])
    >>> ciou_loss(wide, tall) - diou_loss(wide, tall)
    tensor([0.0338])
    """
    shared, covered = _intersection_and_union(boxes, others)
    iou = shared / covered.clamp(min=_SMALLEST_AREA)
    shape = 4.0 / math.pi**2 * (_diagonal_angle(others) - _diagonal_angle(boxes)) ** 2
    with torch.no_grad():
        alpha = shape / (1.0 - iou + shape).clamp(min=_SMALLEST_AREA)
    return 1.0 - iou + _centre_distance(boxes, others) + alpha * shape


def _centre_distance(boxes: Tensor, others: Tensor) -> Tensor:
    """Squared distance of the centres, over the squared diagonal of the enclosing box."""
    apart = (boxes[..., :2] + boxes[..., 2:] - others[..., :2] - others[..., 2:]) / 2
    enclosing = _enclosing(boxes, others)
    diagonal = (enclosing[..., 2:] - enclosing[..., :2]).square().sum(dim=-1)
    return apart.square().sum(dim=-1) / diagonal.clamp(min=_SMALLEST_AREA)


def _diagonal_angle(boxes: Tensor) -> Tensor:
    """atan(width / height); with a slope also for boxes without a height."""
    sides = (boxes[..., 2:] - boxes[..., :2]).clamp(min=_SMALLEST_AREA)
    return torch.atan(sides[..., 0] / sides[..., 1])


def _enclosing(boxes: Tensor, others: Tensor) -> Tensor:
    """The smallest box around each pair."""
    top_left = torch.minimum(boxes[..., :2], others[..., :2])
    return torch.cat((top_left, torch.maximum(boxes[..., 2:], others[..., 2:])), dim=-1)


def _intersection_and_union(boxes: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    top_left = torch.maximum(boxes[..., :2], others[..., :2])
    bottom_right = torch.minimum(boxes[..., 2:], others[..., 2:])
    shared = (bottom_right - top_left).clamp(min=0).prod(dim=-1)
    return shared, box_areas(boxes) + box_areas(others) - shared
