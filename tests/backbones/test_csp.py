from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from contracts.backbone_contract import BackboneContract
from maskwright.backbones import CSP
from maskwright.backbones.csp import CSP_SIZES
from maskwright.errors import ConfigError


class TestCSPNano(BackboneContract):
    config = CSP.Config.of_size("nano")


def test_widths_and_parameters_of_the_sizes_grow_as_in_yolox() -> None:
    """YOLOX-s has a backbone of 32, 64, ... 512 channels, and 9 blocks at depth 1 become 3."""
    with torch.device("meta"):
        networks = {name: CSP.Config.of_size(name).build() for name in CSP_SIZES}
    assert networks["small"].channels == {4: 64, 8: 128, 16: 256, 32: 512}
    assert networks["large"].channels == {4: 128, 8: 256, 16: 512, 32: 1024}
    assert networks["tiny"].channels == {4: 48, 8: 96, 16: 192, 32: 384}
    blocks = [len(stage[2].blocks) for stage in networks["small"].stages]
    assert blocks == [1, 3, 3, 1]
    assert [len(stage[2].blocks) for stage in networks["medium"].stages] == [2, 6, 6, 2]
    counts = [sum(p.numel() for p in network.parameters()) for network in networks.values()]
    assert counts == sorted(counts)
    assert 4.0e6 < counts[list(CSP_SIZES).index("small")] < 4.5e6


def test_any_width_gives_channels_that_groups_divide() -> None:
    with torch.device("meta"):
        network = CSP.Config(depth=0.01, width=0.03, norm="group").build()
    assert network.channels == {4: 8, 8: 8, 16: 16, 32: 32}
    assert all(len(stage[2].blocks) == 1 for stage in network.stages)


@torch.no_grad()
def test_pooling_in_turn_equals_pooling_squares_of_5_9_and_13() -> None:
    pooling = CSP.Config.of_size("nano").build().eval().stages[-1][1]
    x = torch.randn(2, 256, 20, 17, generator=torch.Generator().manual_seed(0))
    reduced = pooling.reduce(x)
    squares = [F.max_pool2d(reduced, size, stride=1, padding=size // 2) for size in (5, 9, 13)]
    assert torch.equal(pooling(x), pooling.mix(torch.cat((reduced, *squares), dim=1)))


def test_all_five_stages_can_be_frozen() -> None:
    with torch.device("meta"):
        backbone = CSP.Config(freeze_stages=5).build().train()
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    assert not any(
        module.training
        for module in backbone.modules()
        if not len([*module.children()]) and isinstance(module, nn.BatchNorm2d)
    )


def test_unknown_sizes_are_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"'smal' of the CSP backbone\. Did you mean 'small'"):
        CSP.Config.of_size("smal")
