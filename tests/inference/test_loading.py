from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from contracts.exactness import require_same
from maskwright.backbones import FPN, ResNet
from maskwright.errors import CheckpointError, ConfigError
from maskwright.inference import Predictor, load
from maskwright.inference.engine import Engine
from maskwright.mask_heads import FCN, DeepLab, MaskRCNNHead
from maskwright.model import InstanceSegmenter, SemanticSegmenter, save_checkpoint


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


def test_a_model_is_run_by_the_engine_or_as_it_was_trained(model_file: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    engine, eager = load(model_file, device="cpu"), load(model_file, device="cpu", runtime="eager")
    assert isinstance(engine.model, Engine)
    assert type(load(model_file, device="cpu", runtime="torch").model) is Engine
    assert isinstance(eager.model, InstanceSegmenter)
    require_same([engine.predict(image)], [eager.predict(image)])


def test_runtimes_and_precisions_that_do_not_exist_are_explained(model_file: Path) -> None:
    with pytest.raises(ConfigError, match=r"no runtime 'troch'. Did you mean 'torch'\? .*eager"):
        load(model_file, runtime="troch")
    with pytest.raises(ConfigError, match="'eager' computes in fp32, not in 'bf16': take runtime"):
        load(model_file, runtime="eager", precision="bf16")
    with pytest.raises(ConfigError, match="'torch' computes in fp32 or bf16, not in 'fp8'"):
        load(model_file, precision="fp8")
    with pytest.raises(ConfigError, match="leave compile out"):
        load(model_file, runtime="eager", compile=True)


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
    with pytest.raises(ConfigError, match="Did you mean 'deeplabv3_resnet50'"):
        load("torchvision/deeplab_resnet50")
    with pytest.raises(CheckpointError, match="is called torchvision/fcn_resnet50"):
        load("fcn_resnet50")
    with pytest.raises(ConfigError, match="of its own: leave those out"):
        load(model_file, weights="other.pth")
    with pytest.raises(ConfigError, match="device 'cpuu' is not on this machine"):
        load(model_file, device="cpuu")


def test_a_semantic_model_file_gives_class_maps_and_says_that_it_finds_no_objects(
    tmp_path: Path,
) -> None:
    config = SemanticSegmenter.Config(
        backbone=ResNet.Config(depth=18),
        neck=FPN.Config(channels=16),
        head=DeepLab.Config(aspp_channels=16, low_level_channels=8, head_channels=(16,)),
        short_side=64,
        long_side=96,
    )
    model = config.build(("coin", "nut"))
    save_checkpoint(model, tmp_path / "best.safetensors")
    predictor = load(tmp_path, device="cpu")
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    (expected,) = model.class_maps(model.collate([image]))
    found = predictor.class_map(image)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(ConfigError, match="call class_map"):
        predictor.predict(image)


def test_a_mask_head_with_a_class_map_gives_it_and_others_say_that_they_have_none(
    model_file: Path,
) -> None:
    image = np.zeros((50, 70, 3), np.uint8)
    with pytest.raises(ConfigError, match=r"needs the mask head 'fcn' or 'deeplab'.*'mask_rcnn'"):
        load(model_file, device="cpu").class_map(image)
    config = InstanceSegmenter.Config(
        backbone=ResNet.Config(depth=18),
        neck=FPN.Config(channels=16),
        mask_head=FCN.Config(hidden_channels=8),
        short_side=64,
        long_side=96,
    )
    assert Predictor(config.build(("coin",))).class_map(image).shape == (50, 70)


def test_torchvisions_semantic_networks_are_loaded_by_name(tmp_path: Path) -> None:
    from torchvision.models.segmentation import fcn_resnet50

    torch.manual_seed(0)
    network = fcn_resnet50(weights=None, weights_backbone=None, num_classes=3)
    torch.save(network.state_dict(), tmp_path / "fcn.pth")
    predictor = load(
        "torchvision/fcn_resnet50",
        weights=tmp_path / "fcn.pth",
        class_names=["coin", "nut"],
        device="cpu",
    )
    assert predictor.class_map(np.zeros((40, 60, 3), np.uint8)).shape == (40, 60)
    assert not predictor.finds_objects
