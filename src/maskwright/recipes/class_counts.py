"""How many objects each class has, told to the losses that weigh classes by it."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import numpy as np

from maskwright.data import Dataset
from maskwright.ops import CrossEntropy, Focal, QualityFocal
from maskwright.recipes.recipe import Recipe

__all__ = ["count_objects", "with_class_counts"]

_Config = TypeVar("_Config")


def count_objects(dataset: Dataset) -> tuple[int, ...]:
    """Return the objects of each class; crowds and objects without pixels do not count."""
    counted = ~(dataset.is_crowd | dataset.is_empty)
    counts = np.bincount(dataset.labels[counted], minlength=len(dataset.class_names))
    return tuple(counts.tolist())


def with_class_counts(recipe: Recipe, dataset: Dataset) -> Recipe:
    """Return the recipe in which every loss with a `balance` has the counts of its classes.

    Counts that are given stay. They are part of the recipe from then on, so that a run resumes,
    and a model is built again, without the data.

    Args:
        recipe: Its losses may be anywhere in it.
        dataset: The training pictures.
    """
    return _filled(recipe, count_objects(dataset))


def _filled(config: _Config, counts: tuple[int, ...]) -> _Config:
    """Return the config with counts in it and in the configs nested in it."""
    if not is_dataclass(config) or isinstance(config, type):
        return config
    changes: dict[str, Any] = {}
    for field in fields(config):
        value = getattr(config, field.name)
        filled = _filled(value, counts)
        if filled is not value:
            changes[field.name] = filled
    if isinstance(config, CrossEntropy | Focal | QualityFocal):
        is_wanting = config.balance is not None and not config.class_counts
        changes |= {"class_counts": counts} if is_wanting else {}
    return replace(config, **changes) if changes else config
