"""A calibration inside a model file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open
from safetensors.torch import load_file

import maskwright.model.checkpoint as checkpoint_module
from maskwright.errors import CheckpointError, ConfigError
from maskwright.model import (
    InstanceSegmenter,
    load_checkpoint,
    read_checkpoint_header,
    save_checkpoint,
    store_calibration,
)
from maskwright.score_calibration import ScoreCalibration

_CALIBRATION = ScoreCalibration(
    class_names=("cat", "dog"),
    method="size",
    temperatures=(2.0, 0.5),
    shifts=(0.25, -1.0),
    slopes=(0.0, 0.1),
    centre=5.0,
    thresholds={"f1": (0.4, 0.6), "precision=0.9": (0.8, 0.9)},
    default_threshold="precision=0.9",
    num_objects=321,
)


@pytest.fixture
def path(model: InstanceSegmenter, tmp_path: Path) -> Path:
    path = tmp_path / "best.safetensors"
    save_checkpoint(model, path, {"step": 7})
    return path


def _header(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["maskwright"])


def test_it_comes_back_and_nothing_else_of_the_file_changes(path: Path) -> None:
    before, tensors = _header(path), load_file(path)
    assert read_checkpoint_header(path).calibration is None
    assert store_calibration(path, _CALIBRATION) == path
    assert read_checkpoint_header(path).calibration == _CALIBRATION
    after = _header(path)
    del after["calibration"]
    assert after == before
    again = load_file(path)
    assert again.keys() == tensors.keys()
    assert all(again[name].equal(tensor) for name, tensor in tensors.items())
    load_checkpoint(path)


def test_a_copy_leaves_the_original_as_it_was_and_none_takes_it_out(
    path: Path, tmp_path: Path
) -> None:
    whole = path.read_bytes()
    copy = store_calibration(path, _CALIBRATION, tmp_path / "new" / "copy.safetensors")
    assert path.read_bytes() == whole
    assert read_checkpoint_header(copy).calibration == _CALIBRATION
    store_calibration(copy, None)
    assert copy.read_bytes() == whole


def test_classes_in_another_order_are_put_into_the_models(path: Path) -> None:
    turned = _CALIBRATION.for_classes(("dog", "cat"))
    assert turned.temperatures == (0.5, 2.0)
    assert turned.thresholds["f1"] == (0.6, 0.4)
    store_calibration(path, turned)
    assert read_checkpoint_header(path).calibration == _CALIBRATION


def test_other_classes_are_refused(path: Path) -> None:
    whole = path.read_bytes()
    other = ScoreCalibration(
        class_names=("cat", "cow"), temperatures=(1.0, 1.0), shifts=(0.0, 0.0), slopes=(0.0, 0.0)
    )
    with pytest.raises(ConfigError, match="does not fit a model of cat, dog"):
        store_calibration(path, other)
    assert path.read_bytes() == whole


def test_a_full_disk_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(tensors: Any, partial: Path, metadata: Any) -> None:
        partial.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    whole = path.read_bytes()
    monkeypatch.setattr(checkpoint_module, "save_file", full_disk)
    with pytest.raises(CheckpointError, match=r"No space left.*what was there before is unchanged"):
        store_calibration(path, _CALIBRATION)
    assert path.read_bytes() == whole
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperatures": (1.0,)}, "one per class"),
        ({"temperatures": (1.0, 0.0)}, "above 0"),
        ({"shifts": (float("nan"), 0.0)}, "finite"),
        ({"method": "guess"}, "temperature, logistic or size"),
        ({"thresholds": {"f1": (0.5,)}}, "f1 must be 2 finite numbers"),
    ],
)
def test_what_makes_no_calibration_is_refused(changes, message) -> None:
    with pytest.raises(ConfigError, match=message):
        ScoreCalibration.from_dict(_CALIBRATION.as_dict() | changes)


def test_fields_that_are_missing_or_unknown_are_named() -> None:
    values = _CALIBRATION.as_dict()
    with pytest.raises(ConfigError, match="no calibration of scores"):
        ScoreCalibration.from_dict(values | {"extra": 1})
    del values["shifts"]
    with pytest.raises(ConfigError, match="shifts"):
        ScoreCalibration.from_dict(values)
