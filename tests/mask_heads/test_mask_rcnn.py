from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torchvision.ops import roi_align

from contracts.made_up import ellipses
from contracts.mask_head_contract import MaskHeadContract
from maskwright.mask_heads import MaskRCNNHead, crop_targets, spread_rois
from maskwright.structures import Rois

_SMALL = MaskRCNNHead.Config(pool_size=7, conv_channels=(32,), deconv_channels=32)


class TestMaskRCNNHead(MaskHeadContract):
    config = _SMALL


class TestClassAgnosticMaskRCNNHead(MaskHeadContract):
    config = replace(_SMALL, class_agnostic=True, norm="group", pool="align_half_pixel")


def _rois(boxes: torch.Tensor) -> Rois:
    zeros = torch.zeros(len(boxes), dtype=torch.int64)
    return Rois(boxes=boxes, labels=zeros, matched=zeros)


def test_targets_equal_roi_align_of_dense_masks() -> None:
    target = ellipses((60, 80), [(10, 12, 50, 40), (30, 5, 77, 58)], [0, 1])
    boxes = torch.tensor([[9.5, 11.2, 48.0, 41.7], [20.0, 0.0, 80.0, 60.0], [31.3, 7.0, 40.0, 9.0]])
    matched = torch.tensor([0, 1, 1])
    rois = Rois(boxes=boxes, labels=target.labels[matched], matched=matched)
    dense = torch.from_numpy(target.masks.to_dense().astype(np.float32))[:, None]
    expected = roi_align(dense, torch.cat((matched[:, None].float(), boxes), 1), 28)[:, 0]
    torch.testing.assert_close(crop_targets(target, rois, 28), expected, atol=1e-5, rtol=0)
    aligned = roi_align(dense, torch.cat((matched[:, None].float(), boxes), 1), 28, aligned=True)[
        :, 0
    ]
    shifted = crop_targets(target, rois, 28, shift=0.5)
    torch.testing.assert_close(shifted, aligned, atol=1e-5, rtol=0)


def test_targets_without_masks_are_refused() -> None:
    target = replace(ellipses((60, 80), [(10, 12, 50, 40)], [0]), masks=None)
    with pytest.raises(ValueError, match="no masks"):
        crop_targets(target, _rois(target.boxes), 14)


def test_spread_rois_keeps_the_first_and_the_last() -> None:
    boxes = torch.arange(40.0).reshape(10, 4)
    assert len(spread_rois(_rois(boxes), None)) == 10
    assert len(spread_rois(_rois(boxes), 10)) == 10
    few = spread_rois(_rois(boxes), 4).boxes
    assert torch.equal(few, boxes[[0, 3, 6, 9]])
    assert len(spread_rois(_rois(boxes[:0]), 4)) == 0
