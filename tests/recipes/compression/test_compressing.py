"""From a trained model to a smaller one with a table, and on again after a stop."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

import maskwright as mw
from maskwright.cli.app import run
from maskwright.errors import ConfigError, DataError, TrainingError
from maskwright.model import load_checkpoint, read_checkpoint_header, save_checkpoint
from maskwright.recipes import Compression, compress, resume_compression
from maskwright.recipes.compression import steps

pytest.importorskip("torch_pruning")

_SHORT = {"evaluations": 1}


@pytest.fixture(autouse=True, scope="module")
def _few_pictures() -> Iterator[None]:
    """Measure importance on few pictures: it is right elsewhere, and takes most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "_LOOKED_AT", 4)
        yield


def _compress(trained: Path, discs: Path, out: Path, **options: Any) -> Compression:
    known = {"num_steps": 4, "overrides": _SHORT, "quiet": True} | options
    return compress(trained, discs, out=out, **known)


@pytest.fixture(scope="module")
def pruned(trained: Path, discs: Path, tmp_path_factory: pytest.TempPathFactory) -> Compression:
    return _compress(trained, discs, tmp_path_factory.mktemp("pruned") / "run", target="2x")


def test_a_pruned_model_does_half_the_work_and_its_file_says_how(
    pruned: Compression, trained: Path
) -> None:
    names = ["original", "pruned, untrained", "pruned"]
    assert [each.name for each in pruned.versions] == names
    first, untrained, last = pruned.versions
    assert 2.0 <= first.multiply_adds / last.multiply_adds < 2.3
    assert untrained.multiply_adds == last.multiply_adds
    assert last.megabytes < first.megabytes
    config = read_checkpoint_header(pruned.model).config
    assert config.narrowed
    assert (
        replace(config, narrowed=()) == read_checkpoint_header(trained / "best.safetensors").config
    )
    model = load_checkpoint(pruned.model)
    for layer in config.narrowed:
        weight = model.state_dict()[f"{layer.name}.weight"]
        assert weight.shape[0] == layer.outputs


def test_the_table_is_kept_in_three_forms(pruned: Compression) -> None:
    saved = json.loads((pruned.path / "table.json").read_text())
    assert saved == pruned.as_dict()
    markdown = (pruned.path / "table.md").read_text()
    assert "| pruned, untrained |" in markdown
    assert markdown.splitlines()[0].count("|") == markdown.splitlines()[2].count("|")
    shown = StringIO()
    Console(width=200, file=shown).print(pruned.to_table())
    assert "boundary AP, %" in shown.getvalue()
    narrow = StringIO()
    Console(width=80, file=narrow).print(pruned.to_table())
    assert {"pruned,", "untrained"} <= set(narrow.getvalue().split())


def test_the_command_line_goes_on_and_prints_json(
    pruned: Compression, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["compress", "--resume", str(pruned.path), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [each["scores"] for each in printed["versions"]] == [
        each.scores for each in pruned.versions
    ]


def test_the_split_is_that_of_the_models_own_run(pruned: Compression, trained: Path) -> None:
    split = json.loads((pruned.path / "prune" / "split.json").read_text())
    assert split == json.loads((trained / "split.json").read_text())


def test_a_pruned_model_can_be_pruned_again(
    pruned: Compression, discs: Path, tmp_path: Path
) -> None:
    again = _compress(pruned.model, discs, tmp_path / "again", target=1.3, num_steps=1)
    first, *_, last = again.versions
    assert first.multiply_adds == pruned.versions[-1].multiply_adds
    assert first.multiply_adds / last.multiply_adds >= 1.3


def test_a_stopped_compression_goes_on_where_it_was(
    trained: Path, discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _compress(trained, discs, tmp_path / "whole", target=1.5)
    real = steps.train_recipe

    def stop(*args: Any, **options: Any) -> None:
        del args, options
        raise KeyboardInterrupt

    monkeypatch.setattr(steps, "train_recipe", stop)
    with pytest.raises(KeyboardInterrupt):
        _compress(trained, discs, tmp_path / "stopped", target=1.5)
    monkeypatch.setattr(steps, "train_recipe", real)
    done = resume_compression(tmp_path / "stopped", quiet=True)
    for one, other in zip(done.versions, whole.versions, strict=True):
        assert one.scores == other.scores
    same = load_checkpoint(done.model).state_dict()
    for name, tensor in load_checkpoint(whole.model).state_dict().items():
        assert torch.equal(tensor, same[name]), name
    # once more: nothing is left to do but to measure
    monkeypatch.setattr(steps, "train_recipe", stop)
    assert len(resume_compression(tmp_path / "stopped", quiet=True).versions) == 3


def test_a_pruned_model_learns_from_the_one_it_was(
    trained: Path, discs: Path, tmp_path: Path
) -> None:
    done = _compress(trained, discs, tmp_path / "out", target=1.5, teacher=trained)
    header = (done.path / "prune" / "metrics.csv").read_text().splitlines()[0]
    for name in ("distilled_features", "distilled_classes", "distilled_boxes", "distilled_map"):
        assert f"loss/{name}" in header


def test_a_smaller_student_learns_from_the_model(
    trained: Path, discs: Path, tmp_path: Path
) -> None:
    small = {
        "model.short_side": 64,
        "model.long_side": 64,
        "model.neck.channels": 16,
        "model.detector.width": 16,
        "num_workers": 0,
    }
    done = _compress(
        trained,
        discs,
        tmp_path / "out",
        method="distill",
        student="yolo+fcn",
        backbone="csp-nano",
        preset="tiny",
        overrides=_SHORT | small,
    )
    assert [each.name for each in done.versions] == ["original", "distilled"]
    assert done.versions[1].multiply_adds < done.versions[0].multiply_adds
    config = read_checkpoint_header(done.model).config
    assert config.detector.kind == "yolo"
    header = (done.path / "distill" / "metrics.csv").read_text().splitlines()[0]
    assert "loss/distilled_features" in header
    assert "loss/distilled_classes" not in header  # other places than the teacher's


@pytest.mark.slow
def test_a_model_trained_for_int8_is_written_in_int8(
    trained: Path, discs: Path, tmp_path: Path
) -> None:
    for package in ("onnxscript", "onnxruntime", "nncf"):
        pytest.importorskip(package)
    done = _compress(
        trained, discs, tmp_path / "out", method=("prune", "quantise"), target=1.5, max_ap_drop=1.0
    )
    assert [each.name for each in done.versions] == [
        "original",
        "pruned, untrained",
        "pruned",
        "its int8",
        "trained for int8",
        "int8",
    ]
    assert done.int8 is not None
    assert done.versions[-1].megabytes < 0.5 * done.versions[-2].megabytes
    assert done.versions[-1].runs_on == "onnx int8"
    assert len(mw.load(done.int8).class_names) == 1


def test_what_cannot_be_done_is_said_before_anything_is_written(
    trained: Path, discs: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for options, message in (
        ({"target": "half"}, "a number above 1 such as 2x, got 'half'"),
        ({"target": 1.0}, "above 1"),
        ({"method": "shrink"}, "no method 'shrink'.*prune, distill, quantise"),
        ({"method": ("prune", "prune")}, "each once"),
        ({"method": "quantise", "target": 2}, "leave the target out"),
        ({"max_ap_drop": 2.0}, "max_ap_drop"),
        ({"num_steps": 0}, "num_steps"),
    ):
        with pytest.raises(ConfigError, match=message):
            _compress(trained, discs, out, **options)
        assert not out.exists()
    with pytest.raises(TrainingError, match="no compression to resume"):
        resume_compression(trained)


def test_a_target_out_of_reach_says_what_can_be_reached(
    trained: Path, discs: Path, tmp_path: Path
) -> None:
    with pytest.raises(
        ConfigError, match=r"cannot be reached by pruning.*there are \d+\.\d+ times"
    ):
        _compress(trained, discs, tmp_path / "out", target=500)
    assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError, match=r"no student reaches the target.*tiny \d+\.\d+x"):
        _compress(trained, discs, tmp_path / "out", method="distill", target=500)


def test_data_and_teachers_of_other_classes_are_refused(
    trained: Path, discs: Path, tmp_path: Path
) -> None:
    content = json.loads(discs.read_text())
    content["categories"][0]["name"] = "plate"
    for picture in discs.parent.glob("*.png"):
        shutil.copy(picture, tmp_path / picture.name)
    (tmp_path / "other.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"'plate'.*trained on: disc"):
        _compress(trained, tmp_path / "other.json", tmp_path / "out")
    model = load_checkpoint(trained / "best.safetensors")
    other = model.config.build(("plate",))
    save_checkpoint(other, tmp_path / "other.safetensors")
    with pytest.raises(ConfigError, match=r"classes plate, the model disc"):
        _compress(trained, discs, tmp_path / "out", teacher=tmp_path / "other.safetensors")
