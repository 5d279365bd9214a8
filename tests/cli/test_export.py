"""`maskwright export`, and predict and evaluate with what it wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from contracts.tiny_models import tiny_model
from maskwright.cli.app import run
from maskwright.model import save_checkpoint

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_checkpoint(tiny_model("yolo", "none"), path)
    return path


@pytest.fixture(scope="module")
def pictures(discs: Path) -> Path:
    """The pictures of discs, as truth of one of the model's classes."""
    truth = json.loads(discs.read_text())
    truth["categories"] = [each | {"name": "coin"} for each in truth["categories"]]
    path = discs.with_name("coins.json")
    path.write_text(json.dumps(truth))
    return path


def _run(capsys: pytest.CaptureFixture[str], *tokens: object) -> tuple[int, str, str]:
    code = run([str(token) for token in tokens])
    output = capsys.readouterr()
    return code, output.out, output.err


def test_an_end_to_end_folder_is_written_predicts_and_evaluates(
    model: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "whole"
    tokens = ("export", model, "--out", out, "--end-to-end", "--data", pictures, "--json")
    code, printed, err = _run(capsys, *tokens)
    assert code == 0, err
    numbers = json.loads(printed)
    assert numbers["path"] == str(out)
    assert numbers["end_to_end"]
    assert numbers["files"] == ["model.onnx"]
    assert numbers["parity"]["differing_objects"] == 0
    assert numbers["parity"]["objects"] > 0
    source, results = pictures.parent / "1.png", tmp_path / "r"
    tokens = ("predict", out, source, "--out", results, "--write", "coco")
    code, _, err = _run(capsys, *tokens)
    assert code == 0, err
    assert json.loads((results / "results.json").read_text())
    code, printed, err = _run(capsys, "evaluate", out, pictures, "--json")
    assert code == 0, err
    assert json.loads(printed)


def test_what_was_written_is_said_in_a_line_and_scores_in_a_table(
    model: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "graphs"
    code, printed, err = _run(capsys, "export", model, "--out", out, "--data", pictures)
    assert code == 0, err
    assert "Parity" in printed
    assert "box AP" in printed
    last = printed.strip().splitlines()[-1]
    assert last.startswith(f"{out}: onnx, fp32, ")
    assert last.endswith("MB; README.md says how to call it")
    assert (out / "dense.onnx").is_file()
    again, _, err = _run(capsys, "export", model, "--out", out)
    assert again == 2
    assert "is not an empty folder" in err


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (("--end-to-end", "--to", "openvino"), "--end-to-end writes one ONNX graph"),
        (("--end-to-end", "--to", "torch-export"), "take --to onnx"),
        (("--full-masks",), "--full-masks is of --end-to-end"),
        (("--full-masks", "--end-to-end"), "this model has no mask head"),
        (("--int8",), "--int8 and --calibrate DATA go together"),
        (("--max-ap-drop", "2"), "--max-ap-drop must be from 0 to 1"),
    ],
)
def test_options_that_do_not_go_together_are_said_so(
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    tokens: tuple[str, ...],
    message: str,
) -> None:
    code, _, err = _run(capsys, "export", model, "--out", tmp_path / "out", *tokens)
    assert code == 2
    assert message in " ".join(err.split())
    assert not (tmp_path / "out").exists()


def test_an_unknown_format_names_the_known_ones(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        _run(capsys, "export", model, "--out", tmp_path / "out", "--to", "tflite")
    assert stopped.value.code != 0
    output = capsys.readouterr()
    assert "torch-export" in output.out + output.err


def test_a_missing_model_and_an_empty_folder_are_said_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    for name, message in (("none.safetensors", "none.safetensors"), ("empty", "is a folder")):
        code, _, err = _run(capsys, "export", tmp_path / name, "--out", tmp_path / "out")
        assert code == 2
        assert message in err
    assert not (tmp_path / "out").exists()
