"""Task-aligned assignment: each object is learnt where class and box already agree best.

TOOD: Task-aligned One-stage Object Detection, Feng et al. 2021, https://arxiv.org/abs/2108.07755,
section 3.2. Deviations: an object so small that no cell has its centre in it is learnt by the
cell nearest to its own centre; a cell that several objects want goes to the one that its box
overlaps most.

Shapes: n cells, k classes, t objects that are no crowds, p chosen pairs of object and cell.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from maskwright.ops import BACKGROUND, IGNORED, paired_iou
from maskwright.structures import Instances

__all__ = ["Alignment", "align_cells"]

_NEVER = -1.0
"""Below every alignment and every overlap: of pairs that are no candidates."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Alignment:
    """What each cell of a picture is to learn.

    Args:
        matched: Index of the target, BACKGROUND or IGNORED.
        quality: The score that a matched cell should give its object's class, in [0, 1]; 0
            elsewhere.
    """

    matched: Int64[Tensor, " n"]
    quality: Float[Tensor, " n"]


@torch.no_grad()
def align_cells(
    scores: Float[Tensor, "n k"],
    boxes: Float[Tensor, "n 4"],
    centres: Float[Tensor, "n 2"],
    targets: Instances,
    *,
    cells_per_object: int,
    score_power: float,
    iou_power: float,
) -> Alignment:
    """Return which cells learn which object, by what they predict at present.

    The alignment of a cell with an object is score^score_power * IoU^iou_power (equation 3), for
    the object's class. The cells of largest alignment learn it, out of those with their centre in
    its box; the best of them should score the largest IoU among them, the others less in
    proportion to their alignment (equation 4). Crowds are ignore regions: no cell is matched to
    one, and a cell with its centre in one that would be background is ignored.

    Args:
        scores: Predicted probabilities.
        boxes: Predicted boxes.
        centres: (x, y) of the cells, the finest level first.
        targets: The true objects of the picture.
        cells_per_object: At most so many cells learn an object.
        score_power: The paper's alpha.
        iou_power: The paper's beta.

    >>> target = Instances(
    ...     image_size=(9, 9), boxes=torch.tensor([[0.0, 0, 4, 4]]), labels=torch.zeros(1).long())
    >>> boxes = torch.tensor([[0.0, 0, 4, 2], [0.0, 0, 4, 3], [5.0, 5, 9, 9]])
    >>> centres = torch.tensor([[1.0, 1], [3.0, 1], [7.0, 7]])
    >>> alignment = align_cells(torch.ones(3, 1), boxes, centres, target, cells_per_object=1,
    ...                         score_power=1.0, iou_power=1.0)
    >>> alignment.matched, alignment.quality
    (tensor([-1,  0, -1]), tensor([0.0000, 0.7500, 0.0000]))
    """
    crowd = targets.is_crowd
    single = torch.arange(len(targets), device=centres.device)
    if crowd is not None:
        single = single[~crowd]
    true_boxes, labels = targets.boxes[single].to(boxes), targets.labels[single]
    matched = torch.full((len(centres),), BACKGROUND, device=centres.device)
    quality = torch.zeros_like(scores[:, 0])
    if len(single):
        objects, cells = torch.where(_candidates(centres, true_boxes))
        iou = paired_iou(boxes[cells], true_boxes[objects])
        alignment = scores[cells, labels[objects]] ** score_power * iou**iou_power
        table = torch.full((len(single), len(centres)), _NEVER).to(alignment)
        best = _best_pairs(table, objects, cells, alignment, cells_per_object)
        objects, cells, iou, alignment = (each[best] for each in (objects, cells, iou, alignment))
        kept = _one_object_per_cell(table, objects, cells, iou)
        objects, cells, iou, alignment = (each[kept] for each in (objects, cells, iou, alignment))
        matched[cells] = single[objects]
        quality[cells] = _normalise(alignment, iou, objects, len(single))
    if crowd is not None and bool(crowd.any()):
        inside = _contain(targets.boxes[crowd].to(boxes), centres).any(dim=0)
        matched = torch.where((matched == BACKGROUND) & inside, IGNORED, matched)
    return Alignment(matched=matched, quality=quality)


def _contain(boxes: Tensor, points: Tensor) -> Bool[Tensor, "t n"]:
    x, y = points[:, 0], points[:, 1]
    x1, y1, x2, y2 = boxes[:, :, None].unbind(1)  # each (t, 1)
    return (x > x1) & (x < x2) & (y > y1) & (y < y2)


def _candidates(centres: Tensor, true_boxes: Tensor) -> Bool[Tensor, "t n"]:
    """Return which cells may learn which object: at least one for each."""
    inside = _contain(true_boxes, centres)
    missed = torch.where(~inside.any(dim=1))[0]
    middles = (true_boxes[missed, :2] + true_boxes[missed, 2:]) / 2
    inside[missed, torch.cdist(middles, centres).argmin(dim=1)] = True
    return inside


def _best_pairs(
    table: Tensor, objects: Tensor, cells: Tensor, alignment: Tensor, count: int
) -> Bool[Tensor, " p"]:
    """Return True for the pairs that are among the `count` best of their object."""
    filled = table.clone()
    filled[objects, cells] = alignment
    rows, columns = filled.shape
    best = filled.topk(min(count, columns), dim=1).indices  # (t, count)
    is_best = torch.zeros((rows, columns), dtype=torch.bool, device=table.device)
    is_best.scatter_(1, best, True)
    return is_best[objects, cells]


def _one_object_per_cell(
    table: Tensor, objects: Tensor, cells: Tensor, iou: Tensor
) -> Bool[Tensor, " p"]:
    """Return True for the pairs whose object overlaps the cell's box most."""
    filled = table.clone()
    filled[objects, cells] = iou
    return filled.argmax(dim=0)[cells] == objects


def _normalise(
    alignment: Tensor, iou: Tensor, objects: Tensor, num_objects: int
) -> Float[Tensor, " p"]:
    """Return the alignments scaled so that the largest of each object is its largest IoU."""
    zeros = alignment.new_zeros(num_objects)
    most_aligned = zeros.scatter_reduce(0, objects, alignment, "amax")[objects]
    largest_iou = zeros.scatter_reduce(0, objects, iou, "amax")[objects]
    tiny = torch.finfo(alignment.dtype).tiny
    return alignment / most_aligned.clamp(min=tiny) * largest_iou
