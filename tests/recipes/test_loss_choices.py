"""Losses chosen by words, alike on the command line and in Python, up to a model that predicts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import maskwright as mw
from maskwright.cli.train import parse_overrides
from maskwright.errors import ConfigError
from maskwright.ops import Focal, QualityFocal
from maskwright.recipes import DataFacts, choose_recipe, override_recipe, train
from maskwright.recipes.class_counts import count_objects, with_class_counts

_FACTS = DataFacts(
    num_images=200,
    short_side=480,
    aspect=1.33,
    small_object=30.0,
    large_object=119.2,
    most_objects=20,
)
_SMALL = {
    "model.short_side": 64,
    "model.long_side": 64,
    "batch_size": 2,
    "num_workers": 0,
    "evaluations": 1,
}


def test_words_of_the_command_line_choose_losses() -> None:
    recipe = choose_recipe(_FACTS, model="ssd+prototypes", preset="tiny", num_steps=5)
    words = parse_overrides(
        (
            "model.detector.class-loss=focal",
            "model.detector.class-loss.gamma=1.5",
            "model.detector.class-loss.balance=0.99",
            "model.detector.box-loss=giou",
            "model.mask-head.mask-loss=dice+bce",
            "model.mask-head.mask-points=196",
        )
    )
    model = override_recipe(recipe, words).model
    assert model.detector.class_loss == Focal(gamma=1.5, balance=0.99)
    assert model.detector.box_loss == "giou"
    assert (model.mask_head.mask_loss, model.mask_head.mask_points) == ("dice+bce", 196)


def test_a_part_of_a_loss_is_enough_to_change_it() -> None:
    recipe = choose_recipe(_FACTS, model="yolo+fcn", preset="tiny", num_steps=5)
    model = override_recipe(recipe, {"model.detector.class_loss.balance": "0.9"}).model
    assert model.detector.class_loss == QualityFocal(balance=0.9)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("model.detector.box_loss", "iou", "smooth_l1.*giou.*diou.*ciou"),
        ("model.detector.class_loss", "vocal", "no kind 'vocal'.*cross_entropy, focal.*'focal'"),
        ("model.detector.class_loss.balance", "1.0", "less than 1"),
        ("model.mask_head.mask_loss", "dice+bse", "Did you mean"),
        ("model.mask_head.mask_points", "0", "greater than or equal to 1"),
    ],
)
def test_words_that_are_none_are_refused_by_their_name(name: str, value: str, message: str) -> None:
    recipe = choose_recipe(_FACTS, model="ssd+fcn", preset="tiny", num_steps=5)
    with pytest.raises(ConfigError, match=message) as caught:
        override_recipe(recipe, {name: value}).model.build(("disc",))
    assert name.rsplit(".", 1)[1].removesuffix(".balance") in str(caught.value)


def test_counts_go_to_losses_that_need_them_and_given_ones_stay(discs: Path) -> None:
    dataset = mw.open_dataset(discs)
    recipe = choose_recipe(_FACTS, model="faster-rcnn+fcn", preset="tiny", num_steps=5)
    assert with_class_counts(recipe, dataset) is recipe
    chosen = override_recipe(recipe, {"model.detector.box_head.class_loss.balance": "0.9"})
    told = with_class_counts(chosen, dataset).model.detector.box_head.class_loss
    assert told.class_counts == count_objects(dataset) == (len(dataset.labels),)
    given = override_recipe(chosen, {"model.detector.box_head.class_loss.class_counts": "5"})
    assert with_class_counts(given, dataset) == given


@pytest.fixture(scope="module")
def two_classes(discs: Path) -> Path:
    """Every fourth disc is of a rare class, and no object of a third."""
    document = json.loads(discs.read_text())
    document["categories"] += [{"id": 8, "name": "rare"}, {"id": 9, "name": "ghost"}]
    for annotation in document["annotations"][::4]:
        annotation["category_id"] = 8
    path = discs.parent / "two_classes.json"
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize(
    ("pair", "options"),
    [
        (
            "ssd+mask-rcnn",
            {
                "model.detector.class_loss": "focal",
                "model.detector.class_loss.balance": "0.9",
                "model.mask_head.mask_loss": "bce+0.5*boundary",
            },
        ),
        (
            "yolo+prototypes",
            {
                "model.detector.class_loss.balance": "0.9",
                "model.detector.box_loss": "diou",
                "model.mask_head.mask_points": "49",
                "repeat_threshold": "0.5",
            },
        ),
    ],
)
def test_a_model_learns_by_chosen_losses_and_comes_back_from_its_file(
    pair: str, options: dict[str, str], two_classes: Path, tmp_path: Path
) -> None:
    run = train(
        two_classes,
        out=tmp_path / "run",
        model=pair,
        backbone="test_resnet",
        preset="tiny",
        weights="none",
        num_steps=2,
        overrides=_SMALL | options,
        quiet=True,
    )
    saved = json.loads((run.path / "config.json").read_text())["recipe"]
    counts = saved["model"]["detector"]["class_loss"]["class_counts"]
    assert len(counts) == 3
    assert counts[0] > counts[1] > counts[2] == 0
    header = (run.path / "metrics.csv").read_text().splitlines()[0]
    assert ("loss/mask_boundary" in header) is ("boundary" in str(options))
    picture = np.zeros((40, 70, 3), np.uint8)
    ours = mw.Predictor(run.model).predict(picture)
    theirs = mw.load(run.path, runtime="eager").predict(picture)
    assert ours.masks == theirs.masks
    assert saved.get("repeat_threshold") == (0.5 if "repeat_threshold" in options else None)
