from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import pytest
import torch
import torch.nn.functional as F

from contracts.made_up import random_features
from contracts.mask_head_contract import MaskHeadContract
from maskwright.errors import ConfigError
from maskwright.mask_heads import FCN

_SMALL = FCN.Config(hidden_channels=32, crop_size=28)


class TestFCN(MaskHeadContract):
    config = _SMALL
    reads_rois = False


class TestFCNOnABackbonesOwnLevels(MaskHeadContract):
    config = replace(_SMALL, strides=(8, 16, 64), norm="batch", dropout=0.0)
    channels: ClassVar[dict[int, int]] = {4: 8, 8: 16, 16: 24}
    reads_rois = False


@torch.no_grad()
def test_scores_of_levels_are_added_up_from_coarse_to_fine() -> None:
    torch.manual_seed(0)
    head = _SMALL.build({8: 4, 16: 6, 32: 5}, 2).eval()
    features = random_features({8: 4, 16: 6, 32: 5}, 1, (72, 104))
    assert head.map_stride == 8
    at32 = head.levels["32"](features[32])
    at16 = head.levels["16"](features[16])
    at16 = at16 + F.interpolate(at32, at16.shape[-2:], mode="bilinear")
    at8 = head.levels["8"](features[8])
    expected = at8 + F.interpolate(at16, at8.shape[-2:], mode="bilinear")
    assert expected.shape == (1, 3, 9, 13)
    torch.testing.assert_close(head.class_logits(features), expected)


def test_features_without_any_of_the_levels_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"no level to score.*\[2, 64\]"):
        FCN.Config().build({2: 16, 64: 16}, 3)
