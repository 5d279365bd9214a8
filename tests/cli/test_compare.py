"""`maskwright compare` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from maskwright.cli.app import run

_SET = [
    "--model.short-side=64", "--model.long-side=64", "--model.neck.channels=16",
    "--model.detector.box-head.fc-channels=32", "--model.detector.detections-per-image=5",
    "--model.mask-head.conv-channels=16", "--set", "num-workers=0", "--set", "num-steps=1",
]  # fmt: skip


def _run(capsys: pytest.CaptureFixture[str], *tokens: object) -> tuple[int, str, str]:
    code = run([str(token) for token in tokens])
    output = capsys.readouterr()
    return code, output.out, output.err


def test_the_table_is_json_and_nothing_else_or_a_table_for_people(
    discs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        "compare", discs, "--models", "faster-rcnn+mask-rcnn", "--budget", "90s", "--preset",
        "tiny", "--weights", "none", "--groups", "name:(.)", "--pictures", "stored",
        "--out", tmp_path / "out", *_SET,
    ]  # fmt: skip
    code, out, err = _run(capsys, *command, "--json")
    assert code == 0
    [row] = json.loads(out)
    assert row["model"] == "faster-rcnn+mask-rcnn"
    assert {"mask_ap", "mask_ap_low", "boundary_ap", "box_ap", "ms", "gflops"} <= set(row)
    assert "training for 1.5 minutes" in err
    # Pictures 1, 10, 11 and 12 stay together, and the others by their only digit.
    run_folder = tmp_path / "out" / "models" / "faster-rcnn+mask-rcnn"
    parts = json.loads((run_folder / "split.json").read_text())
    assert any({1, 10, 11, 12} <= set(ids) for ids in parts.values())
    config = json.loads((run_folder / "config.json").read_text())
    assert config["recipe"]["model"]["pixels"]["channels"] == 3
    asked = json.loads((tmp_path / "out" / "config.json").read_text())
    assert asked["groups"] == ["name:(.)"]
    assert asked["pictures"] == "stored"
    assert asked["overrides"]["model.short_side"] == 64
    code, out, err = _run(capsys, *command)
    assert code == 0
    assert "faster-rcnn+mask-rcnn" in out
    assert "finished before" in err


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["--models", "faster-rcnn+mask-rcnn", "--budget", "soon"], "90s, 10m or 1h"),
        (["--models", "faster-rcnn"], "detector+mask-head"),
        (["--models", "yolo+fcn", "--groups", "name:(.)", "--val", "x.json"], "groups are for"),
        (["--models", "faster-rcnn+mask-rccn"], "Did you mean 'mask-rcnn'"),
    ],
)
def test_mistakes_end_with_code_2_and_a_message(
    tokens: list[str], message: str, discs: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    code, out, err = _run(capsys, "compare", discs, "--out", tmp_path / "out", *tokens)
    assert code == 2
    assert message in err
    assert not out
    assert not (tmp_path / "out").exists()


def test_help_shows_examples_and_options(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _run(capsys, "compare", "--help")
    assert code == 0
    assert "--budget" in out
    assert "Examples:" in out
