"""The command `compress`: what it refuses before any work."""

from __future__ import annotations

from pathlib import Path

import pytest

from maskwright.cli.app import run


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["compress"], "give MODEL, --data DATA and --out RUN, or --resume RUN"),
        (["compress", "model.safetensors", "--data", "d.json"], "or --resume RUN"),
        (["compress", "model.safetensors", "--resume", "runs"], "leave out MODEL"),
        (["compress", "--resume", "nowhere"], "there is no compression to resume in nowhere"),
    ],
)
def test_what_is_missing_is_said(
    tokens: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tokens) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_an_unknown_method_is_refused_and_nothing_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    tokens = ["compress", "model.safetensors", "--data", "d.json", "--out", str(out)]
    assert run([*tokens, "--method", "prune", "squeeze"]) == 2
    assert "no method 'squeeze'" in capsys.readouterr().err
    assert run([*tokens, "--target", "half"]) == 2
    assert "a number above 1 such as 2x" in " ".join(capsys.readouterr().err.split())
    assert not out.exists()


def test_help_names_every_method(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compress", "--help"]) == 0
    found = capsys.readouterr().out
    for word in ("prune", "distill", "quantise", "--teacher", "--target"):
        assert word in found
