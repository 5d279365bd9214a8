from __future__ import annotations

import pytest
import torch
from torchvision.models import get_model

from contracts.backbone_contract import BackboneContract
from maskwright.backbones import ResNet


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
