"""Overlap of boxes with their partners, and the loss that is made of it.

Shapes: n pairs of boxes; any leading dimensions where `...` stands.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from maskwright.ops.boxes import box_areas

__all__ = ["giou_loss", "paired_iou"]

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
    enclosing = box_areas(
        torch.cat(
            (
                torch.minimum(boxes[..., :2], others[..., :2]),
                torch.maximum(boxes[..., 2:], others[..., 2:]),
            ),
            dim=-1,
        )
    )
    iou = shared / covered.clamp(min=_SMALLEST_AREA)
    return 1.0 - iou + (enclosing - covered) / enclosing.clamp(min=_SMALLEST_AREA)


def _intersection_and_union(boxes: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    top_left = torch.maximum(boxes[..., :2], others[..., :2])
    bottom_right = torch.minimum(boxes[..., 2:], others[..., 2:])
    shared = (bottom_right - top_left).clamp(min=0).prod(dim=-1)
    return shared, box_areas(boxes) + box_areas(others) - shared
