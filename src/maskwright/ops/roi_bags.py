"""RoIAlign as weighted sums of rows of a table: several times as fast where channels come last.

Mask R-CNN, He et al. 2017, section 3, with torchvision's conventions at the borders. A feature map
stored with its channels last is a table with one row per place; a pooled cell is a weighted sum of
a few of its rows, and PyTorch's embedding bags sum rows fast. The numbers are those of
`torchvision.ops.roi_align` but for rounding. Without gradients.

Shapes: b pictures, c channels, (h, w) of the map, n boxes, s cells per side, p sampled positions
along one axis.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

__all__ = ["can_pool_by_bags", "roi_align_by_bags"]

_ENTRIES_AT_ONCE = 1 << 22
"""Rows of the table that one call names, to bound the memory of the indices to 50 MB."""


def can_pool_by_bags(feature: Tensor) -> bool:
    """Return whether the map is a float32 table on the processor and nothing is learnt from it.

    >>> can_pool_by_bags(torch.zeros(1, 4, 2, 2).to(memory_format=torch.channels_last))
    True
    >>> can_pool_by_bags(torch.zeros(1, 4, 2, 2))
    False
    """
    return (
        feature.device.type == "cpu"
        and feature.dtype == torch.float32
        and not (torch.is_grad_enabled() and feature.requires_grad)
        and feature.numel() > 0
        and feature.stride(1) == 1
        and feature.is_contiguous(memory_format=torch.channels_last)
    )


def roi_align_by_bags(
    feature: Float[Tensor, "b c h w"],
    rois: Float[Tensor, "n 5"],
    size: int,
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = False,
) -> Float[Tensor, "n c s s"]:
    """Return the pooled features, channels last in memory.

    Args:
        feature: Channels last in memory.
        rois: Index of the picture, then xyxy in pixels.
        size: Cells per side of the result.
        spatial_scale: Cells of the map per pixel.
        sampling_ratio: Sampled points per side of a cell; 0 or less: as many as keep them at most
            one cell of the map apart.
        aligned: Cell i covers [i, i + 1); else coordinates are those of cell centres.

    >>> ramp = torch.arange(16.0).reshape(1, 1, 4, 4).to(memory_format=torch.channels_last)
    >>> roi_align_by_bags(ramp, torch.tensor([[0.0, 0, 0, 2, 2]]), 2, aligned=True)
    tensor([[[[0., 1.], [4., 5.]]]])
    """
    channels, height, width = feature.shape[1:]
    table = feature.permute(0, 2, 3, 1).reshape(-1, channels)  # a view
    pooled = table.new_zeros((len(rois), size, size, channels))
    start = rois[:, 1:3] * spatial_scale - (0.5 if aligned else 0.0)
    end = rois[:, 3:5] * spatial_scale - (0.5 if aligned else 0.0)
    sides = end - start  # (n, 2) x, y
    if not aligned:
        sides = sides.clamp(min=1.0)
    first_row = rois[:, 0].long() * (height * width)
    for (along_x, along_y), chosen in _groups(sides, size, sampling_ratio):
        x = _taps(start[chosen, 0], sides[chosen, 0], size, along_x, width)
        y = _taps(start[chosen, 1], sides[chosen, 1], size, along_y, height)
        lot = max(1, _ENTRIES_AT_ONCE // (size * size * along_x * along_y * 4))
        for part in torch.split(torch.arange(len(chosen)), lot):
            bags, weights = _bags(
                (x[0][part], x[1][part]), (y[0][part], y[1][part]), first_row[chosen[part]], width
            )
            summed = F.embedding_bag(bags, table, mode="sum", per_sample_weights=weights)
            pooled[chosen[part]] = summed.reshape(len(part), size, size, channels)
    return pooled.permute(0, 3, 1, 2)


def _groups(
    sides: Float[Tensor, "n 2"], size: int, sampling_ratio: int
) -> list[tuple[tuple[int, int], Int64[Tensor, " _"]]]:
    """Return boxes by how many points per side of a cell are sampled along x and y, if any are."""
    if sampling_ratio > 0:
        return [((sampling_ratio, sampling_ratio), torch.arange(len(sides)))] if len(sides) else []
    counts = torch.ceil(sides / size).long()
    kinds, members = torch.unique(counts, dim=0, return_inverse=True)
    return [
        ((along_x, along_y), torch.where(members == place)[0])
        for place, (along_x, along_y) in enumerate(kinds.tolist())
        if along_x > 0 and along_y > 0
    ]


def _taps(
    start: Float[Tensor, " n"], sides: Float[Tensor, " n"], size: int, points: int, length: int
) -> tuple[Int64[Tensor, "n s p"], Float[Tensor, "n s p"]]:
    """Return the places along one axis that each cell reads, and their weights; p = 2 * points."""
    bins = sides[:, None, None] / size
    cells = torch.arange(size, dtype=start.dtype)[:, None]
    offsets = torch.arange(points, dtype=start.dtype) + 0.5
    # in torchvision's order of operations, so that borders fall the same way
    position = start[:, None, None] + cells * bins + offsets * bins / points  # (n, s, points)
    inside = (position >= -1.0) & (position <= length)
    position = torch.where(inside, position, 0.0).clamp(min=0.0)  # NaN lies nowhere inside
    lower = position.long().clamp(max=length - 1)
    upper = (lower + 1).clamp(max=length - 1)
    beyond = torch.where(lower == length - 1, 0.0, position - lower)
    near = torch.where(inside, (1.0 - beyond) / points, 0.0)
    far = torch.where(inside, beyond / points, 0.0)
    return torch.cat((lower, upper), dim=2), torch.cat((near, far), dim=2)


def _bags(
    x: tuple[Tensor, Tensor], y: tuple[Tensor, Tensor], first_row: Int64[Tensor, " n"], width: int
) -> tuple[Int64[Tensor, "_ _"], Float[Tensor, "_ _"]]:
    """Return for each cell of each box the rows it sums and their weights."""
    rows = first_row[:, None, None] + y[0] * width  # (n, s, p)
    places = rows[:, :, None, :, None] + x[0][:, None, :, None, :]  # (n, s, s, p, p)
    weights = y[1][:, :, None, :, None] * x[1][:, None, :, None, :]
    entries = math.prod(places.shape[3:])
    return places.reshape(-1, entries), weights.reshape(-1, entries)
