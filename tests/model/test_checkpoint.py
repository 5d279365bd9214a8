from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import maskwright.model.checkpoint as checkpoint_module
from maskwright.backbones import FPN, ResNet
from maskwright.errors import CheckpointError
from maskwright.mask_heads import FCN
from maskwright.model import (
    InstanceSegmenter,
    SemanticSegmenter,
    load_checkpoint,
    read_checkpoint_header,
    save_checkpoint,
)


@pytest.fixture
def path(model: InstanceSegmenter, tmp_path: Path) -> Path:
    path = tmp_path / "best.safetensors"
    save_checkpoint(model, path, {"segm": {"AP": 0.5}})
    return path


def test_a_model_comes_back_bit_for_bit(
    model: InstanceSegmenter, path: Path, images: list[np.ndarray]
) -> None:
    loaded = load_checkpoint(path)
    assert loaded.config == model.config
    assert loaded.class_names == ("cat", "dog")
    assert loaded.category_ids == (17, 18)
    assert not loaded.training
    for one, other in zip(
        model.predict(model.collate(images)), loaded.predict(loaded.collate(images)), strict=True
    ):
        assert torch.equal(one.boxes, other.boxes)
        assert torch.equal(one.scores, other.scores)
        assert one.masks == other.masks


def test_the_header_can_be_read_alone(model: InstanceSegmenter, path: Path) -> None:
    header = read_checkpoint_header(path)
    assert header.config == model.config
    assert header.class_names == ("cat", "dog")
    assert header.extra == {"segm": {"AP": 0.5}}


def test_a_full_disk_leaves_the_old_file_and_no_other(
    model: InstanceSegmenter, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(tensors: Any, partial: Path, metadata: Any) -> None:
        partial.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    before = path.read_bytes()
    monkeypatch.setattr(checkpoint_module, "save_file", full_disk)
    with pytest.raises(CheckpointError, match=r"No space left.*what was there before is unchanged"):
        save_checkpoint(model, path)
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("kept", [0.0, 0.00001, 0.5, 0.999])
def test_a_file_that_was_cut_short_is_named(path: Path, kept: float) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(CheckpointError, match=r"best\.safetensors is damaged"):
        load_checkpoint(path)


def test_one_flipped_bit_in_the_weights_is_noticed(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    whole[-1000] ^= 1
    path.write_bytes(whole)
    with pytest.raises(CheckpointError, match="not those that were written"):
        load_checkpoint(path)


@pytest.mark.parametrize("content", [b"not a model at all, only text", b"\x80\x04K\x01."])
def test_other_files_are_refused_and_never_run(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "foreign.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="no safetensors file"):
        load_checkpoint(path)


def test_missing_files_folders_and_foreign_safetensors_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no model file"):
        load_checkpoint(tmp_path / "none.safetensors")
    with pytest.raises(CheckpointError, match="there is no model file"):
        load_checkpoint(tmp_path)
    save_file({"a": torch.zeros(2)}, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="something else"):
        load_checkpoint(tmp_path / "a.safetensors")


def _rewrite(path: Path, tensors: dict[str, torch.Tensor] | None = None, **changes: Any) -> None:
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["maskwright"])
    tensors = load_file(path) if tensors is None else tensors
    header = header | {"checksum": checkpoint_module._checksum(tensors)} | changes
    text = json.dumps({key: value for key, value in header.items() if value is not None})
    save_file(tensors, path, metadata={"maskwright": text})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "has format 2, written by maskwright .*this version reads format 1"),
        ({"config": {"backbone": {"kind": "vggg"}}}, "config that this version cannot read.*vggg"),
        ({"config": {"colour": 3}}, "unknown option 'colour'"),
        ({"class_names": None}, "damaged header.*class_names"),
        ({"class_names": ["cat"]}, "ids"),
        ({"class_names": ["a", "b", "c"], "category_ids": []}, "instead of"),
    ],
)
def test_headers_that_do_not_fit_are_refused(
    path: Path, changes: dict[str, Any], message: str
) -> None:
    _rewrite(path, **changes)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path)


def test_a_header_that_is_no_json_is_refused(path: Path) -> None:
    save_file(load_file(path), path, metadata={"maskwright": "{"})
    with pytest.raises(CheckpointError, match="damaged header"):
        load_checkpoint(path)


def test_tensors_that_do_not_fit_are_named(path: Path) -> None:
    tensors = load_file(path)
    del tensors["backbone.conv1.weight"]
    tensors["surplus"] = torch.zeros(1)
    _rewrite(path, tensors)
    with pytest.raises(
        CheckpointError,
        match=r"backbone\.conv1\.weight is missing, surplus is not part of the model",
    ):
        load_checkpoint(path)


def test_a_file_from_before_there_were_kinds_holds_a_model_of_instances(path: Path) -> None:
    with safe_open(path, framework="pt") as file:
        config = json.loads(file.metadata()["maskwright"])["config"]
    assert config.pop("kind") == "instances"
    _rewrite(path, config=config)
    assert isinstance(load_checkpoint(path), InstanceSegmenter)


def test_a_semantic_model_comes_back_bit_for_bit(tmp_path: Path, images: list[np.ndarray]) -> None:
    config = SemanticSegmenter.Config(
        backbone=ResNet.Config(depth=18),
        neck=FPN.Config(channels=16),
        head=FCN.Config(hidden_channels=8),
        short_side=64,
        long_side=96,
    )
    model = config.build(("cat", "dog"), (17, 18))
    save_checkpoint(model, tmp_path / "a.safetensors", {"step": 3})
    assert read_checkpoint_header(tmp_path / "a.safetensors").config == config
    loaded = load_checkpoint(tmp_path / "a.safetensors")
    assert isinstance(loaded, SemanticSegmenter)
    assert (loaded.class_names, loaded.category_ids) == (("cat", "dog"), (17, 18))
    for one, other in zip(
        model.class_maps(model.collate(images)),
        loaded.class_maps(loaded.collate(images)),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


def test_a_kind_of_model_that_does_not_exist_is_named(path: Path) -> None:
    _rewrite(path, config={"kind": "semantics"})
    with pytest.raises(CheckpointError, match=r"'semantics'.*Did you mean 'semantic'"):
        load_checkpoint(path)
