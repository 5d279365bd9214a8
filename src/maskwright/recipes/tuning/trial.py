"""One trial of a study: a training with the values that are tried, and how it went."""

from __future__ import annotations

import gc
import shutil
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Literal

from maskwright.data import PictureRule
from maskwright.recipes.augmenting import override_recipe
from maskwright.recipes.choose import DataFacts, choose_recipe
from maskwright.recipes.recipe import Preset, Recipe, TaskName
from maskwright.recipes.run import Parts, Validated
from maskwright.recipes.training_runs import resume, train
from maskwright.recipes.tuning.default_space import INPUT_SCALE, NAMED
from maskwright.recipes.tuning.search_space import Value

__all__ = ["Common", "Job", "Outcome", "run_trial", "train_arguments", "trial_recipe"]


@dataclass(frozen=True, kw_only=True)
class Common:
    """What all trials of a study have in common, each as `train` takes it.

    Args:
        data: The annotations, absolute.
        validation: Those of the validation pictures, absolute.
        images: Folder of the pictures, absolute.
        groups: What the split keeps together.
        task: Objects or classes of pixels.
        model: For every trial, as the others are; None where it is varied or left to the data.
        preset: Likewise.
        backbone: Likewise.
        weights: Likewise.
        augment: Likewise.
        pictures: How pictures are read.
        num_steps: Of each training.
        minutes: Of each training.
        seed: Of each training.
        overrides: Of every recipe.
        device: The chosen one.
        limit: Pictures.
        follow_links: Of the data.
        facts: What a recipe is chosen by.
    """

    data: str
    validation: str | None
    images: str | None
    groups: tuple[str, ...]
    task: TaskName
    model: str | None
    preset: Preset | None
    backbone: str | None
    weights: str | None
    augment: str | None
    pictures: PictureRule
    num_steps: int | None
    minutes: float | None
    seed: int
    overrides: Mapping[str, Any]
    device: str
    limit: int | None
    follow_links: bool
    facts: DataFacts


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a process must know to run a trial.

    Args:
        common: As all trials.
        values: What this one tries.
        folder: Its run folder; where it holds the state of a run, that run goes on.
        evaluations: Validations of a training, which number the scores that are reported.
    """

    common: Common
    values: Mapping[str, Value]
    folder: Path
    evaluations: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a trial went.

    Args:
        state: "complete"; "pruned", for it would not have become the best; or "failed".
        steps: Optimiser steps done.
        seconds: Wall clock, final scoring included.
        reason: Why it failed.
    """

    state: Literal["complete", "pruned", "failed"]
    steps: int
    seconds: float
    reason: str = ""


class _PrunedError(Exception):
    """Ends a training between two steps."""


def run_trial(job: Job, report: Callable[[int, float], bool]) -> Outcome:
    """Train with the values of a trial; whatever goes wrong in it is an outcome.

    The trace of a failure is kept in `error.txt` of the run folder.

    Args:
        job: The trial.
        report: Told the number of each validation, from 1 to `evaluations`, and its score;
            returns whether to end the training there.

    Raises:
        KeyboardInterrupt: The training was stopped; its state is saved.
    """
    began = monotonic()
    steps = 0

    def on_validation(validated: Validated) -> None:
        nonlocal steps
        steps = validated.step
        rung = max(1, int(validated.spent * job.evaluations + 1e-6))
        if report(rung, validated.score) and validated.spent < 1:
            raise _PrunedError

    state: Literal["complete", "pruned", "failed"] = "complete"
    reason = ""
    try:
        steps = _train(job, on_validation)
    except _PrunedError:
        state = "pruned"
    except Exception as error:  # noqa: BLE001 - kept with its trace; the others are still tried
        state, reason = "failed", f"{type(error).__name__}: {error}"
        job.folder.mkdir(parents=True, exist_ok=True)
        (job.folder / "error.txt").write_text(traceback.format_exc(), encoding="utf-8")
    gc.collect()  # a model and its optimiser refer to each other
    return Outcome(
        state=state,
        steps=steps,
        seconds=round(monotonic() - began, 1),
        reason=reason,
    )


def _train(job: Job, on_validation: Callable[[Validated], None]) -> int:
    """Train, or go on with a training that was killed; return the steps done."""
    device, folder = job.common.device, job.folder
    if (folder / "state.safetensors").is_file():
        return resume(folder, device=device, on_validation=on_validation, quiet=True).steps
    shutil.rmtree(folder, ignore_errors=True)  # killed before anything was saved
    folder.parent.mkdir(parents=True, exist_ok=True)
    arguments = train_arguments(job.common, job.values)
    run = train(job.common.data, out=folder, on_validation=on_validation, quiet=True, **arguments)
    return run.steps


def train_arguments(common: Common, values: Mapping[str, Value]) -> dict[str, Any]:
    """Return what `train` is called with, apart from data and folder.

    Args:
        common: As all trials.
        values: What is tried: names of `train`'s own, "input_scale", or options of the recipe.
    """
    named = {name: values.get(name, getattr(common, name)) for name in NAMED}
    options = {name: value for name, value in values.items() if name not in NAMED}
    scale = options.pop(INPUT_SCALE, None)
    if scale is not None:
        options |= _scaled(_chosen(common, named), float(scale))
    return {
        **named,
        "validation": common.validation,
        "images": common.images,
        "groups": common.groups,
        "task": common.task,
        "pictures": common.pictures,
        "num_steps": common.num_steps,
        "minutes": common.minutes,
        "seed": common.seed,
        "overrides": {**common.overrides, **options},
        "device": common.device,
        "limit": common.limit,
        "follow_links": common.follow_links,
    }


def trial_recipe(common: Common, values: Mapping[str, Value], parts: Parts) -> Recipe:
    """Return the recipe of a trial, and build its model once to see that it can be.

    Raises:
        ConfigError: Values that are impossible, alone or together.
    """
    arguments = train_arguments(common, values)
    recipe = override_recipe(
        _chosen(common, arguments), arguments["overrides"], augment=arguments["augment"]
    )
    recipe.model.build(parts.train.class_names)
    return recipe


def _chosen(common: Common, named: Mapping[str, Any]) -> Recipe:
    """The recipe by the data, before any option of it is changed."""
    return choose_recipe(
        common.facts,
        task=common.task,
        model=named["model"],
        backbone=named["backbone"],
        preset=named["preset"],
        weights=named["weights"],
        num_steps=common.num_steps,
        minutes=common.minutes,
        seed=common.seed,
        has_gpu=common.device != "cpu",
    )


def _scaled(recipe: Recipe, scale: float) -> dict[str, int]:
    """The input size times `scale`, on the grid of 32 pixels on which recipes choose it."""
    short, long = recipe.model.short_side, recipe.model.long_side
    chosen = max(32, 32 * round(scale * short / 32))
    return {"model.short_side": chosen, "model.long_side": round(long * chosen / short)}
