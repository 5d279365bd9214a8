"""One trial of a study: a training with the values that are tried, and how it went."""

from __future__ import annotations

import gc
import shutil
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any, Literal

from maskwright.recipes.choose import DataFacts
from maskwright.recipes.recipe import Recipe
from maskwright.recipes.run import Parts, Validated
from maskwright.recipes.run_request import RunRequest
from maskwright.recipes.training_runs import resume, train_request
from maskwright.recipes.tuning.default_space import INPUT_SCALE, NAMED
from maskwright.recipes.tuning.search_space import Value

__all__ = ["Common", "Job", "Outcome", "run_trial", "trial_recipe", "trial_request"]


@dataclass(frozen=True, kw_only=True)
class Common:
    """What all trials of a study have in common.

    Args:
        request: What each trains, with absolute paths; None where something is varied or left to
            the data.
        device: The chosen one.
        facts: What a recipe is chosen by.
    """

    request: RunRequest
    device: str
    facts: DataFacts

    @property
    def has_gpu(self) -> bool:
        """Whether trials run on one."""
        return self.device != "cpu"


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
    run = train_request(
        trial_request(job.common, job.values),
        out=folder,
        device=device,
        on_validation=on_validation,
        quiet=True,
    )
    return run.steps


def trial_request(common: Common, values: Mapping[str, Value]) -> RunRequest:
    """Return what a trial trains.

    Args:
        common: As all trials.
        values: What is tried: names of `train`'s own, "input_scale", or options of the recipe.
    """
    named: dict[str, Any] = {name: value for name, value in values.items() if name in NAMED}
    request = replace(common.request, **named)
    options = {name: value for name, value in values.items() if name not in NAMED}
    scale = options.pop(INPUT_SCALE, None)
    if scale is not None:
        plain = replace(request, overrides=None, augment=None)
        chosen = plain.recipe(common.facts, has_gpu=common.has_gpu)
        options |= _scaled(chosen, float(scale))
    return replace(request, overrides={**(request.overrides or {}), **options})


def trial_recipe(common: Common, values: Mapping[str, Value], parts: Parts) -> Recipe:
    """Return the recipe of a trial, and build its model once to see that it can be.

    Raises:
        ConfigError: Values that are impossible, alone or together.
    """
    recipe = trial_request(common, values).recipe(common.facts, has_gpu=common.has_gpu)
    recipe.model.build(parts.train.class_names)
    return recipe


def _scaled(recipe: Recipe, scale: float) -> dict[str, int]:
    """The input size times `scale`, on the grid of 32 pixels on which recipes choose it."""
    short, long = recipe.model.short_side, recipe.model.long_side
    chosen = max(32, 32 * round(scale * short / 32))
    return {"model.short_side": chosen, "model.long_side": round(long * chosen / short)}
