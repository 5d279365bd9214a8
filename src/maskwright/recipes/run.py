"""The loop of a training run: steps, evaluations, files, and the final score."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from maskwright.data import Loader, save_image
from maskwright.files import write_json
from maskwright.inference import Predictor
from maskwright.model import (
    Model,
    load_checkpoint,
    read_checkpoint_header,
    save_checkpoint,
)
from maskwright.recipes.between_steps import Calendar, stop_between_steps
from maskwright.recipes.broken_steps import advised
from maskwright.recipes.curves import draw_curves
from maskwright.recipes.moving_parts import MovingParts, Parts
from maskwright.recipes.recipe import Recipe
from maskwright.recipes.samples import sample_sheet
from maskwright.recipes.tasks import Scores, task_of
from maskwright.training import (
    Backward,
    Budget,
    MetricsLog,
    Processes,
    RunFolder,
    StepReport,
    Stopwatch,
    accumulate,
    choose_display,
    choose_precision,
    fit,
    open_services,
    over_budget,
    report_values,
    step_decay,
    warmup_cosine,
    whole_batch,
)
from maskwright.transforms import Transform

__all__ = ["Parts", "TrainedRun", "Validated", "run_recipe"]

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
class Validated:
    """A validation in the middle of a run, for those who watch it.

    Args:
        step: Steps done.
        spent: Share of the budget spent, in (0, 1].
        score: The number that chooses the best model: mask AP, or mean IoU.
        scores: All that was measured, as the log calls it.
    """

    step: int
    spent: float
    score: float
    scores: dict[str, float]


def run_recipe(
    folder: RunFolder,
    recipe: Recipe,
    parts: Parts,
    device: torch.device,
    *,
    processes: Processes | None = None,
    before_resize: Transform | None = None,
    is_resumed: bool = False,
    on_validation: Callable[[Validated], None] | None = None,
    quiet: bool = False,
) -> TrainedRun:
    """Train, then score the best model on the validation and the test pictures.

    Args:
        folder: The run's folder, locked for this process (or the first of several).
        recipe: What to do.
        parts: The pictures.
        device: Where to train.
        processes: Those that take each step together; None for this one alone.
        before_resize: What every training picture goes through first; None for nothing.
        is_resumed: Go on from the folder's saved state.
        on_validation: Told of each validation, once the state after it is saved. An error that it
            raises ends the run there.
        quiet: Show nothing.

    Raises:
        TrainingError: Non-finite losses, or a state that does not fit.
    """
    processes = processes or Processes()
    parts = parts.with_pixels(recipe.model.pixels)
    training = MovingParts(folder, recipe, parts, device, processes, before_resize)
    if is_resumed:
        training.go_on()
    else:
        training.start()
    _train(training, on_validation, quiet=quiet or not processes.is_first)
    model = _best_model(training)
    task = task_of(model, folder.path, processes)
    validation = task.score(parts.validation)
    test = None if parts.test is None else task.score(parts.test)
    scores = {"validation": validation.as_dict(), "test": test and test.as_dict()}
    if processes.is_first:
        write_json(folder.path / "scores.json", scores)
        sheet = sample_sheet(parts.validation, {"found": Predictor(model)})
        save_image(folder.path / "samples.png", sheet)
    return TrainedRun(
        path=folder.path,
        model=model,
        recipe=recipe,
        validation=validation,
        test=test,
        steps=training.point.step,
        seconds=training.point.elapsed_seconds,
    )


def _train(
    training: MovingParts, on_validation: Callable[[Validated], None] | None, *, quiet: bool
) -> None:
    """Take the steps of the budget that are left, evaluating in between and at the end."""
    recipe, start = training.recipe, training.point
    budget = Budget(
        num_steps=recipe.num_steps,
        seconds=None if recipe.minutes is None else 60 * recipe.minutes,
    )
    stopwatch = Stopwatch(start.elapsed_seconds, training.clock)
    spent = budget.progress(start.step, start.elapsed_seconds)
    if spent >= 1 or training.is_patience_spent():
        return
    if start.step == 0:
        training.save(0, 0.0)  # from here on a killed run can be resumed
    is_first = training.processes.is_first
    advice = training.task.survey(training.parts.validation) if is_first else None
    calendar = Calendar(recipe.evaluations, spent, stopwatch.seconds)
    with ExitStack() as stack:
        log = stack.enter_context(_open_log(training)) if is_first else None
        display = stack.enter_context(choose_display(num_steps=recipe.num_steps, quiet=quiet))
        is_asked_to_stop = stack.enter_context(stop_between_steps())
        if advice is not None:
            display.message(advice)
        for report in advised(_steps(training, budget, stopwatch), training):
            spent = budget.progress(report.step, stopwatch.seconds)
            display.step(report, spent)
            if log is not None:
                log.write(report.step, report_values(report))
            if calendar.is_evaluation_due(spent, began := stopwatch.seconds):
                scores = training.validate(report.step, began)
                if log is not None:
                    log.write(report.step, scores)
                # After the log: a state knows nothing that the log does not.
                training.save(report.step, stopwatch.seconds)
                calendar.evaluated(spent, began, stopwatch.seconds)
                display.message(_score_line(report.step, scores))
                if is_first:
                    draw_curves(training.folder.metrics_path, training.folder.curves_path)
                if on_validation is not None:
                    score = scores[training.task.decisive]
                    on_validation(
                        Validated(step=report.step, spent=spent, score=score, scores=scores)
                    )
                if training.is_patience_spent():
                    display.message(
                        f"stopped early: no better score in {training.since_best} evaluations"
                    )
                    return
            if spent >= 1:
                return
            if calendar.is_saving_due(stopwatch.seconds):
                training.save(report.step, stopwatch.seconds)
                calendar.saved(stopwatch.seconds)
            if training.processes.any(is_asked_to_stop()):
                training.pause(report.step, stopwatch.seconds)
                display.message(f"stopped after step {report.step}; --resume goes on from there")
                raise KeyboardInterrupt


def _best_model(training: MovingParts) -> Model:
    """Return the best model, after it has learnt what steps do not teach."""
    folder, device, processes = training.folder, training.device, training.processes
    processes.wait()  # the first has written it
    model = load_checkpoint(folder.best_path, device=device)
    task = task_of(model, folder.path, processes)
    if task.is_finished:
        return model
    if processes.is_first:  # a run killed meanwhile does it again
        task.finish(_pictures_as_they_are(training))
        save_checkpoint(model, folder.best_path, read_checkpoint_header(folder.best_path).extra)
    processes.wait()
    return load_checkpoint(folder.best_path, device=device)


def _pictures_as_they_are(training: MovingParts) -> Loader:
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


def _open_log(training: MovingParts) -> MetricsLog:
    folder, loggers = training.folder, training.recipe.loggers
    return MetricsLog(
        training.folder.metrics_path,
        tensorboard=training.folder.tensorboard_path,
        start_step=training.point.step,
        services=open_services(loggers, folder.path, folder.read_config()) if loggers else (),
    )


def _steps(training: MovingParts, budget: Budget, stopwatch: Stopwatch) -> Iterator[StepReport]:
    recipe, backbone = training.recipe, training.model.backbone
    shape = warmup_cosine if recipe.schedule == "cosine" else step_decay
    precision = (
        choose_precision(training.device) if recipe.precision == "auto" else recipe.precision
    )
    processes = training.processes
    model = processes.wrap(training.learner, sync_batch_norm=recipe.sync_batch_norm)
    backward: Backward = whole_batch
    if recipe.pictures_at_once is not None:
        backward = accumulate(
            recipe.pictures_at_once, apart=partial(processes.without_exchange, model)
        )
    return fit(
        model,
        _loader(training, budget, stopwatch),
        training.optimizer,
        over_budget(partial(shape, warmup=recipe.warmup), budget, stopwatch),
        start_step=training.point.step,
        num_steps=recipe.num_steps,
        backward=backward,
        ema=training.ema,
        clip_norm=recipe.clip_norm,
        precision=precision,
        device=training.device,
        mean=None if processes.count == 1 else processes.mean,
        before_step=recipe.freezing.build(
            backbone.first_stages, backbone.num_stages, budget, stopwatch
        ),
    )


def _loader(training: MovingParts, budget: Budget, stopwatch: Stopwatch) -> Loader:
    recipe = training.recipe

    def is_mixing(step: int) -> bool:
        # Of a budget in steps a matter of the step alone, so that a resumed run mixes alike.
        mixing_share = 1 - recipe.augmentation.close_mixing
        return budget.progress(step, stopwatch.seconds) < mixing_share

    return Loader(
        training.parts.train,
        batch_size=recipe.batch_size,
        short_side=recipe.model.short_side,
        long_side=recipe.model.long_side,
        fixed_size=recipe.model.fixed_size,
        augmentation=recipe.augmentation,
        before_resize=training.before_resize,
        is_mixing=is_mixing,
        seed=recipe.seed,
        num_workers=recipe.num_workers,
        part=(training.processes.rank, training.processes.count),
        start_step=training.point.step,
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
