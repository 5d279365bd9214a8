from __future__ import annotations

import pytest
import torch
from torchvision.models import get_model

from contracts.backbone_contract import BackboneContract
from maskwright.backbones import VGG


class TestVGG(BackboneContract):
    config = VGG.Config()


@pytest.mark.parametrize(("norm", "name"), [(None, "vgg16"), ("batch", "vgg16_bn")])
def test_names_and_shapes_are_torchvisions(norm: str | None, name: str) -> None:
    with torch.device("meta"):
        ours = VGG.Config(norm=norm).build().state_dict()
        theirs = get_model(name, weights=None).state_dict()
    wanted = {key: value.shape for key, value in theirs.items() if key.startswith("features.")}
    assert {key: value.shape for key, value in ours.items()} == wanted


@torch.no_grad()
def test_the_coarsest_map_is_torchvisions() -> None:
    torch.manual_seed(0)
    theirs = get_model("vgg16", weights=None).features
    ours = VGG.Config().build()
    ours.features.load_state_dict(theirs.state_dict())
    images = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(ours(images)[32], theirs(images))


@torch.no_grad()
def test_ssds_levels_have_the_sizes_of_the_paper() -> None:
    with torch.device("meta"):
        small = VGG.Config(levels="ssd300").build()(torch.empty(1, 3, 300, 300))
        large = VGG.Config(levels="ssd512").build()(torch.empty(1, 3, 512, 512))
    sides = {stride: tuple(each.shape[1:]) for stride, each in small.items()}
    assert sides == {
        8: (512, 38, 38),
        16: (1024, 19, 19),
        32: (512, 10, 10),
        64: (256, 5, 5),
        128: (256, 3, 3),
        256: (256, 1, 1),
    }
    assert [each.shape[-1] for each in large.values()] == [64, 32, 16, 8, 4, 2, 1]


@pytest.mark.parametrize("levels", ["ssd300", "ssd512"])
def test_ssds_levels_take_any_picture_and_learn(levels: str) -> None:
    torch.manual_seed(0)
    backbone = VGG.Config(levels=levels, norm="group", freeze_stages=3).build().train()
    features = backbone(torch.randn(2, 3, 33, 70))
    assert list(features) == list(backbone.channels) == sorted(features)
    for stride, feature in features.items():
        assert feature.shape[:2] == (2, backbone.channels[stride])
        assert min(feature.shape[2:]) >= 1
    torch.stack([each.square().mean() for each in features.values()]).sum().backward()
    learning = [each for each in backbone.parameters() if each.requires_grad]
    assert all(parameter.grad is not None for parameter in learning)
    assert 0 < len(learning) < len(list(backbone.parameters()))


@torch.no_grad()
def test_the_finest_level_has_the_norm_of_its_scale() -> None:
    torch.manual_seed(0)
    finest = VGG.Config(levels="ssd300").build()(torch.randn(1, 3, 64, 64))[8]
    torch.testing.assert_close(finest.norm(dim=1), torch.full((1, 8, 8), 20.0))


def test_caffes_weights_see_pixels_without_their_mean() -> None:
    with torch.device("meta"):
        assert VGG.Config(pixels="caffe").build().pixel_std == (1.0, 1.0, 1.0)
