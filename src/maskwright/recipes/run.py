"""The loop of a training run: steps, evaluations, files, and the final score."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from maskwright.data import Dataset, Loader
from maskwright.files import write_json
from maskwright.model import (
    Model,
    load_checkpoint,
    load_imagenet,
    read_checkpoint_header,
    save_checkpoint,
)
from maskwright.recipes.between_steps import Calendar, stop_between_steps
from maskwright.recipes.recipe import Recipe
from maskwright.recipes.tasks import Scores, task_of
from maskwright.training import (
    EMA,
    Budget,
    MetricsLog,
    ResumePoint,
    RunFolder,
    StepReport,
    Stopwatch,
    choose_display,
    choose_precision,
    fit,
    load_state,
    over_budget,
    report_values,
    save_state,
    seed_everything,
    step_decay,
    warmup_cosine,
)

__all__ = ["Parts", "TrainedRun", "run_recipe"]

_CACHE_BYTES = 512 * 1024 * 1024
"""Decoded pictures of small datasets are kept, which spares decoding them in every epoch."""


@dataclass(frozen=True, kw_only=True)
class TrainedRun:
    """What a run left behind.

    Args:
        path: The run folder.
        model: The best model, in evaluation mode.
        recipe: What was done.
        validation: Its scores on the validation pictures.
        test: Its scores on the test pictures; None if all pictures were needed elsewhere.
        steps: Optimiser steps done.
        seconds: Wall clock of the training, evaluations included.
    """

    path: Path
    model: Model
    recipe: Recipe
    validation: Scores
    test: Scores | None
    steps: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The pictures of a run by their use."""

    train: Dataset
    validation: Dataset
    test: Dataset | None

    def image_ids(self) -> dict[str, list[int]]:
        """Return the ids of the pictures by part, as `split.json` holds them."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: part.image_ids.tolist() for name, part in named.items() if part is not None}


class _Training:
    """The moving parts of a run, so that each step of it can be a short function."""

    def __init__(
        self, folder: RunFolder, recipe: Recipe, parts: Parts, device: torch.device
    ) -> None:
        seed_everything(recipe.seed)
        self.folder, self.recipe, self.parts, self.device = folder, recipe, parts, device
        classes = parts.train.class_names, parts.train.category_ids
        self.model: Model = recipe.model.build(*classes).to(device)
        self.task = task_of(self.model, folder.path)
        self.optimizer = recipe.optimizer.build(self.model)
        self.ema: EMA | None = None
        self.point = ResumePoint(step=0)

    def start(self) -> None:
        """Begin anew: transfer weights, then start the average from them."""
        if self.recipe.weights != "none":
            load_imagenet(self.model.backbone, self.recipe.weights)
        self.task.prepare()
        self._start_average()

    def go_on(self) -> None:
        """Put back what the run folder saved."""
        self._start_average()
        self.point = load_state(
            self.folder.state_path, model=self.model, optimizer=self.optimizer, ema=self.ema
        )

    def _start_average(self) -> None:
        if self.recipe.ema_decay is not None:
            self.ema = EMA(self.model, self.recipe.ema_decay)

    @contextmanager
    def averaged(self) -> Iterator[Model]:
        """Lend the model with its averaged weights, as it is scored and saved."""
        with self.ema.applied() if self.ema is not None else nullcontext():
            yield self.model

    def validate(self, step: int, seconds: float) -> dict[str, float]:
        """Score on the validation pictures; write last and best."""
        with self.averaged() as model:
            metrics, scores = self.task.validate(self.parts.validation)
            extra = {"step": step, "validation": metrics.as_dict()}
            score, best = scores[self.task.decisive], self.point.best_score
            is_best = best is None or score >= best
            save_checkpoint(model, self.folder.last_path, extra)
            if is_best:
                save_checkpoint(model, self.folder.best_path, extra)
        self.point = ResumePoint(
            step=step, elapsed_seconds=seconds, best_score=score if is_best else best
        )
        return scores

    def pause(self, step: int, seconds: float) -> None:
        """Write the model and the state between two evaluations."""
        with self.averaged() as model:
            save_checkpoint(model, self.folder.last_path, {"step": step})
        self.save(step, seconds)

    def save(self, step: int, seconds: float) -> None:
        """Write what resuming needs."""
        self.point = replace(self.point, step=step, elapsed_seconds=seconds)
        save_state(
            self.folder.state_path,
            self.point,
            model=self.model,
            optimizer=self.optimizer,
            ema=self.ema,
        )


def run_recipe(
    folder: RunFolder,
    recipe: Recipe,
    parts: Parts,
    device: torch.device,
    *,
    is_resumed: bool = False,
    quiet: bool = False,
) -> TrainedRun:
    """Train, then score the best model on the validation and the test pictures.

    Args:
        folder: The run's folder, locked for this process.
        recipe: What to do.
        parts: The pictures.
        device: Where to train.
        is_resumed: Go on from the folder's saved state.
        quiet: Show nothing.

    Raises:
        TrainingError: Non-finite losses, or a state that does not fit.
    """
    training = _Training(folder, recipe, parts, device)
    if is_resumed:
        training.go_on()
    else:
        training.start()
    _train(training, quiet=quiet)
    model = load_checkpoint(folder.best_path, device=device)
    task = task_of(model, folder.path)
    if not task.is_finished:  # a run killed meanwhile does it again
        task.finish(_pictures_as_they_are(training))
        save_checkpoint(model, folder.best_path, read_checkpoint_header(folder.best_path).extra)
    validation = task.score(parts.validation)
    test = None if parts.test is None else task.score(parts.test)
    scores = {"validation": validation.as_dict(), "test": test and test.as_dict()}
    write_json(folder.path / "scores.json", scores)
    return TrainedRun(
        path=folder.path,
        model=model,
        recipe=recipe,
        validation=validation,
        test=test,
        steps=training.point.step,
        seconds=training.point.elapsed_seconds,
    )


def _train(training: _Training, *, quiet: bool) -> None:
    """Take the steps of the budget that are left, evaluating in between and at the end."""
    recipe, start = training.recipe, training.point
    budget = Budget(
        num_steps=recipe.num_steps,
        seconds=None if recipe.minutes is None else 60 * recipe.minutes,
    )
    stopwatch = Stopwatch(start.elapsed_seconds)
    spent = budget.progress(start.step, start.elapsed_seconds)
    if spent >= 1:
        return
    if start.step == 0:
        training.save(0, 0.0)  # from here on a killed run can be resumed
    advice = training.task.survey(training.parts.validation)
    calendar = Calendar(recipe.evaluations, spent, stopwatch.seconds)
    with ExitStack() as stack:
        log = stack.enter_context(_open_log(training))
        display = stack.enter_context(choose_display(num_steps=recipe.num_steps, quiet=quiet))
        is_asked_to_stop = stack.enter_context(stop_between_steps())
        if advice is not None:
            display.message(advice)
        for report in _steps(training, budget, stopwatch):
            spent = budget.progress(report.step, stopwatch.seconds)
            display.step(report, spent)
            log.write(report.step, report_values(report))
            if calendar.is_evaluation_due(spent, began := stopwatch.seconds):
                scores = training.validate(report.step, began)
                log.write(report.step, scores)
                # After the log: a state knows nothing that the log does not.
                training.save(report.step, stopwatch.seconds)
                calendar.evaluated(spent, began, stopwatch.seconds)
                display.message(_score_line(report.step, scores))
            if spent >= 1:
                return
            if calendar.is_saving_due(stopwatch.seconds):
                training.save(report.step, stopwatch.seconds)
                calendar.saved(stopwatch.seconds)
            if is_asked_to_stop():
                training.pause(report.step, stopwatch.seconds)
                display.message(f"stopped after step {report.step}; --resume goes on from there")
                raise KeyboardInterrupt


def _pictures_as_they_are(training: _Training) -> Loader:
    """The training pictures, each once and unchanged."""
    recipe = training.recipe
    return Loader(
        training.parts.train,
        batch_size=1,
        short_side=recipe.model.short_side,
        long_side=recipe.model.long_side,
        fixed_size=recipe.model.fixed_size,
        num_workers=recipe.num_workers,
        size_divisor=recipe.model.size_multiple,
        shuffle=False,
        epochs=1,
    )


def _open_log(training: _Training) -> MetricsLog:
    return MetricsLog(
        training.folder.metrics_path,
        tensorboard=training.folder.tensorboard_path,
        start_step=training.point.step,
    )


def _steps(training: _Training, budget: Budget, stopwatch: Stopwatch) -> Iterator[StepReport]:
    recipe = training.recipe
    shape = warmup_cosine if recipe.schedule == "cosine" else step_decay
    precision = (
        choose_precision(training.device) if recipe.precision == "auto" else recipe.precision
    )
    return fit(
        training.model,
        _loader(training, training.point.step),
        training.optimizer,
        over_budget(partial(shape, warmup=recipe.warmup), budget, stopwatch),
        start_step=training.point.step,
        num_steps=recipe.num_steps,
        ema=training.ema,
        clip_norm=recipe.clip_norm,
        precision=precision,
        device=training.device,
    )


def _loader(training: _Training, start_step: int) -> Loader:
    recipe = training.recipe
    return Loader(
        training.parts.train,
        batch_size=recipe.batch_size,
        short_side=recipe.model.short_side,
        long_side=recipe.model.long_side,
        fixed_size=recipe.model.fixed_size,
        augmentation=recipe.augmentation,
        seed=recipe.seed,
        num_workers=recipe.num_workers,
        start_step=start_step,
        size_divisor=recipe.model.size_multiple,
        cache_bytes=_CACHE_BYTES,
        repeat_threshold=recipe.repeat_threshold,
        aspect_batches=recipe.aspect_batches,
    )


def _score_line(step: int, scores: dict[str, float]) -> str:
    numbers = "  ".join(
        f"{name.removeprefix('val/')} {value:.3f}" for name, value in scores.items()
    )
    return f"step {step}: validation {numbers}"
