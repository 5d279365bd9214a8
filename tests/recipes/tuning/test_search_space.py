"""What may be searched, as users write it."""

from __future__ import annotations

import pytest

from maskwright.errors import ConfigError
from maskwright.recipes import Recipe
from maskwright.recipes.tuning import Choices, Range
from maskwright.recipes.tuning.default_space import default_space, default_values
from maskwright.recipes.tuning.search_space import parse_search, to_space


@pytest.mark.parametrize(
    ("text", "name", "wanted"),
    [
        ("warmup=0:0.2", "warmup", Range(low=0, high=0.2)),
        ("optimizer.learning-rate=1e-4:1e-2:log", "optimizer.learning_rate",
         Range(low=1e-4, high=1e-2, log=True)),
        ("model.short_side=256:512:32", "model.short_side", Range(low=256, high=512, step=32)),
        ("batch_size=1:8", "batch_size", Range(low=1, high=8)),
        ("preset=tiny, fast", "preset", Choices(values=("tiny", "fast"))),
        ("ema_decay=none,0.99", "ema_decay", Choices(values=("none", 0.99))),
        ("augmentation.scale=[[0.5, 2], [0.8, 1.2]]", "augmentation.scale",
         Choices(values=("[0.5, 2]", "[0.8, 1.2]"))),
        ("model=a+b,c+d", "model", Choices(values=("a+b", "c+d"))),
    ],
)  # fmt: skip
def test_ranges_and_choices_are_read(text: str, name: str, wanted: Range | Choices) -> None:
    assert parse_search(text) == (name, wanted)
    assert parse_search(f"{name}={wanted.text}") == (name, wanted)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("warmup", "NAME=LOW:HIGH"),
        ("=1:2", "NAME=LOW:HIGH"),
        ("warmup=0.2:0.1", "from a number to a higher one"),
        ("warmup=0:1:log", "must begin above 0"),
        ("warmup=0:1:much", "LOW:HIGH:STEP"),
        ("warmup=0:1:2", "fit into its range"),
        ("preset=tiny", "two or more"),
        ("preset=tiny,tiny", "two or more different"),
        ("augmentation.scale=[[0.5", "begins like a JSON list"),
    ],
)
def test_what_cannot_be_searched_says_what_was_wanted(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_search(text)


def test_integers_stay_integers() -> None:
    assert Range(low=1, high=8).is_integer
    assert not Range(low=1, high=8.0).is_integer
    assert Range(low=1, high=9, step=2).holds(3)
    assert not Range(low=1, high=9, step=2).holds(4)
    assert not Range(low=1, high=9).holds("4")


def test_stated_options_take_the_place_of_the_default_or_add_to_it() -> None:
    default = {"warmup": Range(low=0, high=0.5), "seed": Range(low=0, high=3)}
    assert to_space((), default) == default
    assert list(to_space(["preset=tiny,fast"], default)) == ["preset"]
    both = to_space(["default", "warmup=0.1:0.2"], default)
    assert both == default | {"warmup": Range(low=0.1, high=0.2)}
    mapped = to_space({"default": "", "batch-size": Choices(values=(2, 4))}, default)
    assert list(mapped) == ["warmup", "seed", "batch_size"]
    with pytest.raises(ConfigError, match="warmup twice"):
        to_space(["warmup=0:0.1", "warmup=0:0.2"], default)


def test_the_default_space_holds_what_the_recipe_is_and_leaves_out_what_is_fixed() -> None:
    by_steps = default_space(Recipe(num_steps=100))
    assert "batch_size" not in by_steps  # at equal steps the largest would win
    by_clock = default_space(Recipe(minutes=1.0))
    assert {"preset", "model", "input_scale", "batch_size"} <= set(by_clock)
    assert "model.backbone.freeze_stages" not in by_clock
    with_weights = default_space(Recipe(minutes=1.0, weights="package"))
    assert "model.backbone.freeze_stages" in with_weights
    assert "preset" not in with_weights
    start = default_values(Recipe(minutes=1.0), by_clock, "fast")
    assert set(start) == set(by_clock)
    assert start["optimizer.learning_rate"] == 0.02
    assert start["model"] == "faster-rcnn+mask-rcnn"
    fixed = default_space(
        Recipe(minutes=1.0), fixed=("model.short_side", "model", "optimizer.learning_rate")
    )
    assert not {"input_scale", "model", "optimizer.learning_rate"} & set(fixed)
    assert "optimizer.weight_decay" in fixed
    weighted = Recipe(minutes=1.0, weights="package")
    assert "model.backbone.freeze_stages" in default_space(weighted, fixed=("model",))
    assert "model.backbone.freeze_stages" not in default_space(weighted, fixed=("model.backbone",))
    assert "optimizer.learning_rate" not in default_space(weighted, fixed=("optimizer",))
    assert "model" in default_space(weighted, fixed=("model.short_side",))
    assert "model" not in default_space(weighted, fixed=("model.detector.score_threshold",))
