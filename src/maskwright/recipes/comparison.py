"""Train models alike on the same pictures and hold them against each other: `maskwright compare`.

OUT/config.json               what was compared, on what; the folder is resumed with the same only
OUT/models/NAME/              the run folder of each model
OUT/models/NAME/result.json   its scores: the model is finished and is not trained again
OUT/comparison.csv, .json     the table
OUT/comparison.md             the table with the recommendation and what the columns mean
OUT/comparison.png            speed against accuracy, with the Pareto front
OUT/samples.png               test pictures, truth beside every model

Models are trained one after the other, each with the same data, split, seed and wall-clock
budget. Times are measured at the end, of all models in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from maskwright.data import PictureRule
from maskwright.devices import choose_device
from maskwright.errors import TrainingError
from maskwright.files import write_json
from maskwright.inference import load
from maskwright.recipes.comparison_models import (
    check_contestant,
    comparable_config,
    comparison_config,
    deciding_pictures,
    open_pictures,
    score_contestant,
    train_contestant,
)
from maskwright.recipes.comparison_report import comparison_table, write_report
from maskwright.recipes.contestants import Contestant, parse_budget, parse_contestants
from maskwright.recipes.costs import time_in_turn
from maskwright.recipes.folder_of_runs import open_folder_of_runs, read_finished
from maskwright.recipes.recipe import Preset
from maskwright.recipes.recommendation import ComparedModel, Recommendation, recommend
from maskwright.recipes.run import Parts
from maskwright.recipes.run_request import RunRequest

if TYPE_CHECKING:
    from rich.console import Group

__all__ = ["ComparedModel", "Comparison", "compare"]

_MOST_TIMED = 40
"""Test pictures that are timed, evenly spread; the median of so many is steady."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What a comparison found.

    Args:
        path: The folder with everything.
        models: A row per model, highest mask AP first.
        recommendation: Which to take and why.
        failures: Name and reason of each model whose training failed.
        notes: What a reader must know about the numbers, in sentences, failures included.
    """

    path: Path
    models: tuple[ComparedModel, ...]
    recommendation: Recommendation
    failures: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    def to_table(self) -> Group:
        """Return the table, the recommendation and the notes, ready to be printed by rich."""
        return comparison_table(self.models, self.recommendation.reason, self.notes)


def compare(
    data: str | Path,
    *,
    models: str | Sequence[str],
    budget: str = "10m",
    out: str | Path,
    validation: str | Path | None = None,
    images: str | Path | None = None,
    groups: str | Sequence[str] = (),
    pictures: PictureRule = "auto",
    preset: Preset | None = None,
    weights: str | None = None,
    seed: int = 0,
    overrides: Mapping[str, Any] | None = None,
    device: str | None = None,
    say: Callable[[str], None] = lambda _: None,
    quiet: bool = False,
) -> Comparison:
    """Train models alike, score and time them, and recommend one.

    Called again with the same `out`, models that are finished are kept, a stopped one goes on,
    and models may be added or left out; the times of all are measured anew.

    Args:
        data: The annotations, see `open_dataset`. Without `validation`, split 70/15/15 into
            training, validation and test pictures; the test pictures decide.
        models: "detector+mask-head" or "detector+mask-head@backbone" each, as a list or with
            commas between them.
        budget: Wall clock of each training, such as "90s", "10m" or "1h".
        out: The folder to make, or that of a comparison to go on with.
        validation: Annotations of validation pictures, which then decide as well; all of `data`
            is trained on.
        images: The folder of the pictures of `data`, if it is not where it is looked for.
        groups: Which pictures must not be divided, as for `train`.
        pictures: What the models take, as for `train`.
        preset: As for `train`, for all models.
        weights: As for `train`, for all models.
        seed: Of split, weights, order, augmentation and bootstrap.
        overrides: Options of every recipe by dotted name; all models must have them.
        device: "cpu", "cuda", "mps"; None takes the best there is.
        say: Told what happens next, a line each.
        quiet: Hide reports and progress of the trainings.

    Raises:
        ConfigError: An unknown part or option, in any model; said before the first training.
        DataError: The data cannot be read, or has too few pictures to split.
        TrainingError: The folder belongs to another comparison (the message says what differs) or
            to something else, or no training went well.
    """
    contestants = parse_contestants(models)
    chosen_device = choose_device(device)
    request = RunRequest(
        data=data,
        validation=validation,
        images=images,
        groups=groups,
        pictures=pictures,
        preset=preset,
        weights=weights,
        minutes=parse_budget(budget),
        seed=seed,
        overrides=dict(overrides or {}),
    )
    parts = open_pictures(request)
    recipes = [check_contestant(one, parts, request, chosen_device) for one in contestants]
    config = comparison_config(request, parts, chosen_device)
    comparable = partial(comparable_config, recipes[0])
    with open_folder_of_runs(out, config, "comparison", comparable=comparable) as folder:
        finished: list[ComparedModel] = []
        failures: list[tuple[str, str]] = []
        for number, one in enumerate(contestants, start=1):
            step = partial(_say_of, say, f"{number}/{len(contestants)} {one.name}")
            try:
                finished.append(
                    _result(one, folder, parts, request, chosen_device, step, quiet=quiet)
                )
            except TrainingError as error:
                step(f"failed: {error}")
                failures.append((one.name, str(error)))
        if not finished:
            raise TrainingError(f"no training went well; {failures[0][0]}: {failures[0][1]}")
        say("timing the models in turn")
        return _conclude(folder, finished, failures, parts, request, chosen_device)


def _say_of(say: Callable[[str], None], subject: str, what: str) -> None:
    say(f"{subject}: {what}")


def _result(
    one: Contestant,
    folder: Path,
    parts: Parts,
    request: RunRequest,
    device: torch.device,
    say: Callable[[str], None],
    *,
    quiet: bool,
) -> ComparedModel:
    """Return the scores of one model, which is trained unless that is done already."""
    run_folder = folder / "models" / one.folder
    result = run_folder / "result.json"
    if result.is_file():
        say("finished before")
        return read_finished(result, ComparedModel, "model")
    say(f"training for {_length(request)}")
    run = train_contestant(one, run_folder, request, device, quiet=quiet)
    say("scoring")
    row = score_contestant(one, run, parts, seed=request.seed, device=device)
    write_json(result, row.as_dict())
    return row


def _conclude(
    folder: Path,
    finished: Sequence[ComparedModel],
    failures: Sequence[tuple[str, str]],
    parts: Parts,
    request: RunRequest,
    device: torch.device,
) -> Comparison:
    """Time the finished models in turn, recommend one and write the report."""
    test = deciding_pictures(parts)
    predictors = {
        one.model: load(folder / one.run / "best.safetensors", device=str(device))
        for one in finished
    }
    spread = np.linspace(0, len(test) - 1, min(len(test), _MOST_TIMED)).round().astype(int)
    ms = time_in_turn(predictors, [test.image_path(i) for i in spread.tolist()])
    timed = [replace(one, ms=round(ms[one.model], 2)) for one in finished]
    recommendation = recommend(timed)
    rows = [
        replace(
            one,
            is_on_front=one.model in recommendation.front,
            is_recommended=one.model == recommendation.model,
        )
        for one in sorted(timed, key=lambda one: (-one.mask_ap, one.ms))
    ]
    comparison = Comparison(
        path=folder,
        models=tuple(rows),
        recommendation=recommendation,
        failures=tuple(failures),
        notes=(
            *_notes(rows, parts, request, device, num_timed=len(spread)),
            *(f"{name} failed and is not in the table: {reason}" for name, reason in failures),
        ),
    )
    ordered = {one.model: predictors[one.model] for one in rows}
    write_report(folder, rows, recommendation, comparison.notes, test, ordered)
    return comparison


def _length(request: RunRequest) -> str:
    """Say the time of each training in words.

    >>> [_length(RunRequest(data="", minutes=each)) for each in (2 / 3, 1.5, 10.0)]
    ['40 seconds', '1.5 minutes', '10 minutes']
    """
    minutes = request.minutes or 0.0
    if round(minutes, 2) != minutes:
        return f"{60 * minutes:g} seconds"
    return f"{minutes:g} minutes"


def _notes(
    rows: Sequence[ComparedModel],
    parts: Parts,
    request: RunRequest,
    device: torch.device,
    *,
    num_timed: int,
) -> tuple[str, ...]:
    test = deciding_pictures(parts)
    which = "test pictures, which no choice was made on"
    if parts.test is None:
        which = "validation pictures, on which the best state of each training was chosen as well"
    notes = [
        f"Each model had {_length(request)} to train on {len(parts.train)} pictures, "
        f"seed {request.seed}, and was scored on {len(test)} {which}.",
        "The interval is a 95 % bootstrap interval over pictures; it does not hold how much "
        "another training run would differ.",
        f"ms is the median over {num_timed} pictures on {device}, from picture file to "
        "objects with masks, models measured in turn.",
        "Memory is the largest resident memory of a fresh process that loads the model and "
        "predicts, Python and its libraries included.",
        "GFLOPs are multiplications and additions of convolutions and matrix products on one "
        "picture.",
    ]
    return (*notes, *(f"{one.model}: {one.note}" for one in rows if one.note))
