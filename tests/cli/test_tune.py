"""`maskwright tune` as a user types it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from maskwright.cli.app import name_bare_options, run

_SET = [
    "--model.short-side=64", "--model.long-side=64", "--model.neck.channels=16",
    "--set", "num-workers=0", "--set", "batch-size=2", "--set", "evaluations=1",
]  # fmt: skip
_COMMON = [
    "--steps", "1", "--model", "yolo+prototypes", "--preset", "tiny", "--weights", "none",
    "--augment", "none", "--device", "cpu", "--search", "warmup=0:0.3",
]  # fmt: skip


def _run(capsys: pytest.CaptureFixture[str], *tokens: object) -> tuple[int, str, str]:
    code = run([str(token) for token in tokens])
    output = capsys.readouterr()
    return code, output.out, output.err


def test_the_study_is_json_and_nothing_else_or_a_table_for_people(
    discs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("optuna")
    command = ["tune", discs, "--out", tmp_path / "study", "--trials", "1", *_COMMON, *_SET]
    code, out, err = _run(capsys, *command, "--json")
    assert code == 0
    study = json.loads(out)
    assert study["best"] == 0
    assert study["trials"][0]["values"] == {"warmup": 0.05}
    assert Path(study["model"]).is_file()
    assert "trial 0 (1 of 1): warmup 0.05" in err
    assert "mask AP" in err
    code, out, err = _run(capsys, *command)
    assert code == 0
    assert "Trial 0 is the best" in out
    assert "maskwright train" in out
    assert not err


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["--search", "warmup"], "NAME=LOW:HIGH"),
        (["--search", "optimiser.momentum=0.8:0.99"], "Did you mean 'optimizer'"),
        (["--parallel", "2"], "--ray"),
        (["--ray", "study"], "Ray's address is local, auto"),
    ],
)
def test_mistakes_end_with_code_2_and_a_message(
    tokens: list[str], message: str, discs: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    pytest.importorskip("optuna")
    code, out, err = _run(capsys, "tune", discs, "--out", tmp_path / "study", *tokens)
    assert code == 2
    assert message in err
    assert not out
    assert not (tmp_path / "study").exists()


def test_without_optuna_the_extra_is_named(
    discs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    code, _, err = _run(capsys, "tune", discs, "--out", tmp_path / "study")
    assert code == 2
    assert "pip install 'maskwright[tune]'" in err


def test_help_shows_examples_and_options(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _run(capsys, "tune", "--help")
    assert code == 0
    assert "--search" in out
    assert "Examples:" in out


def test_a_bare_ray_means_this_machine() -> None:
    tokens = ["predict", "m", "pictures", "--ray", "--parallel", "2"]
    assert name_bare_options(tokens)[3:5] == ["--ray", "local"]
    assert name_bare_options(["predict", "m", "pictures", "--ray"])[-1] == "local"
    assert name_bare_options(["predict", "--ray", "auto", "m", "p"])[1:3] == ["--ray", "auto"]


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["--parallel", "2"], "add --ray"),
        (["--ray", "--semantic"], "leave --ray or --semantic out"),
        (["--ray", "--batch-size", "auto"], "with --ray give a number"),
        (["--ray", "results"], "Ray's address is local, auto"),
    ],
)
def test_prediction_says_what_does_not_go_with_ray(
    tokens: list[str], message: str, discs: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    code, _, err = _run(
        capsys, "predict", tmp_path / "model", discs.parent, "--out", tmp_path / "out", *tokens
    )
    assert code == 2
    assert message in err
