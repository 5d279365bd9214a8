"""Search for the options that train best on some pictures: `maskwright tune`.

STUDY/config.json       what was searched, on what; the folder is gone on with by the same only
STUDY/study.journal     every trial, in Optuna's journal
STUDY/trials/0000/      the run folder of each trial
STUDY/best              leads to the run folder of the best
STUDY/report.md         the table, what matters, the command to train longer; plots/ beside it
STUDY/study.json        the same as values; trials.csv a row per trial
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from maskwright.data import PictureRule
from maskwright.devices import choose_device
from maskwright.errors import ConfigError, DataError, TrainingError
from maskwright.recipes.choose import data_facts
from maskwright.recipes.comparison_folder import fingerprint
from maskwright.recipes.recipe import Preset, Recipe, TaskName
from maskwright.recipes.run import Parts
from maskwright.recipes.training_runs import open_parts
from maskwright.recipes.tuning.default_space import default_space, default_values
from maskwright.recipes.tuning.journal import PRUNERS, Asked, Journal, PrunerName, require_optuna
from maskwright.recipes.tuning.report import test_score, train_command, write_study
from maskwright.recipes.tuning.search_space import Search, SearchSpace, Value, to_space
from maskwright.recipes.tuning.study import Study
from maskwright.recipes.tuning.study_folder import (
    Keep,
    open_study,
    point_to_best,
    remove_models,
    take_over,
)
from maskwright.recipes.tuning.tables import values_text
from maskwright.recipes.tuning.trial import Common, Job, Outcome, run_trial, trial_recipe

__all__ = ["tune"]

_MOST_FAILURES = 5
"""Trials that may fail one after the other: then it is not their values."""

_ONLY = ("preset", "model", "backbone", "weights", "augment")


def tune(
    data: str | Path,
    *,
    out: str | Path,
    trials: int = 20,
    search: Sequence[str] | Mapping[str, Search | str] = (),
    validation: str | Path | None = None,
    images: str | Path | None = None,
    groups: str | Sequence[str] = (),
    task: TaskName = "instances",
    model: str | None = None,
    backbone: str | None = None,
    preset: Preset | None = None,
    weights: str | None = None,
    pictures: PictureRule = "auto",
    num_steps: int | None = None,
    minutes: float | None = None,
    augment: str | None = None,
    pruner: PrunerName = "median",
    keep: Keep = "best",
    seed: int = 0,
    overrides: Mapping[str, Any] | None = None,
    device: str | None = None,
    limit: int | None = None,
    follow_links: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Study:
    """Train again and again with other options, and find those that score best.

    Each trial is a training of the same length on the same pictures, scored on the validation
    pictures (mask AP, or mean IoU). The first does what `train` would do by itself. Trials that
    fall behind are ended early; those that fail are recorded. Called again with the same `out`,
    the study goes on until it has `trials` finished ones; a trial whose process was killed is
    marked as failed, and a new one goes on with its run.

    Args:
        data: The annotations, as for `train`. Without `validation`, split as `train` does it; the
            test pictures are then left to the best model.
        out: The study's folder, to make or to go on with.
        trials: How many trials the study shall have in all: complete, pruned or failed.
        search: What is varied: "NAME=LOW:HIGH", "NAME=LOW:HIGH:log" or "NAME=A,B,C" each, or a
            mapping from names. A name is one of preset, model, backbone, weights, augment,
            input_scale (times the input size that the data suggest), or an option of the recipe
            such as optimizer.learning_rate. () takes a default space, see `default_space`, which
            "default" among them adds.
        validation: As for `train`, and so are all that say nothing else.
        images: Folder of the pictures.
        groups: What the split keeps together.
        task: Objects, or classes of pixels.
        model: For every trial; None lets the default space vary it.
        backbone: For every trial.
        preset: For every trial; None lets the default space vary it.
        weights: Where every backbone starts.
        pictures: How pictures are read.
        num_steps: Length of each training in steps.
        minutes: Length of each training by the clock.
        augment: For every trial; None lets the default space vary it.
        pruner: "median", "hyperband" or "none".
        keep: "best" removes the model files of the other trials, "all" does not.
        seed: Of the split and of every training, and of what is tried.
        overrides: Options of every recipe by dotted name; they are not varied.
        device: Where trainings run.
        limit: Take so many training pictures, and no more validation pictures.
        follow_links: Of the data.
        say: Told what happens, a line each.

    Raises:
        MissingExtraError: Optuna is not installed.
        ConfigError: An impossible option or value to try; said before the first training.
        DataError: The data cannot be read, is too little to split, or has no validation objects.
        TrainingError: The folder is of another study (the message says what differs), of something
            else or in use, or five trials failed one after the other.
    """
    require_optuna()
    if trials < 1:
        raise ConfigError(f"trials must be 1 or more, got {trials}")
    if pruner not in PRUNERS:
        raise ConfigError(f"unknown pruner {pruner!r}; there are {', '.join(PRUNERS)}")
    if keep not in ("best", "all"):
        raise ConfigError(f"keep is best or all, got {keep!r}")
    chosen_device = choose_device(device)
    source = {
        "data": data,
        "validation": validation,
        "images": images,
        "groups": [groups] if isinstance(groups, str) else list(groups),
        "seed": seed,
        "limit": limit,
        "follow_links": follow_links,
    }
    parts = open_parts(source)
    if not len(parts.validation.labels):
        raise DataError(
            f"the {len(parts.validation)} validation pictures have no objects, and trials are "
            "chosen by what is found of them: give validation pictures with objects"
        )
    common = Common(
        data=_absolute(data) or "",
        validation=_absolute(validation),
        images=_absolute(images),
        groups=tuple(source["groups"]),  # type: ignore[arg-type]
        task=task,
        model=model,
        preset=preset,
        backbone=backbone,
        weights=weights,
        augment=augment,
        pictures=pictures,
        num_steps=num_steps,
        minutes=minutes,
        seed=seed,
        overrides=dict(overrides or {}),
        device=str(chosen_device),
        limit=limit,
        follow_links=follow_links,
        facts=data_facts(parts.train),
    )
    plan = _plan(common, parts, search)
    config = _config(common, parts, plan, pruner)
    with open_study(out, config) as folder:
        return _Tuning(folder, plan, parts, pruner=pruner, keep=keep, say=say).run(trials)


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What all trials share, and what they vary."""

    common: Common
    recipe: Recipe
    space: SearchSpace
    start: dict[str, Value]


def _plan(
    common: Common, parts: Parts, search: Sequence[str] | Mapping[str, Search | str]
) -> _Plan:
    """Choose the space, and see that each of its values is possible by itself."""
    recipe = trial_recipe(common, {}, parts)
    has_gpu = common.device != "cpu"
    named = [name for name in _ONLY if getattr(common, name) is not None]
    fixed = (*named, *(name.replace("-", "_") for name in common.overrides))
    space = to_space(search, default_space(recipe, fixed=fixed, has_gpu=has_gpu))
    twice = [name for name in space if name in fixed]
    if twice:
        raise ConfigError(f"{twice[0]} is given and searched as well: leave one out")
    for name, wanted in space.items():
        for value in wanted.ends:
            try:
                trial_recipe(common, {name: value}, parts)
            except ConfigError as error:
                raise ConfigError(f"--search {name}: {value} is not possible: {error}") from error
    if common.num_steps is None and common.minutes is None:
        # Equal for all, though trials of another batch size would choose another length.
        common = replace(common, num_steps=recipe.num_steps)
    preset = common.preset or ("best" if has_gpu else "fast")
    return _Plan(
        common=common,
        recipe=recipe,
        space=space,
        start=default_values(recipe, space, preset),
    )


def _config(common: Common, parts: Parts, plan: _Plan, pruner: str) -> dict[str, Any]:
    """Return what must be the same for scores to be comparable."""
    names = (
        "data", "validation", "images", "groups", "task", "model", "preset", "backbone",
        "weights", "augment", "pictures", "num_steps", "minutes", "seed", "device", "limit",
    )  # fmt: skip
    return {
        **{name: getattr(plan.common, name) for name in names},
        "overrides": dict(common.overrides),
        "pictures_and_objects": fingerprint(parts),
        "search": {name: wanted.text for name, wanted in plan.space.items()},
        "pruner": pruner,
    }


class _Tuning:
    """A study under way."""

    def __init__(
        self,
        folder: Path,
        plan: _Plan,
        parts: Parts,
        *,
        pruner: str,
        keep: Keep,
        say: Callable[[str], None],
    ) -> None:
        self._folder, self._plan, self._keep, self._say = folder, plan, keep, say
        self._parts = parts
        self._evaluations = plan.recipe.evaluations
        self._journal = Journal(
            folder / "study.journal",
            plan.space,
            seed=plan.common.seed,
            pruner=pruner,
            evaluations=self._evaluations,
        )
        self._failures = 0

    def run(self, trials: int) -> Study:
        """Run trials until so many are finished; write the report, also on Ctrl-C."""
        if self._journal.is_empty:
            self._journal.enqueue(self._plan.start)
        for number in self._journal.mend():
            self._say(f"trial {number} was interrupted: it is tried again")
        try:
            while self._finished() < trials:
                self._run_one(trials)
        finally:
            if self._finished():
                write_study(self._study(), self._plan.space)
        return self._study()

    def _finished(self) -> int:
        return sum(one.is_finished for one in self._journal.rows())

    def _run_one(self, trials: int) -> None:
        asked = self._begin()
        self._say(f"trial {asked.number} ({self._finished() + 1} of {trials}): "
                  f"{values_text(asked.values)}")  # fmt: skip
        outcome = run_trial(self._job(asked), partial(self._report, asked))
        self._end(asked, outcome)

    def _begin(self) -> Asked:
        asked = self._journal.ask()
        if asked.continues is not None:
            dead = self._folder / "trials" / f"{asked.continues:04d}"
            take_over(dead, self._folder / "trials" / f"{asked.number:04d}")
            self._journal.repeat_scores(asked)
        return asked

    def _job(self, asked: Asked) -> Job:
        return Job(
            common=self._plan.common,
            values=asked.values,
            folder=self._folder / "trials" / f"{asked.number:04d}",
            evaluations=self._evaluations,
        )

    def _report(self, asked: Asked, rung: int, score: float) -> bool:
        is_behind = asked.report(rung, score)
        self._say(f"trial {asked.number}: {_metric(self._plan.common)} {100 * score:.1f} % "
                  f"at {rung / self._evaluations:.0%} of the budget")  # fmt: skip
        return is_behind

    def _end(self, asked: Asked, outcome: Outcome) -> None:
        """Record a trial, and keep the best model and no other."""
        self._journal.tell(asked, outcome)
        study = self._study()
        row = study.trials[asked.number]
        best = study.best
        sentence = f"trial {asked.number}: {row.state}"
        if row.state == "failed":
            sentence += f": {row.reason}"
        elif best is not None and best.score is not None:
            sentence += f"; the best is trial {best.number} with {100 * best.score:.1f} %"
        self._say(sentence)
        point_to_best(study)
        if self._keep == "best":
            remove_models(study)
        self._failures = self._failures + 1 if row.state == "failed" else 0
        if self._failures >= _MOST_FAILURES:
            raise TrainingError(
                f"{_MOST_FAILURES} trials failed one after the other, the last with: {row.reason}; "
                f"mend that, then the same command goes on (traces: {self._folder}/trials)"
            )

    def _study(self) -> Study:
        study = Study(
            path=self._folder,
            metric=_metric(self._plan.common),
            trials=tuple(self._journal.rows()),
            importances=self._journal.importances(),
            evaluations=self._evaluations,
            notes=_notes(self._plan.common, self._parts),
        )
        if study.best is None:
            return study
        command = train_command(self._plan.common, study.best.values)
        return replace(study, command=command, test=test_score(self._folder))


def _absolute(path: str | Path | None) -> str | None:
    return None if path is None else str(Path(path).resolve())


def _metric(common: Common) -> str:
    return "mask AP" if common.task == "instances" else "mIoU"


def _notes(common: Common, parts: Parts) -> tuple[str, ...]:
    budget = [f"{common.num_steps} steps"] if common.num_steps else []
    budget += [f"{common.minutes:g} minutes"] if common.minutes else []
    return (
        f"Each training had {' or '.join(budget)} on {len(parts.train)} pictures, seed "
        f"{common.seed}, and was scored on {len(parts.validation)} validation pictures.",
        "The best of many scores on the same pictures is higher than the model deserves; a score "
        "on test pictures is not.",
    )
