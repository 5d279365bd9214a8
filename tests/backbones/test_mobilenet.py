from __future__ import annotations

import pytest
import torch
from torchvision.models import get_model

from contracts.backbone_contract import BackboneContract
from maskwright.backbones import MobileNet


class TestMobileNetLarge(BackboneContract):
    config = MobileNet.Config()


class TestMobileNetSmall(BackboneContract):
    config = MobileNet.Config(size="small")


@pytest.mark.parametrize("size", ["large", "small"])
def test_names_and_shapes_are_torchvisions(size: str) -> None:
    with torch.device("meta"):
        ours = MobileNet.Config(size=size).build()
        theirs = get_model(f"mobilenet_v3_{size}", weights=None).state_dict()
    wanted = {name: each.shape for name, each in theirs.items() if name.startswith("features.")}
    assert {name: each.shape for name, each in ours.state_dict().items()} == wanted
    expected = {"large": [24, 40, 112, 960], "small": [16, 24, 48, 576]}
    assert list(ours.channels.values()) == expected[size]


@torch.no_grad()
def test_ssdlites_levels_halve_from_stride_16_to_512() -> None:
    with torch.device("meta"):
        backbone = MobileNet.Config(levels="ssdlite", reduced_tail=True).build().eval()
        features = backbone(torch.empty(1, 3, 320, 320))
    assert {stride: tuple(each.shape[1:]) for stride, each in features.items()} == {
        16: (672, 20, 20),
        32: (480, 10, 10),
        64: (512, 5, 5),
        128: (256, 3, 3),
        256: (256, 2, 2),
        512: (128, 1, 1),
    }


@pytest.mark.parametrize(
    ("levels", "size"), [("ssdlite", "large"), ("ssdlite", "small"), ("last_two", "large")]
)
def test_other_levels_take_any_picture_and_learn(levels: str, size: str) -> None:
    torch.manual_seed(0)
    config = MobileNet.Config(levels=levels, size=size, norm="group", freeze_stages=2)
    backbone = config.build().train()
    features = backbone(torch.randn(2, 3, 33, 70))
    assert list(features) == list(backbone.channels) == sorted(features)
    for stride, feature in features.items():
        assert feature.shape[:2] == (2, backbone.channels[stride])
    torch.stack([each.square().mean() for each in features.values()]).sum().backward()
    learning = [each for each in backbone.parameters() if each.requires_grad]
    assert all(parameter.grad is not None for parameter in learning)
    assert 0 < len(learning) < len(list(backbone.parameters()))


def test_ssdlites_weights_see_pixels_from_minus_one_to_one() -> None:
    with torch.device("meta"):
        backbone = MobileNet.Config(pixels="symmetric").build()
    assert backbone.pixel_mean == backbone.pixel_std == (127.5, 127.5, 127.5)
