"""RoIAlign by embedding bags against torchvision's."""

from __future__ import annotations

import pytest
import torch
from torchvision.ops import roi_align

from maskwright.ops import pool_rois
from maskwright.ops.roi_bags import can_pool_by_bags, roi_align_by_bags


def _map(channels: int = 5, size: tuple[int, int] = (13, 17), pictures: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    feature = torch.randn((pictures, channels, *size), generator=generator)
    return feature.to(memory_format=torch.channels_last)


def _rois(count: int, pictures: int = 3, reach: float = 160.0) -> torch.Tensor:
    """Boxes of all sizes, some beyond the borders, some smaller than a cell, some without area."""
    generator = torch.Generator().manual_seed(1)
    owner = torch.randint(pictures, (count, 1), generator=generator).float()
    corner = torch.rand((count, 2), generator=generator) * reach - 20
    sides = torch.rand((count, 2), generator=generator).square() * reach
    sides[::7] = 0.5
    sides[::11] = 0.0
    return torch.cat((owner, corner, corner + sides), dim=1)


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("sampling_ratio", [-1, 0, 1, 2, 3])
@pytest.mark.parametrize("size", [1, 5, 7])
def test_the_numbers_are_those_of_torchvision(
    aligned: bool, sampling_ratio: int, size: int
) -> None:
    feature, rois = _map(), _rois(120)
    expected = roi_align(feature, rois, size, 1 / 8, sampling_ratio, aligned)
    found = roi_align_by_bags(feature, rois, size, 1 / 8, sampling_ratio, aligned)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_boxes_that_touch_the_borders_read_what_torchvision_reads() -> None:
    feature = _map(size=(4, 4), pictures=1)
    edges = torch.tensor([-1.5, -1.0, -0.5, 0.0, 2.5, 3.0, 3.5, 4.0, 4.5])
    rois = torch.stack(
        [torch.tensor([0.0, x, y, x + 1, y + 1]) for x in edges.tolist() for y in edges.tolist()]
    )
    for aligned in (False, True):
        expected = roi_align(feature, rois, 2, 1.0, 2, aligned)
        found = roi_align_by_bags(feature, rois, 2, 1.0, 2, aligned)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_many_boxes_are_pooled_in_lots(monkeypatch: pytest.MonkeyPatch) -> None:
    feature, rois = _map(), _rois(40)
    whole = roi_align_by_bags(feature, rois, 5, 1 / 8, -1)
    monkeypatch.setattr("maskwright.ops.roi_bags._ENTRIES_AT_ONCE", 1000)
    assert torch.equal(roi_align_by_bags(feature, rois, 5, 1 / 8, -1), whole)


def test_no_boxes_give_no_features() -> None:
    assert roi_align_by_bags(_map(), torch.zeros((0, 5)), 7).shape == (0, 5, 7, 7)
    assert roi_align_by_bags(_map(), torch.zeros((0, 5)), 7, sampling_ratio=2).shape[0] == 0


@pytest.mark.parametrize("method", ["align", "align_half_pixel"])
def test_levels_stored_channels_last_pool_as_levels_stored_channels_first(method: str) -> None:
    features = {4: _map(size=(40, 50)), 8: _map(size=(20, 25)), 16: _map(size=(10, 13))}
    boxes = [_rois(20, reach=200.0)[:, 1:] for _ in range(3)]
    first = {stride: feature.contiguous() for stride, feature in features.items()}
    assert can_pool_by_bags(features[4])
    assert not can_pool_by_bags(first[4])
    torch.testing.assert_close(
        pool_rois(features, boxes, size=7, method=method),
        pool_rois(first, boxes, size=7, method=method),
        rtol=1e-5,
        atol=1e-5,
    )


def test_maps_that_are_learnt_from_go_to_torchvision() -> None:
    feature = _map().requires_grad_()
    assert not can_pool_by_bags(feature)
    with torch.no_grad():
        assert can_pool_by_bags(feature)
