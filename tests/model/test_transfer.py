from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from urllib.error import URLError

import pytest
import skimage.data
import timm
import torch
import torch.nn.functional as F
from torchvision.models import resnet18

from maskwright.backbones import ResNet, Timm
from maskwright.errors import CheckpointError, ConfigError
from maskwright.model.transfer import efficientnet_lite_state_dict, load_imagenet

_LITE = Timm.Config(model="tf_efficientnet_lite0")


@torch.no_grad()
def test_the_packages_weights_see_a_cat_in_a_photograph_of_a_cat() -> None:
    """281, 282 and 285 are tabby, tiger cat and Egyptian cat; mean and std are those of timm."""
    backbone = _LITE.build()
    network = timm.create_model(_LITE.model).eval()
    network.load_state_dict(efficientnet_lite_state_dict(_LITE.model))
    photograph = torch.tensor(skimage.data.chelsea()).permute(2, 0, 1)[None, :, :, 75:375].float()
    mean = torch.tensor(backbone.pixel_mean).view(3, 1, 1)
    std = torch.tensor(backbone.pixel_std).view(3, 1, 1)
    pixels = (F.interpolate(photograph, (224, 224), mode="bilinear", antialias=True) - mean) / std
    probs = network(pixels).softmax(1)[0]
    assert set(probs.topk(3).indices.tolist()) == {281, 282, 285}
    assert probs[[281, 282, 285]].sum() > 0.8
    load_imagenet(backbone, "package")
    features = backbone.eval()(pixels)
    expected = network.blocks(network.bn1(network.conv_stem(pixels)))
    torch.testing.assert_close(features[32], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("size", [1, 2])
@torch.no_grad()
def test_larger_networks_have_packages_too(size: int) -> None:
    backbone = Timm.Config(model=f"tf_efficientnet_lite{size}", norm="frozen_batch").build()
    load_imagenet(backbone, "package")
    state = efficientnet_lite_state_dict(backbone.model)
    assert torch.equal(backbone.network.conv_stem.weight, state["conv_stem.weight"])


@torch.no_grad()
def test_torchvisions_classifier_gives_a_resnet_its_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = resnet18(weights=None).eval()
    torch.save(theirs.state_dict(), tmp_path / "resnet18.pth")
    ours = ResNet.Config(depth=18).build().eval()
    load_imagenet(ours, tmp_path / "resnet18.pth")
    images = torch.randn(1, 3, 64, 64)
    theirs.fc, theirs.avgpool = torch.nn.Identity(), torch.nn.Identity()
    assert torch.equal(ours(images)[32].flatten(1), theirs(images))


@torch.no_grad()
def test_a_file_of_timm_gives_a_flattened_network_its_weights(tmp_path: Path) -> None:
    """ConvNeXt's stages.0 are stages_0 where it gives features."""
    torch.manual_seed(0)
    theirs = timm.create_model("convnext_atto").eval()
    torch.save({"state_dict": theirs.state_dict()}, tmp_path / "convnext.pth")
    ours = Timm.Config(model="convnext_atto").build().eval()
    load_imagenet(ours, tmp_path / "convnext.pth")
    images = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(ours(images)[32], theirs.stages(theirs.stem(images)))


def test_files_without_counts_of_batches_are_read(tmp_path: Path) -> None:
    state = {
        name: value
        for name, value in resnet18(weights=None).state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    torch.save(state, tmp_path / "old.pth")
    ours = ResNet.Config(depth=18).build()
    load_imagenet(ours, tmp_path / "old.pth")
    assert torch.equal(ours.conv1.weight, state["conv1.weight"])


def test_files_of_other_networks_are_refused_and_change_nothing(tmp_path: Path) -> None:
    torch.save(resnet18(weights=None).state_dict(), tmp_path / "resnet18.pth")
    backbone = ResNet.Config(depth=50).build()
    before = backbone.conv1.weight.clone()
    with pytest.raises(CheckpointError, match=r"layer1.0.conv3.weight is missing.*and \d+ more"):
        load_imagenet(backbone, tmp_path / "resnet18.pth")
    assert torch.equal(backbone.conv1.weight, before)
    with pytest.raises(ConfigError, match="trained with batch norm, and this backbone has none"):
        load_imagenet(ResNet.Config(depth=18, norm="group").build(), tmp_path / "resnet18.pth")


def test_asking_a_package_for_other_networks_is_refused() -> None:
    with pytest.raises(ConfigError, match="not for ResNet"):
        load_imagenet(ResNet.Config(depth=18).build(), "package")
    with pytest.raises(ConfigError, match="no package with weights of 'resnet18'"):
        load_imagenet(replace(_LITE, model="resnet18").build(), "package")


def test_without_a_connection_the_error_says_where_to_put_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_connection(*args: object, **kwargs: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", no_connection)
    with pytest.raises(
        CheckpointError, match=r"resnet18-\w+.pth could not be fetched.*put it into"
    ):
        load_imagenet(ResNet.Config(depth=18).build(), "download")
