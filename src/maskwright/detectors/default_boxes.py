"""Default boxes of SSD: their sizes and shapes, and which of them answers for which object.

SSD: Single Shot MultiBox Detector, Liu et al. 2016, https://arxiv.org/abs/1512.02325, section 2.2.

Shapes: a boxes per cell, (gh, gw) cells of a feature map, n boxes of all levels, t targets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from maskwright.ops import BACKGROUND, IGNORED, match_by_iou, pairwise_coverage, pairwise_iou
from maskwright.structures import Instances, Size

__all__ = ["cell_default_boxes", "level_sizes", "match_default_boxes", "tile_boxes"]

_CROWD_COVERAGE = 0.7
"""Part of a box inside a crowd from which on it is ignored, as in `ops.match_targets`."""


def level_sizes(sizes: Sequence[float], growth: float, num_levels: int) -> list[float]:
    """Return the size of each level's boxes, and of the level that would follow.

    Args:
        sizes: All of them, or the first alone.
        growth: From one level to the next, where the first is given alone.
        num_levels: Levels to predict on.

    >>> level_sizes([20.0], 2.5, 2)
    [20.0, 50.0, 125.0]
    """
    if len(sizes) > 1:
        return list(sizes)
    return [sizes[0] * growth**level for level in range(num_levels + 1)]


def cell_default_boxes(
    size: float, next_size: float, ratios: Sequence[float], max_side: float | None = None
) -> Float[Tensor, "a 4"]:
    """Return the default boxes of one cell, centred on the origin.

    A square of `size`, a square of the geometric mean of both sizes, and for each ratio a wide
    and a tall box as large as the first.

    Args:
        size: Side of the squares of this level in pixels.
        next_size: The same of the next coarser level.
        ratios: Longer to shorter side of the other boxes.
        max_side: Longer sides are cut to this.

    >>> cell_default_boxes(8.0, 18.0, [4.0])
    tensor([[-4., -4.,  4.,  4.],
            [-6., -6.,  6.,  6.],
            [-8., -2.,  8.,  2.],
            [-2., -8.,  2.,  8.]])
    """
    between = math.sqrt(size * next_size)
    sides = [(size, size), (between, between)]
    for ratio in ratios:
        longer, shorter = size * math.sqrt(ratio), size / math.sqrt(ratio)
        sides += [(longer, shorter), (shorter, longer)]
    half = torch.tensor(sides, dtype=torch.float32).clamp(max=max_side or math.inf) / 2  # (a, 2)
    return torch.cat((-half, half), dim=1)


def tile_boxes(
    cell: Float[Tensor, "a 4"], grid_size: Size, step: float
) -> Float[Tensor, "gh*gw*a 4"]:
    """Return the default boxes of every cell of a feature map, row by row, cell by cell.

    Args:
        cell: The boxes of one cell, centred on the origin; its device is the result's.
        grid_size: Rows and columns of the feature map.
        step: Pixels from one cell to the next; the first has its centre at half of it.

    >>> tile_boxes(torch.tensor([[-2.0, -1.0, 2.0, 1.0]]), (1, 2), 8.0)
    tensor([[ 2.,  3.,  6.,  5.],
            [10.,  3., 14.,  5.]])
    """
    y, x = torch.meshgrid(
        *((torch.arange(count, device=cell.device) + 0.5) * step for count in grid_size),
        indexing="ij",
    )
    centres = torch.stack((x, y, x, y), dim=-1).to(cell)  # (gh, gw, 4)
    return (centres[:, :, None] + cell).reshape(-1, 4)


def match_default_boxes(
    boxes: Float[Tensor, "n 4"], targets: Instances, threshold: float
) -> Int64[Tensor, " n"]:
    """Return for each box the index of its target, or BACKGROUND, or IGNORED.

    Every target that touches any box has one of its own, the one that it overlaps most; where
    several targets want one box, the largest overlap wins and the others take the best box that
    is left (the paper's bipartite matching). Then every other box whose IoU reaches `threshold`
    belongs to the target that it overlaps most. Crowds are ignore regions. Without targets all
    is background.

    Args:
        boxes: In pixels of the batch.
        targets: The true objects of the picture.
        threshold: IoU from which on a box belongs to a target.

    >>> target = Instances(
    ...     image_size=(9, 9), boxes=torch.tensor([[0.0, 0, 4, 4]]), labels=torch.zeros(1).long())
    >>> boxes = torch.tensor([[2.0, 0.0, 6.0, 4.0], [4.0, 4.0, 8.0, 8.0]])
    >>> match_default_boxes(boxes, target, 0.5)
    tensor([ 0, -1])
    """
    single = torch.arange(len(targets), device=boxes.device)
    crowd = targets.is_crowd
    if crowd is not None:
        single = single[~crowd]
    iou = pairwise_iou(targets.boxes[single].to(boxes), boxes)
    matched = match_by_iou(iou, foreground=threshold, background=threshold)
    own, owners = _own_boxes(iou)
    matched[own] = owners
    if len(single):
        matched = torch.where(matched >= 0, single[matched.clamp(min=0)], matched)
    if crowd is not None and bool(crowd.any()):
        regions = targets.boxes[crowd].to(boxes)
        covered = (pairwise_coverage(boxes, regions) >= _CROWD_COVERAGE).any(dim=1)
        matched = torch.where((matched == BACKGROUND) & covered, IGNORED, matched)
    return matched


def _own_boxes(iou: Float[Tensor, "t n"]) -> tuple[Int64[Tensor, " o"], Int64[Tensor, " o"]]:
    """Return boxes, no two equal, and the target that each belongs to.

    Each round gives every box that is wanted to the target that overlaps it most, so that as many
    rounds are needed as targets stand behind each other: one or two in most pictures.
    """
    targets, num_boxes = len(iou), iou.shape[1]
    owner = torch.full((num_boxes,), -1, dtype=torch.int64, device=iou.device)
    waiting = torch.arange(targets, device=iou.device)
    free = iou
    while len(waiting) and num_boxes:
        largest, wanted = free[waiting].max(dim=1)
        touching = largest > 0
        waiting, largest, wanted = waiting[touching], largest[touching], wanted[touching]
        best = iou.new_zeros(num_boxes).scatter_reduce(0, wanted, largest, "amax")
        first = largest == best[wanted]  # of equal ones, any
        owner[wanted[first]] = waiting[first]
        waiting = waiting[owner[wanted] != waiting]
        if len(waiting):
            free = free.masked_fill(owner >= 0, 0.0)
    own = torch.where(owner >= 0)[0]
    return own, owner[own]
