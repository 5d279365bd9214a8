from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from maskwright.backbones import FPN

_CHANNELS = {4: 8, 8: 16, 16: 24}


def _features() -> dict[int, torch.Tensor]:
    torch.manual_seed(1)
    return {s: torch.randn(2, c, -(-50 // s), -(-70 // s)) for s, c in _CHANNELS.items()}


@pytest.mark.parametrize("norm", [None, "batch"])
@torch.no_grad()
def test_the_pyramid_equals_torchvisions(norm: str | None) -> None:
    ours = FPN.Config(channels=32, norm=norm).build(_CHANNELS).eval()
    theirs = FeaturePyramidNetwork(
        list(_CHANNELS.values()),
        32,
        extra_blocks=LastLevelMaxPool(),
        norm_layer=None if norm is None else nn.BatchNorm2d,
    ).eval()
    theirs.load_state_dict(ours.state_dict())
    features = _features()
    expected = theirs(OrderedDict((str(stride), each) for stride, each in features.items()))
    found = ours(features)
    assert list(found) == list(ours.channels) == [4, 8, 16, 32]
    for one, other in zip(found.values(), expected.values(), strict=True):
        torch.testing.assert_close(one, other)


def test_extra_levels_halve_the_last_and_may_be_none() -> None:
    pyramid = FPN.Config(channels=8, extra_levels=2).build(_CHANNELS)
    found = pyramid(_features())
    assert list(found) == [4, 8, 16, 32, 64]
    assert torch.equal(found[32], found[16][:, :, ::2, ::2])
    assert list(FPN.Config(extra_levels=0).build(_CHANNELS).channels) == [4, 8, 16]


def test_every_parameter_gets_a_gradient() -> None:
    pyramid = FPN.Config(channels=8, norm="group").build(_CHANNELS)
    torch.stack([each.square().mean() for each in pyramid(_features()).values()]).sum().backward()
    assert all(parameter.grad is not None for parameter in pyramid.parameters())
