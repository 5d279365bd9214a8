"""Matching: which box of a detector answers for which true object.

Shapes: t targets, n boxes (anchors or proposals).
"""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from maskwright.ops.best_overlaps import best_overlaps
from maskwright.ops.boxes import pairwise_coverage, pairwise_iou
from maskwright.structures import Instances

__all__ = ["BACKGROUND", "IGNORED", "match_by_iou", "match_targets"]

BACKGROUND: Final = -1
"""Match of a box that is to learn that nothing is there."""

IGNORED: Final = -2
"""Match of a box from which nothing is learnt."""

_CROWD_COVERAGE = 0.7
"""Part of a box inside a crowd from which on it is ignored (Detectron, CROWD_FILTER_THRESH)."""


def match_by_iou(
    iou: Float[Tensor, "t n"], *, foreground: float, background: float, keep_best: bool = False
) -> Int64[Tensor, " n"]:
    """Return for each box the target with the largest IoU, or BACKGROUND, or IGNORED.

    Args:
        iou: Of every target with every box.
        foreground: IoU from which on a box belongs to its target.
        background: IoU below which a box is background; between the two it is ignored.
        keep_best: Also keep the boxes that overlap a target more than any other box does, however
            little that is, so that no target is without a box (Faster R-CNN, section 3.1.2,
            condition i). Each still belongs to the target that *it* overlaps most.

    >>> match_by_iou(torch.tensor([[0.8, 0.4, 0.1]]), foreground=0.5, background=0.3)
    tensor([ 0, -2, -1])
    """
    if not len(iou):
        return torch.full(iou.shape[1:], BACKGROUND, dtype=torch.int64, device=iou.device)
    best_iou, best = iou.max(dim=0)
    matched = torch.where(best_iou < background, BACKGROUND, IGNORED)
    matched = torch.where(best_iou >= foreground, best, matched)
    if keep_best and iou.shape[1]:
        largest = iou.max(dim=1, keepdim=True).values
        # a target that no box touches would else claim every box that does not touch it
        nearest = ((iou == largest) & (largest > 0)).any(dim=0)
        matched = torch.where(nearest, best, matched)
    return matched


def match_targets(
    boxes: Float[Tensor, "n 4"],
    targets: Instances,
    *,
    foreground: float,
    background: float,
    keep_best: bool = False,
) -> Int64[Tensor, " n"]:
    """Return for each box the index of its target, or BACKGROUND, or IGNORED.

    Crowds are ignore regions: no box is matched to one, and a box that would be background and
    lies in one by 70 % of its area is ignored. Without targets all is background.

    >>> target = Instances(
    ...     image_size=(9, 9), boxes=torch.tensor([[0.0, 0, 4, 4]]), labels=torch.zeros(1).long())
    >>> boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0], [4.0, 4.0, 8.0, 8.0]])
    >>> match_targets(boxes, target, foreground=0.5, background=0.5)
    tensor([ 0, -1])
    """
    crowd = targets.is_crowd
    if crowd is None or not bool(crowd.any()):
        return _match_boxes(boxes, targets.boxes, foreground, background, keep_best)
    single = torch.where(~crowd)[0]
    matched = _match_boxes(boxes, targets.boxes[single], foreground, background, keep_best)
    if len(single):
        matched = torch.where(matched >= 0, single[matched.clamp(min=0)], matched)
    covered = (pairwise_coverage(boxes, targets.boxes[crowd]) >= _CROWD_COVERAGE).any(dim=1)
    return torch.where((matched == BACKGROUND) & covered, IGNORED, matched)


def _match_boxes(
    boxes: Tensor, true_boxes: Tensor, foreground: float, background: float, keep_best: bool
) -> Int64[Tensor, " n"]:
    """Return what `match_by_iou` does of these boxes; on the processor without the table."""
    is_plain = all(
        each.device.type == "cpu" and each.dtype == torch.float32 for each in (boxes, true_boxes)
    )
    if not is_plain or not len(true_boxes):
        iou = pairwise_iou(true_boxes, boxes)
        return match_by_iou(iou, foreground=foreground, background=background, keep_best=keep_best)
    best_iou, best, is_nearest = map(
        torch.from_numpy, best_overlaps(true_boxes.detach().numpy(), boxes.detach().numpy())
    )
    matched = torch.where(best_iou < background, BACKGROUND, IGNORED)
    is_matched = best_iou >= foreground
    if keep_best:
        is_matched |= is_nearest
    return torch.where(is_matched, best, matched)
