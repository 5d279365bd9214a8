from __future__ import annotations

import torch

from maskwright.mask_heads.map_crops import crop_maps


def test_a_crop_of_a_ramp_is_the_position_of_its_cells_centres() -> None:
    stride, size = 4, 5
    centres = (torch.arange(30.0) + 0.5) * stride
    maps = torch.stack((centres.expand(30, 30), centres[:, None].expand(30, 30)))
    boxes = torch.tensor([[10.0, 20.0, 73.0, 41.5]]).repeat(2, 1)
    across, down = crop_maps(maps, torch.tensor([0, 1]), boxes, stride=stride, size=size)
    middle = (torch.arange(size) + 0.5) / size
    torch.testing.assert_close(across, (10 + 63 * middle).expand(size, size))
    torch.testing.assert_close(down, (20 + 21.5 * middle)[:, None].expand(size, size))


def test_the_mean_of_a_large_box_is_kept() -> None:
    maps = torch.randn(1, 64, 64, generator=torch.Generator().manual_seed(0))
    crop = crop_maps(
        maps, torch.tensor([0]), torch.tensor([[0.0, 0.0, 64.0, 64.0]]), stride=1, size=8
    )
    expected = maps.reshape(8, 8, 8, 8).mean(dim=(1, 3))
    torch.testing.assert_close(crop[0], expected, atol=1e-5, rtol=1e-4)


def test_no_boxes_give_no_crops() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    assert crop_maps(torch.zeros(3, 4, 4), none, torch.zeros(0, 4), stride=4, size=7).shape == (
        0,
        7,
        7,
    )
    assert crop_maps(torch.zeros(0, 4, 4), none, torch.zeros(0, 4), stride=4, size=7).shape == (
        0,
        7,
        7,
    )
