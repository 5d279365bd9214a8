"""The check before a run: a batch that is learnt by heart, and what is said where it is not."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import maskwright as mw
from maskwright.cli.app import run as run_command
from maskwright.errors import ConfigError, DataError
from maskwright.masks import Masks
from maskwright.recipes import RunRequest, TrainingCheck, check_training
from maskwright.recipes.overfit_hints import hints_of
from maskwright.recipes.overfitting import _load, choose_pictures
from maskwright.recipes.recipe import Recipe
from maskwright.recipes.refinding import Refound, _count
from maskwright.structures import Instances
from small_recipe import SMALL


def _request(discs: Path, **overrides: object) -> RunRequest:
    return RunRequest(
        data=discs, preset="tiny", weights="none", overrides=SMALL | overrides, num_steps=5
    )


@pytest.fixture(scope="module")
def passed(discs: Path) -> TrainingCheck:
    return check_training(_request(discs), quiet=True)


def test_a_training_that_works_learns_its_batch_by_heart(passed: TrainingCheck) -> None:
    assert passed.passed, passed.as_dict()
    assert passed.ratio < 0.7
    assert passed.refound.num_found >= passed.refound.num_objects / 2
    assert passed.hints == ()
    assert passed.rates == {}
    assert "This training can learn" in passed.verdict()


def test_the_check_serialises_and_shows_every_loss(passed: TrainingCheck) -> None:
    from rich.console import Console

    told = json.loads(json.dumps(passed.as_dict()))
    assert told["passed"] is True
    assert set(told["first"]) == set(told["last"]) == set(passed.first)
    console = Console(width=100, file=io.StringIO())
    with console.capture() as captured:
        console.print(passed.to_table())
    shown = captured.get()
    for name in (*passed.first, "all", "This training can learn"):
        assert name in shown


def test_a_rate_that_is_too_low_is_named_with_one_that_works(discs: Path) -> None:
    check = check_training(
        _request(discs, **{"optimizer.learning_rate": 1e-7}), num_steps=50, quiet=True
    )
    assert not check.passed
    assert check.ratio > 0.95
    assert check.rates[0.02] < 0.7
    assert "learning rate 1e-07 is too low: at 0.02 the loss falls" in check.hints[0]


def test_a_rate_at_which_the_loss_breaks_is_too_high(discs: Path) -> None:
    wild = {"optimizer.learning_rate": 1e6, "clip_norm": None}
    check = check_training(_request(discs, **wild), num_steps=40, quiet=True)
    assert not check.passed
    assert "is too high: at 0.02" in check.hints[0]


def test_pictures_without_objects_are_nothing_to_check(discs: Path, tmp_path: Path) -> None:
    document = json.loads(discs.read_text()) | {"annotations": []}
    empty = discs.parent / "no_objects.json"
    empty.write_text(json.dumps(document))
    with pytest.raises(DataError, match="hold no objects to learn"):
        check_training(_request(empty), quiet=True)


@pytest.mark.parametrize("wrong", [{"num_steps": 0}, {"seconds": 0.0}])
def test_a_check_of_no_length_is_refused(discs: Path, wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="must be over 0"):
        check_training(_request(discs), **wrong)  # type: ignore[arg-type]


def test_pictures_are_chosen_for_all_classes_and_a_usual_number_of_objects(discs: Path) -> None:
    document = json.loads(discs.read_text())
    document["categories"].append({"id": 9, "name": "ring"})
    rare = document["annotations"][-1]
    rare["category_id"] = 9
    two = discs.parent / "one_ring.json"
    two.write_text(json.dumps(document))
    chosen = choose_pictures(mw.open_dataset(two), 2)
    assert len(chosen) == 2
    assert rare["image_id"] in chosen.image_ids.tolist()
    assert set(chosen.labels.tolist()) == {0, 1}


def _instances(boxes: list[list[float]], labels: list[int]) -> Instances:
    return Instances(
        image_size=(40, 40),
        boxes=torch.tensor(boxes).reshape(-1, 4),
        labels=torch.tensor(labels, dtype=torch.int64),
        masks=Masks.from_boxes(np.array(boxes, np.float64).reshape(-1, 4), (40, 40)),
        class_names=("a", "b"),
    )


def test_only_as_many_detections_as_objects_count_and_each_object_once() -> None:
    truth = _instances([[0, 0, 10, 10], [20, 20, 30, 30]], [0, 1])
    twice = _instances([[0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]], [0, 0, 1])
    assert _count(twice, truth) == (2, 1, 1, 0)
    swapped = _instances([[0, 0, 10, 10], [20, 20, 30, 30]], [1, 1])
    assert _count(swapped, truth) == (2, 1, 1, 1)
    assert _count(_instances([], []), truth) == (2, 0, 0, 0)
    assert _count(truth, _instances([], [])) == (0, 0, 0, 0)


def test_objects_that_are_too_small_or_too_many_and_other_classes_are_hinted_at(
    discs: Path,
) -> None:
    dataset = mw.open_dataset(discs).subset([0, 1])
    recipe = Recipe()
    small = replace(recipe, model=replace(recipe.model, short_side=4, long_side=4))
    batch = _load(dataset, small)
    check = TrainingCheck(
        pictures=batch.names,
        steps=80,
        seconds=1.0,
        first={"box": 1.0},
        last={"box": 0.2},
        refound=Refound(num_objects=4, num_found=0, num_boxed=3, num_misnamed=3, share=0.0),
    )
    hints = " ".join(hints_of(check, small, batch, dataset, 120.0, 80))
    assert "under 4 pixels in the network's picture of 4" in hints
    assert "3 objects are found under another class" in hints
    assert "3 objects have their box but not their mask" in hints
    short = replace(check, steps=3)
    assert (
        "only 3 steps fitted into 120 seconds"
        in hints_of(short, small, batch, dataset, 120.0, 80)[0]
    )


@pytest.mark.slow
def test_the_command_checks_alone_or_before_a_run(
    discs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [f"--set={name}={json.dumps(value)}" for name, value in SMALL.items()]
    known = ["train", str(discs), "--sanity", "--preset", "tiny", "--weights", "none", *options]
    bad = [*known, "--set", "optimizer.learning-rate=1e30", "--out", str(tmp_path / "run")]
    assert run_command(bad) == 1
    assert "This training does not learn" in " ".join(capsys.readouterr().out.split())
    assert not (tmp_path / "run").exists()
    assert run_command([*known, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["passed"] is True


def test_a_semantic_training_is_checked_by_its_mean_iou(discs: Path) -> None:
    request = RunRequest(
        data=discs,
        task="semantic",
        model="fcn",
        preset="tiny",
        weights="none",
        overrides={
            "model.short_side": 64,
            "model.long_side": 64,
            "model.neck.channels": 16,
            "batch_size": 2,
        },
    )
    check = check_training(request, quiet=True)
    assert check.passed, check.as_dict()
    assert "mean IoU" in check.verdict()
