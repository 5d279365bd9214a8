from __future__ import annotations

import pytest
import torch
from torchvision.models import get_model

from contracts.backbone_contract import BackboneContract
from maskwright.backbones import ResNet
from maskwright.errors import ConfigError


class TestResNet18(BackboneContract):
    config = ResNet.Config(depth=18)


@pytest.mark.parametrize("depth", [18, 34, 50, 101])
def test_names_and_shapes_are_torchvisions(depth: int) -> None:
    with torch.device("meta"):
        ours = ResNet.Config(depth=depth).build().state_dict()
        theirs = get_model(f"resnet{depth}", weights=None).state_dict()
    wanted = {name: value.shape for name, value in theirs.items() if not name.startswith("fc.")}
    assert {name: value.shape for name, value in ours.items()} == wanted


def test_all_five_stages_can_be_frozen() -> None:
    with torch.device("meta"):
        backbone = ResNet.Config(depth=18, freeze_stages=5).build().train()
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    assert not backbone.layer4.training


@torch.no_grad()
def test_with_a_smaller_output_stride_the_deepest_map_is_that_of_dilated_layers() -> None:
    backbone = ResNet.Config(depth=50, output_stride=8).build().eval()
    assert backbone.channels == {4: 256, 8: 2048}
    theirs = get_model(
        "resnet50", weights=None, replace_stride_with_dilation=[False, True, True]
    ).eval()
    theirs.load_state_dict(backbone.state_dict(), strict=False)
    images = torch.randn(1, 3, 50, 71)
    x = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(images))))
    expected = theirs.layer4(theirs.layer3(theirs.layer2(theirs.layer1(x))))
    features = backbone(images)
    assert list(features) == [4, 8]
    assert torch.equal(features[8], expected)
    assert features[8].shape == (1, 2048, 7, 9)


def test_small_networks_without_holes_are_refused() -> None:
    with pytest.raises(ConfigError, match="needs a depth of 50 or 101, got 18"):
        ResNet.Config(depth=18, output_stride=16).build()
