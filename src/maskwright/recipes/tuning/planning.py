"""What a study is made of: what its trials share, what they vary, and where they begin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from maskwright.errors import ConfigError
from maskwright.recipes.augmenting import held_overrides
from maskwright.recipes.folder_of_runs import fingerprint
from maskwright.recipes.recipe import Recipe
from maskwright.recipes.run import Parts
from maskwright.recipes.tuning.default_space import NAMED, default_space, default_values
from maskwright.recipes.tuning.search_space import Search, SearchSpace, Value, to_space
from maskwright.recipes.tuning.trial import Common, trial_recipe

__all__ = ["Plan", "make_plan"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What all trials of a study share, and what they vary.

    Args:
        common: What they share.
        recipe: Of a trial that varies nothing.
        space: What is varied.
        start: Where `recipe` lies in the space: the first trial.
        parts: The pictures.
    """

    common: Common
    recipe: Recipe
    space: SearchSpace
    start: dict[str, Value]
    parts: Parts

    @property
    def metric(self) -> str:
        """What a score is."""
        return "mask AP" if self.common.request.task == "instances" else "mIoU"

    def config(self, pruner: str) -> dict[str, Any]:
        """Return what must be the same for scores to be comparable."""
        names = (
            "data", "validation", "images", "groups", "task", "model", "preset", "backbone",
            "weights", "augment", "pictures", "num_steps", "minutes", "seed", "limit",
        )  # fmt: skip
        request = self.common.request
        return {
            **{name: getattr(request, name) for name in names},
            "device": self.common.device,
            "overrides": dict(request.overrides or {}),
            "pictures_and_objects": fingerprint(self.parts),
            "search": {name: wanted.text for name, wanted in self.space.items()},
            "pruner": pruner,
        }

    def comparable(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return a config whose options are as the recipe holds them."""
        return {**config, "overrides": held_overrides(self.recipe, config["overrides"])}

    def notes(self) -> tuple[str, ...]:
        """Say what a reader must know about the scores."""
        request, parts = self.common.request, self.parts
        steps, minutes = request.num_steps, request.minutes
        budget = [f"{steps} steps"] if steps else []
        budget += [f"{minutes:g} minute{'s' * (minutes != 1)}"] if minutes else []
        return (
            f"Each training had {' or '.join(budget)} on {len(parts.train)} pictures, seed "
            f"{request.seed}, and was scored on {len(parts.validation)} validation pictures.",
            "The best of many scores on the same pictures is higher than the model deserves; a "
            "score on test pictures is not.",
        )


def make_plan(
    common: Common, parts: Parts, search: Sequence[str] | Mapping[str, Search | str]
) -> Plan:
    """Choose the space, and see that each of its values is possible by itself.

    Args:
        common: What all trials share.
        parts: The pictures.
        search: As for `tune`.

    Raises:
        ConfigError: Something impossible, or an option that is given and searched as well.
    """
    recipe = trial_recipe(common, {}, parts)
    request = common.request
    named = [name for name in NAMED if getattr(request, name) is not None]
    fixed = (*named, *(name.replace("-", "_") for name in request.overrides or {}))
    space = to_space(search, default_space(recipe, fixed=fixed, has_gpu=common.has_gpu))
    if not space:
        raise ConfigError("there is nothing to search: all options of the default space are given")
    twice = [name for name in space if name in fixed]
    if twice:
        raise ConfigError(f"{twice[0]} is given and searched as well: leave one out")
    for name, wanted in space.items():
        for value in wanted.ends:
            try:
                trial_recipe(common, {name: value}, parts)
            except ConfigError as error:
                raise ConfigError(f"--search {name}: {value} is not possible: {error}") from error
    if request.num_steps is None and request.minutes is None:
        # Equal for all, though trials of another batch size would choose another length.
        common = replace(common, request=replace(request, num_steps=recipe.num_steps))
    preset = request.preset or ("best" if common.has_gpu else "fast")
    return Plan(
        common=common,
        recipe=recipe,
        space=space,
        start=default_values(recipe, space, preset),
        parts=parts,
    )
