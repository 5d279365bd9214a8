"""The semantic task on the command line, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from maskwright.cli.app import run
from maskwright.inference import load
from maskwright.recipes import train

_SMALL = {
    "model.short_side": 64,
    "model.long_side": 64,
    "model.neck.channels": 16,
    "model.head.hidden_channels": 16,
    "num_workers": 0,
    "evaluations": 1,
}


@pytest.fixture(scope="module")
def trained(discs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cli") / "run"
    options = {"preset": "tiny", "weights": "none", "quiet": True, "overrides": _SMALL}
    train(discs, out=out, task="semantic", model="fcn", num_steps=2, **options)
    return out


def _run(capsys: pytest.CaptureFixture[str], *tokens: object) -> tuple[int, str, str]:
    code = run([str(token) for token in tokens])
    output = capsys.readouterr()
    return code, output.out, output.err


def test_train_prints_mean_iou_as_json_and_as_a_table(
    discs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dotted = [f"--{name}={value}" for name, value in _SMALL.items() if "." in name]
    common = [
        "train", discs, "--task", "semantic", "--model", "fcn", "--preset", "tiny", "--weights",
        "none", "--steps", 1, "--set", "num-workers=0", *dotted,
    ]  # fmt: skip
    code, out, _ = _run(capsys, *common, "--out", tmp_path / "a", "--json")
    assert code == 0
    assert set(json.loads(out)["validation"]["semantic"]) == {"mIoU", "pixel_accuracy"}
    code, out, err = _run(capsys, *common, "--out", tmp_path / "b")
    assert code == 0
    assert "mIoU" in out
    assert "On the test pictures" in out
    assert "fcn (semantic) on resnet18" in " ".join(err.split())


def test_a_semantic_model_is_scored_by_mean_iou(
    trained: Path, discs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for model in (trained, trained / "best.safetensors"):
        code, out, _ = _run(capsys, "evaluate", model, discs, "--subset", "test", "--json")
        assert code == 0
        assert json.loads(out) == json.loads((trained / "scores.json").read_text())["test"]
    code, out, _ = _run(capsys, "evaluate", trained, discs)
    assert code == 0
    assert "pixel accuracy" in out
    assert "background" in out


def test_predict_writes_class_maps_and_goes_on_past_an_unreadable_picture(
    trained: Path, discs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnot really")
    out = tmp_path / "out"
    sources = (tmp_path / "broken.png", discs.parent / "1.png")
    code, text, err = _run(
        capsys, "predict", trained, *sources, "--semantic", "--out", out, "--json"
    )
    assert code == 1
    assert "broken.png" in err
    summary = json.loads(text)
    assert summary["pictures"] == 1
    assert sum(summary["pixels"].values()) == 64 * 64
    assert [Path(each["path"]).name for each in summary["failures"]] == ["broken.png"]
    written = cv2.imread(str(out / "classmap" / "1.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(written, load(trained).class_map(sources[1]))
    assert {each.name for each in out.iterdir()} == {
        "overlay",
        "classmap",
        "classes.json",
        "pixels.csv",
    }
    code, text, _ = _run(capsys, "predict", trained, sources[1], "--semantic", "--out", out)
    assert code == 0
    assert "class maps of 1 pictures" in text


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["predict", "MODEL", "PICTURE"], "maskwright predict --semantic"),
        (["predict", "MODEL", "PICTURE", "--semantic", "--classes", "disc"], "--classes is about"),
        (["predict", "MODEL", "PICTURE", "--semantic", "--write", "coco"], "overlay, classmap"),
        (["evaluate", "--predictions", "r.json", "--data", "d", "--semantic"], "of a MODEL"),
        (["train", "d.json", "--out", "x", "--task", "semantic", "--model", "a+b"], "d.json"),
    ],
)
def test_mistakes_end_with_code_2_and_a_message(
    tokens: list[str],
    message: str,
    trained: Path,
    discs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    named = {"MODEL": trained, "PICTURE": discs.parent / "1.png"}
    code, out, err = _run(capsys, *(named.get(token, token) for token in tokens))
    assert code == 2
    assert message in err
    assert not out
    assert not list(tmp_path.iterdir())


def test_an_instance_model_with_a_class_map_is_scored_by_it_when_asked(
    discs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = {
        "model.short_side": 64,
        "model.long_side": 64,
        "model.neck.channels": 16,
        "model.detector.box_head.fc_channels": [32],
        "num_workers": 0,
        "evaluations": 1,
    }
    options = {"preset": "tiny", "weights": "none", "quiet": True, "overrides": overrides}
    train(discs, out=tmp_path / "run", model="faster-rcnn+fcn", num_steps=1, **options)
    code, out, _ = _run(capsys, "evaluate", tmp_path / "run", discs, "--semantic", "--json")
    assert code == 0
    assert 0 <= json.loads(out)["semantic"]["mIoU"] <= 1
    picture = discs.parent / "1.png"
    code, _, _ = _run(
        capsys, "predict", tmp_path / "run", picture, "--semantic", "--out", tmp_path / "o"
    )
    assert code == 0
    assert load(tmp_path / "run").class_map(picture).shape == (64, 64)
