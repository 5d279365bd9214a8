from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from torch import nn
from torchvision.models.segmentation import deeplabv3

from contracts.made_up import random_features
from contracts.mask_head_contract import MaskHeadContract
from maskwright.mask_heads import DeepLab
from maskwright.mask_heads.deeplab import ASPP

_SMALL = DeepLab.Config(
    aspp_channels=32,
    low_level_channels=16,
    head_channels=(32,),
    atrous_rates=(1, 2, 3),
    crop_size=28,
)


class TestDeepLab(MaskHeadContract):
    config = _SMALL
    reads_rois = False


class TestDeepLabWithoutADecoder(MaskHeadContract):
    config = replace(_SMALL, stride=8, decoder_stride=None, norm="batch", dropout=0.0)
    channels: ClassVar[dict[int, int]] = {8: 16, 32: 24}
    reads_rois = False


@pytest.mark.parametrize("rate", [1, 6, 12, 36])
@torch.no_grad()
def test_atrous_convolution_keeps_the_size_and_skips_cells(rate: int) -> None:
    aspp = ASPP(1, 1, [rate], norm=None, dropout=0.0)
    branch = aspp.branches[1]
    assert isinstance(branch[0], nn.Conv2d)
    branch[0].weight.fill_(1.0)
    branch[0].bias.zero_()
    impulse = torch.zeros(1, 1, 80, 90)
    impulse[0, 0, 40, 45] = 1.0
    answer = branch(impulse)
    assert answer.shape == impulse.shape
    rows = sorted({int(row) for row in answer[0, 0].nonzero()[:, 0]})
    columns = sorted({int(column) for column in answer[0, 0].nonzero()[:, 1]})
    assert rows == [40 - rate, 40, 40 + rate]
    assert columns == [45 - rate, 45, 45 + rate]


@torch.no_grad()
def test_aspp_equals_torchvisions_with_its_weights() -> None:
    torch.manual_seed(0)
    theirs = deeplabv3.ASPP(24, [2, 4, 6], 16).eval()
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    ours = ASPP(24, 16, [2, 4, 6], norm="batch", dropout=0.5).eval()
    branches, pooled = theirs.convs[:4], theirs.convs[4]
    for own, their in zip(ours.branches, branches, strict=True):
        own.load_state_dict(their.state_dict())
    ours.picture[0].load_state_dict(pooled[1].state_dict())
    ours.picture[1].load_state_dict(pooled[2].state_dict())
    ours.project[0].load_state_dict(theirs.project[:3].state_dict())
    x = torch.randn(2, 24, 13, 17)
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("channels", "read", "drawn"),
    [
        ({4: 8, 8: 8, 16: 8, 32: 8}, 16, 4),
        ({4: 8, 8: 12}, 8, 4),
        ({8: 12, 16: 8, 64: 4}, 16, 8),
        ({32: 8, 64: 8}, 32, 32),
    ],
)
@torch.no_grad()
def test_the_levels_nearest_to_the_wanted_ones_are_read(
    channels: dict[int, int], read: int, drawn: int
) -> None:
    head = _SMALL.build(channels, 2).eval()
    assert (head.stride, head.map_stride) == (read, drawn)
    features = random_features(channels, 1, (128, 192))
    assert head.class_logits(features).shape == (1, 3, 128 // drawn, 192 // drawn)


def test_a_training_batch_of_one_picture_works() -> None:
    head = _SMALL.build({4: 8, 16: 8}, 2).train()
    assert head.class_logits(random_features({4: 8, 16: 8}, 1, (64, 64))).isfinite().all()
