"""Cells: the squares of the picture that the places of feature maps stand for.

A detector without anchors predicts at every cell how far the borders of the object lie from the
cell's centre, in strides: FCOS, Tian et al. 2019, https://arxiv.org/abs/1904.01355, section 3.1.

Shapes: n cells of all levels; any leading dimensions where `...` stands.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from maskwright.structures import Features

__all__ = ["Cells", "decode_distances", "encode_distances", "grid_cells"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Cells:
    """Cells of several levels, the finest level first, each level row by row.

    Args:
        centres: (x, y) in pixels of the batch.
        strides: Sides of the cells in pixels.
    """

    centres: Float[Tensor, "n 2"]
    strides: Float[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.strides)

    def __getitem__(self, index: Tensor) -> Cells:
        """Select cells by integer indices or a boolean per cell."""
        return Cells(centres=self.centres[index], strides=self.strides[index])


def grid_cells(features: Features) -> Cells:
    """Return the cells of all levels of the features, which must not be empty.

    Cell (i, j) of stride s covers [j s, (j + 1) s) x [i s, (i + 1) s); the last ones of a level
    may reach beyond the batch.

    >>> cells = grid_cells({8: torch.zeros(1, 3, 1, 2), 16: torch.zeros(1, 3, 1, 1)})
    >>> cells.centres.tolist()
    [[4.0, 4.0], [12.0, 4.0], [8.0, 8.0]]
    >>> cells.strides.tolist()
    [8.0, 8.0, 16.0]
    """
    centres, strides = [], []
    for stride, feature in sorted(features.items()):
        rows, columns = feature.shape[-2:]
        y, x = torch.meshgrid(
            (torch.arange(rows, device=feature.device) + 0.5) * stride,
            (torch.arange(columns, device=feature.device) + 0.5) * stride,
            indexing="ij",
        )
        centres.append(torch.stack((x, y), dim=-1).reshape(-1, 2))
        strides.append(torch.full((rows * columns,), float(stride), device=feature.device))
    return Cells(centres=torch.cat(centres), strides=torch.cat(strides))


def decode_distances(distances: Float[Tensor, "*b n 4"], cells: Cells) -> Float[Tensor, "*b n 4"]:
    """Return the boxes whose borders lie so far from the centres of their cells.

    Args:
        distances: To the left, top, right and bottom border, in strides of the cell.
        cells: One per box.

    >>> cells = grid_cells({8: torch.zeros(1, 3, 1, 1)})
    >>> decode_distances(torch.tensor([[0.5, 0.0, 1.0, 2.0]]), cells)
    tensor([[ 0.,  4., 12., 20.]])
    """
    pixels = distances * cells.strides[:, None]
    return torch.cat((cells.centres - pixels[..., :2], cells.centres + pixels[..., 2:]), dim=-1)


def encode_distances(boxes: Float[Tensor, "*b n 4"], cells: Cells) -> Float[Tensor, "*b n 4"]:
    """Return how far the borders of the boxes lie from the centres of their cells, in strides.

    The inverse of `decode_distances`; negative where a centre lies outside its box.

    >>> cells = grid_cells({8: torch.zeros(1, 3, 1, 1)})
    >>> encode_distances(torch.tensor([[0.0, 4.0, 12.0, 20.0]]), cells)
    tensor([[0.5000, 0.0000, 1.0000, 2.0000]])
    """
    pixels = torch.cat((cells.centres - boxes[..., :2], boxes[..., 2:] - cells.centres), dim=-1)
    return pixels / cells.strides[:, None]
