"""`maskwright calibrate`, and predict with what it stored."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from maskwright.cli.app import run
from maskwright.inference import load
from maskwright.recipes import train

_SMALL = {
    "model.short_side": 64,
    "model.long_side": 64,
    "model.neck.channels": 16,
    "model.detector.box_head.fc_channels": [32],
    "model.detector.detections_per_image": 20,
    "model.detector.score_threshold": 0.0,
    "model.mask_head.conv_channels": [16],
    "num_workers": 0,
    "evaluations": 1,
}
_LOOSE = ("--iou-threshold", 0.1)
"""So that a model of a few steps has right objects as well as wrong ones."""


@pytest.fixture(scope="module")
def trained(discs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("calibrate") / "run"
    train(discs, out=out, preset="tiny", weights="none", num_steps=4, overrides=_SMALL, quiet=True)
    return out


@pytest.fixture
def model(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


def _run(capsys: pytest.CaptureFixture[str], *tokens: object) -> tuple[int, str, str]:
    code = run([str(token) for token in tokens])
    output = capsys.readouterr()
    return code, output.out, output.err


def test_the_calibration_is_in_the_model_and_predict_takes_its_threshold(
    model: Path, discs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plot = tmp_path / "reliability.png"
    code, out, err = _run(capsys, "calibrate", model, discs, *_LOOSE, "--plot", plot)
    assert code == 0, err
    assert "ECE" in out
    assert plot.is_file()
    calibration = load(model).calibration
    assert calibration is not None
    assert calibration.class_names == ("disc",)
    source, results = discs.parent / "1.png", tmp_path / "results"
    code, _, err = _run(
        capsys, "predict", model, source, "--out", results, "--threshold", "auto", "--write", "coco"
    )  # fmt: skip
    assert code == 0, err
    least = calibration.score_thresholds()["disc"]
    entries = json.loads((results / "results.json").read_text())
    assert all(entry["score"] >= least - 1e-6 for entry in entries)
    assert len(entries) == len(load(model).predict(source, score_threshold="auto"))


def test_a_wanted_precision_becomes_what_auto_means_in_a_copy(
    model: Path, discs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy.safetensors"
    before = (model / "best.safetensors").read_bytes()
    code, out, err = _run(
        capsys, "calibrate", model, discs, *_LOOSE, "--precision", 0.35, "--out", copy, "--json"
    )  # fmt: skip
    assert code == 0, err
    numbers = json.loads(out)
    assert numbers["calibration"]["default_threshold"] == "precision=0.35"
    assert numbers["path"] == str(copy)
    assert (model / "best.safetensors").read_bytes() == before
    assert load(copy).calibration.score_thresholds() == {
        "disc": numbers["calibration"]["thresholds"]["precision=0.35"][0]
    }


def test_calibrating_again_starts_from_the_models_own_scores(
    model: Path, discs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = json.loads(_run(capsys, "calibrate", model, discs, *_LOOSE, "--json")[1])
    second = json.loads(_run(capsys, "calibrate", model, discs, *_LOOSE, "--json")[1])
    assert second == first


def test_thresholds_by_name_need_a_calibrated_model(
    model: Path, discs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("predict", model, discs.parent / "1.png", "--out", tmp_path / "out")
    code, _, err = _run(capsys, *arguments, "--score-threshold", "auto")
    assert code == 2
    assert "maskwright calibrate MODEL DATA" in err
    code, _, err = _run(capsys, *arguments, "--score-threshold", "0.5.1")
    assert code == 2
    assert "a score threshold is a number" in err


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (("--precision", "0.9", "--recall", "0.9"), "one of the two"),
        (("--precision", "1.5"), "a score threshold is"),
        (("--iou-threshold", "1"), "all of it is wrong"),
    ],
)
def test_what_cannot_be_is_said(
    tokens, message, model: Path, discs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (model / "best.safetensors").read_bytes()
    code, _, err = _run(capsys, "calibrate", model, discs, *tokens)
    assert code == 2
    assert message in err
    assert (model / "best.safetensors").read_bytes() == before


def test_a_model_without_a_file_is_refused(discs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = _run(capsys, "calibrate", "torchvision/maskrcnn_resnet50_fpn", discs)
    assert code == 2
    assert "no file to store a calibration in" in err
