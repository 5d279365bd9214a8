"""Before a long run: can this training learn one batch by heart? `maskwright train --sanity`.

A network that cannot overfit a few pictures will not learn many, whatever the reason: a learning
rate that is too high or too low, objects that vanish in the resize, wrong classes. It takes a
minute to find out here and hours to find out from a run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

import numpy as np
import torch

from maskwright.data import Dataset, Loader
from maskwright.devices import choose_device
from maskwright.errors import ConfigError, DataError, TrainingError
from maskwright.recipes.moving_parts import MovingParts, Parts, trial_parts
from maskwright.recipes.opened_parts import open_parts
from maskwright.recipes.overfit_hints import hints_of
from maskwright.recipes.recipe import Recipe
from maskwright.recipes.refinding import Refound, refind
from maskwright.recipes.run_request import RunRequest
from maskwright.recipes.training_check import FALLEN, TrainingCheck
from maskwright.structures import Batch
from maskwright.training import (
    StepReport,
    choose_display,
    choose_precision,
    fit,
    num_processes,
)

__all__ = ["check_training"]

_MOST_PICTURES = 4
_WARMUP = 0.2
"""Share of the steps in which the rate rises: at full rate at once, few networks start."""

_LOOK_EVERY = 20
_WELL = 0.9
"""Where so much of the truth comes back, the check ends early."""

_AVERAGED = 3
_USUAL_RATE = {"sgd": 0.02, "adamw": 0.0005}
"""Rates at which networks of any of our parts learn a batch; tried first where another does not."""


@dataclass(frozen=True, kw_only=True)
class _Overfit:
    """What the steps on one batch led to."""

    reports: Sequence[StepReport]
    refound: Refound | None
    failure: str | None


def check_training(
    request: RunRequest | str | Path,
    *,
    num_steps: int = 80,
    seconds: float = 120.0,
    device: str | None = None,
    quiet: bool = False,
) -> TrainingCheck:
    """Overfit one batch as the run would train, and say whether that works.

    The pictures are up to four training pictures that hold as many classes as they can, taken as
    they are, without augmentation. Network, starting weights, optimiser and clipping are the
    run's; the learning rate rises in the first fifth of the steps and then stays. Nothing is
    written.

    Args:
        request: What will be trained; annotations alone stand for a request of nothing else.
        num_steps: Steps at most; fewer where the objects come back earlier.
        seconds: Wall clock of the steps at most. Where the loss does not fall, other learning
            rates are tried for as long again.
        device: As for `train`.
        quiet: Show no progress.

    Raises:
        DataError: The training pictures hold no objects.
        ConfigError: As for `train`, no steps, or several processes.
    """
    if not isinstance(request, RunRequest):
        request = RunRequest(data=request)
    if num_steps < 1 or not seconds > 0:
        raise ConfigError(f"num_steps and seconds must be over 0, got {num_steps} and {seconds}")
    if num_processes() > 1:
        raise ConfigError("the check overfits one batch in one process: start it without torchrun")
    started = monotonic()
    chosen_device = choose_device(device)
    parts = open_parts(request.source())
    recipe = request.choose(parts, chosen_device)
    pictures = choose_pictures(parts.train, min(recipe.batch_size, _MOST_PICTURES))
    batch = _load(pictures.with_pixels(recipe.model.pixels), recipe)
    few = replace(parts, train=pictures)
    result = _overfit(few, recipe, batch, chosen_device, num_steps, seconds, quiet=quiet)
    first, last = _ends(result.reports)
    check = TrainingCheck(
        pictures=batch.names,
        steps=len(result.reports),
        seconds=0.0,
        first=first,
        last=last,
        refound=result.refound or Refound(num_objects=0, num_found=0, share=0.0),
        failure=result.failure,
    )
    if not check.loss_falls:
        rates = _try_rates(few, recipe, batch, chosen_device, num_steps // 2, seconds / 3)
        check = replace(check, rates=rates)
    hints = () if check.passed else hints_of(check, recipe, batch, pictures, seconds, num_steps)
    return replace(check, hints=hints, seconds=monotonic() - started)


def choose_pictures(dataset: Dataset, count: int) -> Dataset:
    """Return up to `count` pictures with objects that hold as many classes as they can.

    Of those that bring equally many new classes, the one whose number of objects is nearest to
    the median, so that neither a crowd nor a lonely object decides.

    Raises:
        DataError: No picture has an object.
    """
    solid = ~(dataset.is_crowd | dataset.is_empty)
    has_class = np.zeros((len(dataset), len(dataset.class_names)), bool)
    has_class[dataset.object_image[solid], dataset.labels[solid]] = True
    counts = np.bincount(dataset.object_image[solid], minlength=len(dataset))
    waiting = np.flatnonzero(counts)
    if not len(waiting):
        raise DataError(
            f"{dataset!r}: the training pictures hold no objects to learn (crowds and objects "
            "without pixels do not count): look at the data with maskwright data check"
        )
    distance = np.abs(counts - np.median(counts[waiting]))
    chosen: list[int] = []
    while len(waiting) and len(chosen) < count:
        known = has_class[chosen].any(axis=0)
        news = (has_class[waiting] & ~known).sum(axis=1)
        best = waiting[np.lexsort((waiting, distance[waiting], -news))[0]]
        chosen.append(int(best))
        waiting = waiting[waiting != best]
    return dataset.subset(sorted(chosen))


def _load(pictures: Dataset, recipe: Recipe) -> Batch:
    loader = Loader(
        pictures,
        batch_size=len(pictures),
        short_side=recipe.model.short_side,
        long_side=recipe.model.long_side,
        fixed_size=recipe.model.fixed_size,
        size_divisor=recipe.model.size_multiple,
        shuffle=False,
        epochs=1,
    )
    return next(iter(loader))


def _overfit(
    parts: Parts,
    recipe: Recipe,
    batch: Batch,
    device: torch.device,
    num_steps: int,
    seconds: float,
    *,
    quiet: bool,
) -> _Overfit:
    """Take the steps; stop early when time is up or nearly everything comes back."""
    reports: list[StepReport] = []
    refound = None
    with (
        trial_parts(parts, replace(recipe, ema_decay=None), device) as training,
        choose_display(num_steps=num_steps, quiet=quiet) as display,
    ):
        started = monotonic()
        try:
            for report in _steps(training, batch, num_steps):
                reports.append(report)
                spent = max(report.step / num_steps, (monotonic() - started) / seconds)
                display.step(report, min(spent, 1.0))
                if spent >= 1:
                    break
                if report.step % _LOOK_EVERY == 0 and training.task.is_finished:
                    refound = refind(training.model, parts.train)
                    if refound.share >= _WELL and _has_fallen(reports):
                        return _Overfit(reports=reports, refound=refound, failure=None)
        except TrainingError as error:  # a loss that is not finite is what is looked for
            return _Overfit(reports=reports, refound=None, failure=str(error))
        if not training.task.is_finished:
            training.task.finish([batch])
        refound = refind(training.model, parts.train)
    return _Overfit(reports=reports, refound=refound, failure=None)


def _steps(training: MovingParts, batch: Batch, num_steps: int) -> Iterator[StepReport]:
    recipe = training.recipe
    precision = (
        choose_precision(training.device) if recipe.precision == "auto" else recipe.precision
    )
    return fit(
        training.model,
        _again(batch),
        training.optimizer,
        _rising(max(1, round(_WARMUP * num_steps))),
        num_steps=num_steps,
        clip_norm=recipe.clip_norm,
        precision=precision,
        device=training.device,
    )


def _again(batch: Batch) -> Iterator[Batch]:
    while True:
        yield batch


def _rising(num_steps: int) -> Callable[[int], float]:
    return lambda step: min(1.0, (step + 1) / num_steps)


def _ends(reports: Sequence[StepReport]) -> tuple[dict[str, float], dict[str, float]]:
    """Return the losses of the first steps and of the last ones, each a mean over a few."""
    few = max(1, min(_AVERAGED, len(reports) // 2))
    return _mean(reports[:few]), _mean(reports[-few:])


def _mean(reports: Sequence[StepReport]) -> dict[str, float]:
    names = list(reports[0].losses) if reports else []
    return {name: math.fsum(r.losses[name] for r in reports) / len(reports) for name in names}


def _has_fallen(reports: Sequence[StepReport]) -> bool:
    first, last = _ends(reports)
    return math.fsum(last.values()) <= FALLEN * math.fsum(first.values())


def _try_rates(
    parts: Parts,
    recipe: Recipe,
    batch: Batch,
    device: torch.device,
    num_steps: int,
    seconds: float,
) -> dict[float, float]:
    """Return to what share the loss comes at other rates, up to the first at which it falls."""
    rate = recipe.optimizer.learning_rate
    ratios: dict[float, float] = {}
    for other in (_USUAL_RATE[recipe.optimizer.kind], 10 * rate, rate / 10):
        if other != rate and other not in ratios:
            ratios[other] = _ratio_at(other, parts, recipe, batch, device, num_steps, seconds)
            if ratios[other] <= FALLEN:
                break
    return ratios


def _ratio_at(
    rate: float,
    parts: Parts,
    recipe: Recipe,
    batch: Batch,
    device: torch.device,
    num_steps: int,
    seconds: float,
) -> float:
    """Return to what share the loss comes at this learning rate; infinite where it breaks."""
    optimizer = replace(recipe.optimizer, learning_rate=rate)
    changed = replace(recipe, optimizer=optimizer, ema_decay=None)
    reports: list[StepReport] = []
    with trial_parts(parts, changed, device) as training:
        started = monotonic()
        try:
            for report in _steps(training, batch, max(2, num_steps)):
                reports.append(report)
                if monotonic() - started >= seconds:
                    break
        except TrainingError:  # too high a rate: that is the answer
            return math.inf
    first, last = _ends(reports)
    return math.fsum(last.values()) / max(math.fsum(first.values()), 1e-9)
