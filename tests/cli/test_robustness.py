"""`maskwright robustness`, and predict and evaluate with views and ensembles."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from maskwright.cli.app import run
from maskwright.recipes import train

_SMALL = {
    "model.short_side": 64,
    "model.long_side": 64,
    "model.neck.channels": 16,
    "model.detector.box_head.fc_channels": [32],
    "model.detector.detections_per_image": 10,
    "model.mask_head.conv_channels": [16],
    "num_workers": 0,
    "evaluations": 1,
}


@pytest.fixture(scope="module")
def model(discs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("robustness") / "run"
    train(discs, out=out, preset="tiny", weights="none", num_steps=2, overrides=_SMALL, quiet=True)
    return out


def _run(capsys: pytest.CaptureFixture[str], *tokens: object) -> tuple[int, str, str]:
    code = run([str(token) for token in tokens])
    output = capsys.readouterr()
    return code, output.out, output.err


def test_a_model_is_measured_and_the_same_command_finds_it_done(
    model: Path, discs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = (
        "robustness", model, discs, "--out", tmp_path, "--limit", 3, "--json", "--replicates", 20,
        "--corruptions", "fog", "objects", "--strengths", 1, 5,
    )  # fmt: skip
    code, out, err = _run(capsys, *command)
    assert code == 0, err
    numbers = json.loads(out)
    assert [(one["corruption"], one["strength"]) for one in numbers["results"]] == [
        ("fog", 1), ("fog", 5), ("objects", 1), ("objects", 5)
    ]  # fmt: skip
    assert set(numbers["summary"]) == {"bbox", "segm", "boundary"}
    assert all(Path(name).is_file() for name in numbers["written"])
    before = (tmp_path / "robustness.json").read_bytes()
    code, again, err = _run(capsys, *command)
    assert code == 0, err
    assert json.loads(again) == numbers
    assert (tmp_path / "robustness.json").read_bytes() == before
    code, _, err = _run(capsys, *command, "--tta", "flips")
    assert code == 2
    assert "name another folder" in err


def test_views_and_ensembles_are_scored_and_written(
    model: Path, discs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = []
    for extra in ((), ("--ensemble", model, "--ensemble-weights", 2, 1), ("--tta", "flips+scales")):
        code, out, err = _run(capsys, "evaluate", model, discs, "--replicates", 0, "--json", *extra)
        assert code == 0, err
        scores.append(json.loads(out))
    assert scores[0] == scores[1]  # twins are the model itself
    code, _, err = _run(
        capsys, "predict", model, discs.parent / "1.png", "--out", tmp_path, "--write", "coco",
        "--tta", "flips", "--ensemble", model,
    )  # fmt: skip
    assert code == 0, err
    entries = json.loads((tmp_path / "results.json").read_text())
    assert all(0 <= entry["score"] <= 1 for entry in entries)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (("evaluate", "MODEL", "DATA", "--tta", "flip"), "Did you mean 'flips'"),
        (("evaluate", "MODEL", "DATA", "--ensemble-weights", "1"), "needs --ensemble"),
        (("evaluate", "--predictions", "DATA", "--data", "DATA", "--tta", "flips"), "--tta"),
        (("evaluate", "MODEL", "MODEL", "--paired", "--data", "DATA", "--ensemble", "MODEL"),
         "not with --paired"),
        (("predict", "MODEL", "PICTURE", "--semantic", "--tta", "flips"), "about objects"),
        (("robustness", "MODEL", "DATA", "--out", "OUT", "--corruptions", "mist"), "There are"),
        (("robustness", "MODEL", "DATA", "--out", "OUT", "--strengths", "9"), "from 1 to 5"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_said(
    model: Path,
    discs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    tokens: tuple[str, ...],
    message: str,
) -> None:
    places = {"MODEL": model, "DATA": discs, "PICTURE": discs.parent / "1.png", "OUT": tmp_path}
    code, _, err = _run(capsys, *(places.get(token, token) for token in tokens))
    assert code == 2
    assert message in err
