from __future__ import annotations

import torch
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList

from maskwright.ops import cell_anchors, grid_anchors


def test_anchors_equal_torchvisions_on_every_level() -> None:
    """800 is no multiple of 64: the last level's cells stand 61 pixels apart."""
    sizes, ratios = ((32,), (64, 96), (128,)), (0.5, 1.0, 2.0)
    shapes = ((200, 304), (50, 76), (13, 19))
    generator = AnchorGenerator(sizes, (ratios,) * 3)
    maps = [torch.zeros(1, 1, *shape) for shape in shapes]
    (expected,) = generator(ImageList(torch.zeros(1, 3, 800, 1216), [(800, 1216)]), maps)
    ours = torch.cat(
        [
            grid_anchors(cell_anchors(size, ratios), shape, (800, 1216))
            for size, shape in zip(sizes, shapes, strict=True)
        ]
    )
    assert torch.equal(ours, expected)


def test_no_sizes_give_no_anchors() -> None:
    assert cell_anchors([], [1.0]).shape == (0, 4)
    assert grid_anchors(torch.zeros(0, 4), (3, 4), (30, 40)).shape == (0, 4)
