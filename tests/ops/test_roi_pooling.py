from __future__ import annotations

import pytest
import torch
from torchvision.ops import MultiScaleRoIAlign, roi_align, roi_pool

from maskwright.errors import ConfigError
from maskwright.ops import assign_levels, pool_rois, pooled_levels

_SIZES = [(256, 320), (200, 300)]


def _features(strides: tuple[int, ...] = (4, 8, 16, 32)) -> dict[int, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {s: torch.randn((2, 6, 256 // s, 320 // s), generator=generator) for s in strides}


def _boxes() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    low = torch.rand((40, 2), generator=generator) * 150
    side = torch.exp(torch.rand((40, 1), generator=generator) * 6)
    boxes = torch.cat((low, low + side * (1 + torch.rand((40, 2), generator=generator))), dim=1)
    return [boxes[:25], boxes[25:]]


def test_pooling_from_several_levels_equals_torchvisions() -> None:
    features, boxes = _features(), _boxes()
    theirs = MultiScaleRoIAlign(["4", "8", "16", "32"], 7, 2)
    expected = theirs({str(s): each for s, each in features.items()}, boxes, _SIZES)
    assert len(assign_levels(torch.cat(boxes), [4, 8, 16, 32]).unique()) == 4
    assert torch.equal(pool_rois(features, boxes, size=7), expected)


def test_one_level_and_every_method_equal_torchvisions_operators() -> None:
    features, boxes = _features((8,)), _boxes()
    assert torch.equal(
        pool_rois(features, boxes, size=5), roi_align(features[8], boxes, 5, 1 / 8, 2)
    )
    assert torch.equal(
        pool_rois(features, boxes, size=5, method="align_half_pixel", sampling_ratio=3),
        roi_align(features[8], boxes, 5, 1 / 8, 3, aligned=True),
    )
    assert torch.equal(
        pool_rois(features, boxes, size=5, method="max"), roi_pool(features[8], boxes, 5, 1 / 8)
    )


def test_no_boxes_give_no_features_and_a_gradient() -> None:
    features = {stride: each.requires_grad_() for stride, each in _features().items()}
    none = [torch.zeros(0, 4), torch.zeros(0, 4)]
    pooled = pool_rois(features, none, size=7)
    assert pooled.shape == (0, 6, 7, 7)
    pooled.sum().backward()
    assert assign_levels(none[0], [4, 8]).shape == (0,)


def test_boxes_without_area_take_the_finest_level() -> None:
    assert assign_levels(torch.tensor([[5.0, 5.0, 5.0, 9.0]]), [8, 16]).tolist() == [0]


def test_levels_to_pool_from_are_checked() -> None:
    assert pooled_levels({64: 8, 8: 8, 4: 8}, (4, 8, 16)) == [4, 8]
    with pytest.raises(ConfigError, match=r"asked for strides \[2\], the features have \[4\]"):
        pooled_levels({4: 8}, (2,))
    with pytest.raises(ConfigError, match="add a neck"):
        pooled_levels({4: 8, 8: 16}, (4, 8))


def test_boxes_keep_their_precision_under_reduced_features() -> None:
    features, boxes = _features((8,)), _boxes()
    half = {8: features[8].bfloat16()}
    expected = roi_align(half[8].float(), boxes, 5, 1 / 8, 2)
    assert torch.equal(pool_rois(half, boxes, size=5), expected)
