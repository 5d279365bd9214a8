"""`maskwright errors` and what it writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from maskwright.cli.app import run


@pytest.fixture(scope="module")
def results(discs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The truth itself as predictions, but for the two objects of its first picture."""
    truth = json.loads(_annotations(discs).read_text())
    entries = [
        {key: one[key] for key in ("image_id", "category_id", "segmentation")} | {"score": 0.9}
        for one in truth["annotations"][2:]
    ]
    path = tmp_path_factory.mktemp("errors") / "results.json"
    path.write_text(json.dumps(entries))
    return path


def _annotations(discs: Path) -> Path:
    return discs if discs.is_file() else next(discs.glob("*.json"))


def _run(capsys: pytest.CaptureFixture[str], *tokens: object) -> tuple[int, str, str]:
    code = run([str(token) for token in tokens])
    output = capsys.readouterr()
    return code, output.out, output.err


def test_predictions_are_looked_into_and_everything_is_written(
    discs: Path, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    code, text, err = _run(
        capsys, "errors", "--predictions", results, "--data", discs, "--out", out, "--to", "labelme"
    )  # fmt: skip
    assert code == 0, err
    assert "What mistakes cost" in text
    assert (out / "missed.png").is_file()
    assert (out / "labelme").is_dir()


def test_json_holds_the_numbers_and_the_files(
    discs: Path, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text, _ = _run(
        capsys, "errors", "--predictions", results, "--data", discs, "--out", tmp_path, "--json"
    )
    assert code == 0
    numbers = json.loads(text)
    assert numbers["tide"]["counts"]["Miss"] == 2
    assert len(numbers["missed"]) == 2
    assert str(tmp_path / "suspects.csv") in numbers["written"]


def test_without_pictures_nothing_is_drawn_and_it_is_said(
    discs: Path, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = tmp_path / "alone" / "truth.json"
    alone.parent.mkdir()
    alone.write_bytes(_annotations(discs).read_bytes())
    arguments = ("errors", "--predictions", results, "--data", alone, "--out", tmp_path / "out")
    code, _, err = _run(capsys, *arguments)
    assert code == 0
    assert "no pictures are drawn" in err
    assert not (tmp_path / "out" / "missed.png").exists()
    assert (tmp_path / "out" / "tide.png").is_file()
    code, _, err = _run(capsys, *arguments, "--to", "labelme")
    assert code == 2
    assert "--images" in err


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (("model.safetensors",), "needs the truth"),
        (("--data", "val.json"), "one of the two"),
    ],
)
def test_what_is_missing_is_said(
    tokens, message, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = _run(capsys, "errors", *tokens, "--out", tmp_path)
    assert code == 2
    assert message in err
