"""The words of docs/losses.md are words of the recipe."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import maskwright.ops
from maskwright.cli.train import parse_overrides
from maskwright.ops import MASK_LOSSES
from maskwright.recipes import DataFacts, choose_recipe, override_recipe, part_names

_PAGE = (Path(__file__).resolve().parents[2] / "docs" / "losses.md").read_text(encoding="utf-8")
_FACTS = DataFacts(
    num_images=200,
    short_side=480,
    aspect=1.33,
    small_object=30.0,
    large_object=119.2,
    most_objects=20,
)


def test_the_command_and_the_call_at_the_top_choose_the_same_losses() -> None:
    words = parse_overrides(tuple(re.findall(r"--set (\S+)", _PAGE)[:2]))
    call = dict(re.findall(r'"(model\.\S+)": "(\S+)"', _PAGE))
    recipe = choose_recipe(_FACTS, model="ssd+mask-rcnn", preset="tiny", num_steps=1)
    assert override_recipe(recipe, words) == override_recipe(recipe, call)
    assert override_recipe(recipe, words) != recipe


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("yolo+refined", {"detector.box_loss": "ciou", "mask_head.coarse": "prototypes"}),
        ("faster-rcnn+fcn", {"detector.rpn.box_loss": "giou", "detector.rpn.box_weight": "10"}),
        ("fast-rcnn+fcn", {"detector.box_head.class_loss": "focal"}),
        ("rcnn+deeplab", {"detector.class_loss.balance": "0.9"}),
        ("ssd+prototypes", {"detector.class_loss": "focal", "detector.class_loss.alpha": "none"}),
        ("ssd+mask-rcnn", {"mask_head.mask_loss": "bce+0.5*boundary"}),
        ("yolo+fcn", {"detector.class_loss.gamma": "1", "mask_head.mask_points": "1024"}),
    ],
)
def test_options_of_the_table_are_options_of_those_parts(
    model: str, options: dict[str, str]
) -> None:
    recipe = choose_recipe(_FACTS, model=model, preset="tiny", num_steps=1)
    changed = override_recipe(recipe, {f"model.{name}": each for name, each in options.items()})
    assert changed != recipe
    for name in options:
        assert f"`{name.rsplit('.', 1)[1]}`" in _PAGE or name.rsplit(".", 1)[1] in _PAGE


def test_every_loss_of_masks_and_every_function_that_is_named_exists() -> None:
    for name in MASK_LOSSES:
        assert f"`{name}`" in _PAGE
    for name in re.findall(r"`(\w+_(?:loss|weights))`", _PAGE):
        is_option = name in ("box_loss", "class_loss", "mask_loss")
        assert is_option or hasattr(maskwright.ops, name), name
    assert "refined" in part_names()[1]
