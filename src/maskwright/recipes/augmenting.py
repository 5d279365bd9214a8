"""Which augmentation a run has: the recipe's own, a preset or one that was written out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import UInt8

from maskwright.data import Dataset
from maskwright.draw import augmented_sheet
from maskwright.errors import ConfigError
from maskwright.model import apply_overrides, config_to_dict
from maskwright.recipes.choose import choose_recipe, data_facts
from maskwright.recipes.recipe import Recipe
from maskwright.transforms import Augmentation, augmentation_named

__all__ = ["held_overrides", "override_recipe", "view_augmented"]

_PRESET = "augmentation.preset"


def override_recipe(
    recipe: Recipe,
    overrides: Mapping[str, Any] | None = None,
    *,
    augment: str | Augmentation | None = None,
) -> Recipe:
    """Return the recipe with another augmentation, then with options changed by dotted names.

    Args:
        recipe: What was chosen by the data; it is not changed.
        overrides: See `maskwright.model.apply_overrides`. "augmentation.preset" is a name as
            `augment` takes it; other options of the augmentation change what the preset says.
        augment: A preset's name or an augmentation; None or "default" leaves the choice to the
            overrides or the recipe.

    Raises:
        ConfigError: An unknown name, or a value outside its range.

    >>> override_recipe(Recipe(), {"augmentation.preset": "medical"}).augmentation.quarter_turn
    0.5
    """
    remaining = dict(overrides or {})
    for name in list(remaining):
        if name.replace("-", "_") == _PRESET:
            named = remaining.pop(name)
            augment = named if augment is None else augment
    if augment == "default":
        augment = None
    if isinstance(augment, str):
        augment = augmentation_named(augment)
    if augment is not None:
        recipe = replace(recipe, augmentation=augment)
    return apply_overrides(recipe, remaining)


def held_overrides(recipe: Recipe, overrides: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return options as a recipe holds them, so that equal ones are told equal.

    The command line gives text and Python values, and dashes stand for underscores.

    Args:
        recipe: One that has these options, with their parts of the kinds that they ask for.
        overrides: Dotted name -> value or its text. What the recipe does not take stays as it is,
            and so do whole parts, whose other options are defaults.

    >>> held_overrides(Recipe(), {"model.short-side": "320", "model.neck.norm": "batch"})
    {'model.short_side': 320, 'model.neck.norm': 'batch'}
    """
    held = {}
    for given, value in (overrides or {}).items():
        name = given.replace("-", "_")
        held[name] = value
        try:
            found: Any = config_to_dict(override_recipe(recipe, {name: value}))
        except ConfigError:
            continue
        if name != _PRESET:
            for step in name.split("."):
                found = found[step]
            held[name] = value if isinstance(found, dict) else found
    return held


def view_augmented(
    dataset: Dataset,
    augment: str | Augmentation | None = None,
    *,
    pictures: Sequence[int] | None = None,
    num_views: int = 4,
    seed: int = 0,
    cell: tuple[int, int] = (320, 320),
    overrides: Mapping[str, Any] | None = None,
) -> UInt8[np.ndarray, "H W 3"]:
    """Return a contact sheet of what a model would see of the pictures in training.

    Args:
        dataset: The pictures.
        augment: A preset's name or an augmentation; None for what `train` would choose.
        pictures: Positions of the pictures, a row each; None for four, spread over the dataset.
        num_views: Columns beside the picture as it is: its first epochs.
        seed: Of the draws.
        cell: Room for one picture, (height, width) in pixels.
        overrides: Options of the recipe by dotted name, as for `train`.

    Raises:
        ConfigError: An unknown name, or a value outside its range.
        DataError: The dataset has no pictures, or one cannot be read.
    """
    recipe = override_recipe(
        choose_recipe(data_facts(dataset), num_steps=1), overrides, augment=augment
    )
    return augmented_sheet(
        dataset,
        recipe.augmentation,
        pictures=pictures,
        num_views=num_views,
        cell=cell,
        seed=seed,
        short_side=recipe.model.short_side,
        long_side=recipe.model.long_side,
        fixed_size=recipe.model.fixed_size,
    )
