"""Anchors: the boxes of fixed sizes and shapes from which a dense detector starts.

Shapes: a anchors per cell, (gh, gw) cells of a feature map.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from maskwright.structures import Size

__all__ = ["cell_anchors", "grid_anchors"]


def cell_anchors(sizes: Sequence[float], aspect_ratios: Sequence[float]) -> Float[Tensor, "a 4"]:
    """Return the anchors of one cell, centred on the origin, rounded to whole pixels.

    Faster R-CNN (Ren et al. 2015), section 3.1.1: every size at every ratio (height / width) and
    equal area. Ordered by ratio, then by size.

    >>> cell_anchors([16], [1.0, 4.0])
    tensor([[ -8.,  -8.,   8.,   8.],
            [ -4., -16.,   4.,  16.]])
    """
    size = torch.tensor(sizes, dtype=torch.float32)
    root = torch.tensor(aspect_ratios, dtype=torch.float32).sqrt()
    widths = ((1 / root)[:, None] * size).flatten()
    heights = (root[:, None] * size).flatten()
    return (torch.stack((-widths, -heights, widths, heights), dim=1) / 2).round()


def grid_anchors(
    cell: Float[Tensor, "a 4"], grid_size: Size, image_size: Size
) -> Float[Tensor, "gh*gw*a 4"]:
    """Return the anchors of every cell of a feature map, row by row, cell by cell.

    The step between cells is `image_size // grid_size`: where a picture is not a multiple of the
    stride (the level that FPN adds by pooling), the cells stand a little closer than the stride,
    as torchvision's weights expect.

    Args:
        cell: The anchors of one cell, centred on the origin; its device is the result's.
        grid_size: Rows and columns of the feature map.
        image_size: Height and width of the padded batch.

    >>> grid_anchors(torch.tensor([[-2.0, -2.0, 2.0, 2.0]]), (1, 2), (8, 16))
    tensor([[-2., -2.,  2.,  2.],
            [ 6., -2., 10.,  2.]])
    """
    rows, columns = grid_size
    step_y, step_x = image_size[0] // rows, image_size[1] // columns
    y, x = torch.meshgrid(
        torch.arange(rows, device=cell.device) * step_y,
        torch.arange(columns, device=cell.device) * step_x,
        indexing="ij",
    )
    shifts = torch.stack((x, y, x, y), dim=-1).to(cell)  # (gh, gw, 4)
    return (shifts[:, :, None] + cell).reshape(-1, 4)
