"""A model file says which layers pruning has left narrower, and the model is rebuilt from that."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from maskwright.backbones import FPN, ResNet
from maskwright.detectors import SSD
from maskwright.errors import CheckpointError, ConfigError
from maskwright.mask_heads import FCN
from maskwright.model import (
    InstanceSegmenter,
    config_from_dict,
    config_to_dict,
    load_checkpoint,
    read_checkpoint_header,
    save_checkpoint,
)
from maskwright.model.narrowing import NarrowedLayer, list_narrowed

_FULL = InstanceSegmenter.Config(
    backbone=ResNet.Config(depth=18, norm="frozen_batch"),
    neck=FPN.Config(channels=32),
    detector=SSD.Config(num_convs=1, norm="group"),
    mask_head=FCN.Config(hidden_channels=16),
    short_side=64,
    long_side=96,
)
_NARROWED = (
    NarrowedLayer(name="backbone.layer1.0.conv1", inputs=64, outputs=40),
    NarrowedLayer(name="backbone.layer1.0.bn1", inputs=40, outputs=40),
    NarrowedLayer(name="backbone.layer1.0.conv2", inputs=40, outputs=64),
    NarrowedLayer(name="neck.layer_blocks.0.0", inputs=32, outputs=24),
    NarrowedLayer(name="detector.convs.0.0.0", inputs=24, outputs=16),
    NarrowedLayer(name="detector.convs.0.0.1", inputs=16, outputs=16, groups=16),
    NarrowedLayer(name="detector.classifiers.0", inputs=16, outputs=8),
    NarrowedLayer(name="detector.regressors.0", inputs=16, outputs=16),
    NarrowedLayer(name="mask_head.levels.4.0.0", inputs=24, outputs=16),
)


def test_a_narrowed_model_is_rebuilt_from_its_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = replace(_FULL, narrowed=_NARROWED).build(("disc",), (7,)).eval()
    assert model.neck is not None
    assert model.neck.channels[4] == 24
    assert model.neck.channels[8] == 32
    save_checkpoint(model, tmp_path / "model.safetensors")
    again = load_checkpoint(tmp_path / "model.safetensors")
    assert again.config == model.config
    picture = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        for stride, maps in model.neck(model.backbone(picture)).items():
            assert torch.equal(maps, again.neck(again.backbone(picture))[stride])
    assert list_narrowed(again, _FULL.build(("disc",))) == _NARROWED


def test_the_list_goes_through_json_and_is_empty_without_pruning() -> None:
    config = replace(_FULL, narrowed=_NARROWED)
    text = json.dumps(config_to_dict(config))
    assert config_from_dict(InstanceSegmenter.Config, json.loads(text)) == config
    assert config_to_dict(_FULL)["narrowed"] == ()
    old = config_to_dict(_FULL)
    del old["narrowed"]  # as files from before there was pruning
    assert config_from_dict(InstanceSegmenter.Config, old) == _FULL


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (NarrowedLayer(name="backbone.layer1.0.conv9", inputs=8, outputs=8), "did you mean"),
        (NarrowedLayer(name="backbone.relu", inputs=8, outputs=8), "no layer of this model"),
        (NarrowedLayer(name="backbone.conv1", inputs=3, outputs=128), "only 3, 64 and 1"),
        (NarrowedLayer(name="detector.convs.0.0.1", inputs=10, outputs=10, groups=4), "4 groups"),
        (NarrowedLayer(name="backbone.conv1", inputs=3, outputs=32), "do not fit each other"),
        (NarrowedLayer(name="detector.convs.1.0.0", inputs=24, outputs=32), "do not fit"),
    ],
)
def test_layers_that_do_not_fit_are_refused(layer: NarrowedLayer, message: str) -> None:
    with pytest.raises(ConfigError, match=f"(?i){message}"):
        replace(_FULL, narrowed=(layer,)).build(("disc",))


def test_a_file_with_such_layers_is_refused_by_its_name(tmp_path: Path) -> None:
    model = replace(_FULL, narrowed=_NARROWED).build(("disc",))
    path = tmp_path / "model.safetensors"
    save_checkpoint(model, path)
    assert read_checkpoint_header(path).config.narrowed == _NARROWED
    model.config = replace(_FULL, narrowed=_NARROWED[:1])  # a header that lies
    save_checkpoint(model, path)
    with pytest.raises(CheckpointError, match=r"model\.safetensors describes .*do not fit"):
        load_checkpoint(path)


def test_all_kinds_of_layers_are_cut() -> None:
    parts = nn.ModuleDict(
        {
            "linear": nn.Linear(8, 6),
            "up": nn.ConvTranspose2d(8, 6, 2),
            "depthwise": nn.Conv2d(8, 8, 3, groups=8),
            "norm": nn.BatchNorm2d(8),
        }
    )
    from maskwright.model.narrowing import narrow

    names = ("linear", "up")
    cuts = [NarrowedLayer(name=name, inputs=4, outputs=2) for name in names]
    cuts.append(NarrowedLayer(name="depthwise", inputs=4, outputs=4, groups=4))
    cuts.append(NarrowedLayer(name="norm", inputs=4, outputs=4))
    narrow(parts, cuts)
    picture = torch.rand(2, 4, 5, 5)
    assert parts["linear"](torch.rand(3, 4)).shape == (3, 2)
    assert parts["up"](picture).shape == (2, 2, 6, 6)
    assert parts["norm"](parts["depthwise"](picture)).shape == (2, 4, 3, 3)
    assert parts["norm"].num_features == 4
