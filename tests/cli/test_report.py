"""`maskwright report`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from maskwright.cli.app import run


@pytest.fixture(scope="module")
def results(discs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    truth = json.loads(discs.read_text())
    keys = ("image_id", "category_id", "segmentation")
    entries = [{key: one[key] for key in keys} | {"score": 0.9} for one in truth["annotations"][2:]]
    path = tmp_path_factory.mktemp("report") / "results.json"
    path.write_text(json.dumps(entries))
    return path


def test_predictions_are_reported_on_in_every_format(
    discs: Path, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "page.html"
    tokens = ["report", "--predictions", results, "--data", discs, "--out", out, "--pictures", "2"]
    code = run([*map(str, tokens), "--write", "html", "json", "--metrics", "cells"])
    output = capsys.readouterr()
    assert code == 0, output.err
    assert f"the report is in {out}" in output.out
    numbers = json.loads((tmp_path / "page.json").read_text())
    assert numbers["name"] == "results.json"
    assert numbers["errors"]["tide"]["counts"]["Miss"] == 2
    assert "cells" in numbers["metrics"]["families"]


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (("model.safetensors",), "needs the truth"),
        (("--data", "val.json"), "one of the two"),
        (("model.safetensors", "val.json", "--pictures", "-1"), "0 or more"),
    ],
)
def test_what_is_missing_is_said(
    tokens: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["report", *tokens])
    assert code == 2
    assert message in capsys.readouterr().err
