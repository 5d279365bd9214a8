from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from maskwright.backbones import FPN, ResNet
from maskwright.errors import CheckpointError, ConfigError
from maskwright.inference import load
from maskwright.mask_heads import MaskRCNNHead
from maskwright.model import InstanceSegmenter, save_checkpoint


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = InstanceSegmenter.Config(
        backbone=ResNet.Config(depth=18),
        neck=FPN.Config(channels=16),
        mask_head=MaskRCNNHead.Config(conv_channels=(16,), deconv_channels=16),
        short_side=64,
        long_side=96,
    )
    run = tmp_path_factory.mktemp("run")
    save_checkpoint(InstanceSegmenter(config, ("coin", "nut"), (11, 22)), run / "best.safetensors")
    return run / "best.safetensors"


def test_a_loaded_model_predicts_what_the_network_itself_does(model_file: Path) -> None:
    predictor = load(model_file, device="cpu")
    assert predictor.class_names == ("coin", "nut")
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    found = predictor.predict(image)
    (expected,) = predictor.model.predict(predictor.model.collate([image]))
    assert torch.equal(found.boxes, expected.boxes)
    assert found.masks == expected.masks
    assert found.image_size == (50, 70)
    assert found.category_ids == (11, 22)


def test_pictures_of_any_shape_and_arrays_that_are_read_only_are_predicted_on(
    model_file: Path,
) -> None:
    predictor = load(model_file, device="cpu")
    image = np.zeros((50, 70, 3), np.uint8)
    image.flags.writeable = False
    for picture in (image, np.zeros((1, 1, 3), np.uint8), np.zeros((300, 3), np.uint8)):
        assert predictor.predict(picture).image_size == picture.shape[:2]


def test_a_run_folder_gives_its_best_model(model_file: Path, tmp_path: Path) -> None:
    assert load(model_file.parent).class_names == ("coin", "nut")
    with pytest.raises(CheckpointError, match=r"a folder without best\.safetensors"):
        load(tmp_path)


def test_names_files_and_devices_that_do_not_exist_are_explained(model_file: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no model file gone\.safetensors"):
        load("gone.safetensors")
    with pytest.raises(CheckpointError, match="is called torchvision/maskrcnn_resnet50_fpn"):
        load("maskrcnn_resnet50_fpn")
    with pytest.raises(ConfigError, match="Did you mean 'maskrcnn_resnet50_fpn'"):
        load("torchvision/maskrcnn_resnet50")
    with pytest.raises(CheckpointError, match="needs weights"):
        load("torchvision/maskrcnn_resnet50_fpn")
    with pytest.raises(ConfigError, match="of its own: leave those out"):
        load(model_file, weights="other.pth")
    with pytest.raises(ConfigError, match="device 'cpuu' is not on this machine"):
        load(model_file, device="cpuu")
