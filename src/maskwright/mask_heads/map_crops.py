"""Boxes cut out of maps that lie over the whole picture.

Shapes: m maps of (gh, gw) cells, n boxes, s cells of a crop per side.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torchvision.ops import roi_align

__all__ = ["crop_maps"]


def crop_maps(
    maps: Float[Tensor, "m gh gw"],
    owners: Int64[Tensor, " n"],
    boxes: Float[Tensor, "n 4"],
    *,
    stride: int,
    size: int,
) -> Float[Tensor, "n s s"]:
    """Return each box's part of its map, resized to s x s.

    RoIAlign (Mask R-CNN, He et al. 2017, section 3) with a cell's value at its centre, and as many
    points per cell of the crop as it takes to pass over no cell of the map.

    Args:
        maps: Cell j covers the pixels [j * stride, (j + 1) * stride).
        owners: Which map each box is cut from.
        boxes: Pixels of the batch; parts beyond the map are zero.
        stride: Pixels per cell.
        size: s.

    >>> ramp = torch.arange(4.0).expand(1, 4, 4)
    >>> crop_maps(ramp, torch.tensor([0]), torch.tensor([[2.0, 2, 6, 6]]), stride=2, size=2)
    tensor([[[1., 2.],
             [1., 2.]]])
    """
    # single precision throughout: half of it would move large coordinates by whole pixels
    rois = torch.cat((owners[:, None].float(), boxes.float()), dim=1)  # (n, 5)
    crops: Tensor = roi_align(maps.float()[:, None], rois, size, 1.0 / stride, -1, aligned=True)
    return crops[:, 0]
