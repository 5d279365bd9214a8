"""Backbones take pictures of any number of channels and keep their weights."""

from __future__ import annotations

import pytest
import torch

from maskwright.backbones import (
    CSP,
    VGG,
    BackboneConfig,
    MobileNet,
    ResNet,
    Timm,
    adapt_stem,
    spread_weights,
    stem_name,
)

_CONFIGS: list[BackboneConfig] = [
    ResNet.Config(depth=18),
    VGG.Config(),
    MobileNet.Config(size="small"),
    CSP.Config.of_size("nano"),
    Timm.Config(),
]


@pytest.mark.parametrize("config", _CONFIGS, ids=lambda config: config.kind)
def test_one_channel_gives_what_grey_repeated_three_times_gave(config: BackboneConfig) -> None:
    torch.manual_seed(0)
    backbone = config.build().eval()
    grey = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        before = backbone(grey.repeat(1, 3, 1, 1))
        adapt_stem(backbone, 1)
        after = backbone(grey)
    for stride, expected in before.items():
        torch.testing.assert_close(after[stride], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("config", _CONFIGS, ids=lambda config: config.kind)
@pytest.mark.parametrize("channels", [2, 5])
def test_any_number_of_channels_is_taken_and_learnt(config: BackboneConfig, channels: int) -> None:
    backbone = config.build()
    adapt_stem(backbone, channels)
    features = backbone(torch.randn(2, channels, 64, 64))
    sum(x.sum() for x in features.values()).backward()
    stem = backbone.get_submodule(stem_name(backbone))
    assert stem.weight.grad is not None
    assert stem.weight.grad.shape[1] == channels


def test_a_frozen_stem_stays_frozen_and_three_channels_change_nothing() -> None:
    backbone = ResNet.Config(depth=18, freeze_stages=1).build()
    weight = backbone.conv1.weight
    adapt_stem(backbone, 3)
    assert backbone.conv1.weight is weight
    adapt_stem(backbone, 4)
    assert not backbone.conv1.weight.requires_grad


def test_a_constant_picture_gives_the_same_whatever_its_channels() -> None:
    weight = torch.randn(8, 3, 3, 3)
    for channels in (1, 3, 6, 9):
        total = spread_weights(weight, channels).sum(dim=1)
        torch.testing.assert_close(total, weight.sum(dim=1))
