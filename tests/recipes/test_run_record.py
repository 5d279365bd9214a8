"""A run goes on with what it was started with, and with nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from maskwright.cli.app import run as run_command
from maskwright.data import open_dataset
from maskwright.errors import DataError, TrainingError
from maskwright.recipes import TrainedRun, resume, train
from maskwright.recipes.data_notes import data_notes, require_learnable
from maskwright.recipes.moving_parts import Parts
from maskwright.recipes.run_record import RunRecord, make_record
from small_recipe import SMALL


@pytest.fixture(scope="module")
def data(discs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures and annotations of our own, to be changed."""
    folder = tmp_path_factory.mktemp("own") / "data"
    shutil.copytree(discs.parent, folder, ignore=shutil.ignore_patterns("*.json"))
    shutil.copy(discs, folder / "annotations.json")
    return folder / "annotations.json"


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    return train(
        data,
        out=tmp_path_factory.mktemp("runs") / "run",
        preset="tiny",
        weights="none",
        num_steps=2,
        overrides=SMALL,
        quiet=True,
    )


def _refused(run: TrainedRun, **options: Any) -> str:
    with pytest.raises(TrainingError) as told:
        resume(run.path, quiet=True, **options)
    return str(told.value)


def test_a_changed_object_is_refused_by_the_name_of_its_picture(
    run: TrainedRun, data: Path
) -> None:
    original = data.read_text()
    document = json.loads(original)
    split = json.loads((run.path / "split.json").read_text())
    mine = next(a for a in document["annotations"] if a["image_id"] in split["train"])
    mine["bbox"][2] -= 1
    mine["iscrowd"] = 1
    data.write_text(json.dumps(document))
    try:
        told = _refused(run)
    finally:
        data.write_text(original)
    assert f"train objects of {mine['image_id']}.png" in told
    assert "name" in told.splitlines()[1]
    assert "changed" in told


def test_changed_pixels_are_refused_by_the_name_of_the_picture(run: TrainedRun, data: Path) -> None:
    image_id = json.loads((run.path / "split.json").read_text())["train"][0]
    path = data.parent / f"{image_id}.png"
    original = path.read_bytes()
    pixels = np.array(Image.open(path))
    pixels[-1, -1] ^= 1
    Image.fromarray(pixels).save(path)
    try:
        assert f"train pixels of {image_id}.png" in _refused(run)
    finally:
        path.write_bytes(original)


def test_other_options_are_refused_in_a_table_of_name_was_and_is(run: TrainedRun) -> None:
    told = _refused(run, overrides={"num_steps": 9, "optimizer.learning_rate": 0.5})
    lines = [line.split() for line in told.splitlines()]
    assert ["name", "was", "is"] in lines
    assert ["recipe.num_steps", "2", "9"] in lines
    assert ["recipe.optimizer.learning_rate", "0.02", "0.5"] in lines


def test_an_edited_config_is_noticed(run: TrainedRun) -> None:
    path = run.path / "config.json"
    original = path.read_text()
    config = json.loads(original)
    config["recipe"]["clip_norm"] = 1.0
    path.write_text(json.dumps(config))
    try:
        assert ["recipe.clip_norm", "10.0", "1.0"] in [
            line.split() for line in _refused(run).splitlines()
        ]
    finally:
        path.write_text(original)


def test_options_that_change_no_result_may_change_and_are_kept(run: TrainedRun) -> None:
    resumed = resume(run.path, overrides={"pictures_at_once": 1}, quiet=True)
    assert resumed.recipe.pictures_at_once == 1
    assert json.loads((run.path / "config.json").read_text())["recipe"]["pictures_at_once"] == 1
    assert resume(run.path, quiet=True).recipe.pictures_at_once == 1


def test_another_version_is_told_and_the_run_goes_on(
    run: TrainedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    path = run.path / "started.json"
    original = path.read_text()
    record = json.loads(original)
    record["surroundings"]["torch"] = "1.0"
    path.write_text(json.dumps(record))
    try:
        assert resume(run.path).steps == 2
        told = capsys.readouterr().err
        path.write_text("{")
        assert "cannot be read" in _refused(run)
        path.unlink()
        assert resume(run.path, quiet=True).steps == 2  # as of runs from before there were records
    finally:
        path.write_text(original)
    assert "not to the same bits" in told
    assert ["torch", "1.0", torch.__version__.partition("+")[0]] in [
        [*line.split()[:2], line.split()[-1].partition("+")[0]]
        for line in told.splitlines()
        if line.strip()
    ]


def test_the_command_refuses_options_that_a_resumed_run_would_not_heed(
    run: TrainedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["train", "--resume", str(run.path), "--preset", "best"]) == 2
    assert "leave --preset out" in capsys.readouterr().err
    assert run_command(["train", "--resume", str(run.path), "--steps", "7"]) == 2
    assert "recipe.num_steps  2    7" in capsys.readouterr().err


def test_records_tell_pictures_that_came_and_went(data: Path) -> None:
    dataset = open_dataset(data)

    def record(chosen: list[int]) -> RunRecord:
        part = dataset.subset(chosen)
        parts = Parts(train=part, validation=dataset.subset([5]), test=None)
        return make_record({"recipe": {"seed": 1}}, parts, torch.device("cpu"), 1)

    (change,) = record([0, 1, 2]).changes(record([0, 1, 3, 4]))
    assert (change.name, change.was) == ("train pictures", "3, with 3.png")
    assert change.now == "4, with 4.png, 5.png"
    assert record([0, 1]).changes(record([0, 1])) == []
    assert record([]).changes(record([])) == []


def _parts(data: Path, tmp_path: Path, change: Any) -> Parts:
    document = json.loads(data.read_text())
    change(document)
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(document))
    whole = open_dataset(path, images=data.parent)
    return Parts(train=whole.subset(range(8)), validation=whole.subset(range(8, 12)), test=None)


def test_classes_that_cannot_be_learnt_or_scored_are_named(data: Path, tmp_path: Path) -> None:
    def add_classes(document: dict[str, Any]) -> None:
        document["categories"] += [{"id": k, "name": f"class {k}"} for k in (8, 9, 10)]
        first = next(a for a in document["annotations"] if a["image_id"] == 1)
        last = next(a for a in document["annotations"] if a["image_id"] == 10)
        first["category_id"], last["category_id"] = 8, 9

    notes = data_notes(_parts(data, tmp_path, add_classes))
    assert any("2 classes (class 9, class 10) without objects in the training" in n for n in notes)
    assert any("1 class (class 8) without objects in the validation" in n for n in notes)
    assert any("1 class (class 9) in the validation pictures only" in n for n in notes)
    assert data_notes(_parts(data, tmp_path, lambda document: None)) == []


def test_nothing_to_score_is_a_note_and_nothing_to_learn_an_error(
    data: Path, tmp_path: Path
) -> None:
    def only(first: int, last: int) -> Any:
        def keep(document: dict[str, Any]) -> None:
            kept = [a for a in document["annotations"] if first <= a["image_id"] <= last]
            document["annotations"] = kept

        return keep

    parts = _parts(data, tmp_path, only(1, 8))
    require_learnable(parts)
    assert "nothing can be scored" in data_notes(parts)[0]
    with pytest.raises(DataError, match="8 training pictures hold no objects to learn"):
        require_learnable(_parts(data, tmp_path, only(9, 12)))
    empty = Parts(train=parts.train, validation=parts.validation.subset([]), test=None)
    with pytest.raises(DataError, match="no validation pictures"):
        require_learnable(empty)


def test_a_loss_that_breaks_says_what_is_kept_and_what_to_change(
    data: Path, tmp_path: Path
) -> None:
    wild = {"optimizer.learning_rate": 1e30, "warmup": 0.0}
    with pytest.raises(TrainingError) as told:
        train(
            data,
            out=tmp_path / "run",
            preset="tiny",
            weights="none",
            num_steps=8,
            overrides=SMALL | wild,
            quiet=True,
        )
    message = str(told.value)
    assert "is not finite" in message
    assert "kept: the state of step 0" in message
    assert "--optimizer.learning-rate 5e+29" in message
    assert (tmp_path / "run" / "state.safetensors").is_file()
