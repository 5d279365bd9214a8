"""k-fold cross-validation: a run per fold, and the mean of their scores. `train --folds 5`.

OUT/config.json          what was asked for
OUT/fold-1 ...           a run folder per fold, as `train` leaves it; fold.json in it once finished
OUT/folds.json           scores by fold, mean, deviation and interval; written after every fold
OUT/folds.md             the same as a page

Pictures are divided as by `maskwright data split --folds` with the same seed and groups.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from maskwright.devices import choose_device
from maskwright.errors import ConfigError, TrainingError
from maskwright.files import atomic_write, write_json
from maskwright.model import config_from_dict, config_to_dict
from maskwright.recipes.augmenting import held_overrides
from maskwright.recipes.choose import data_facts
from maskwright.recipes.fold_scores import CrossValidation, FoldScores
from maskwright.recipes.folder_of_runs import fingerprint, open_folder_of_runs, read_finished
from maskwright.recipes.moving_parts import Parts
from maskwright.recipes.opened_parts import open_parts
from maskwright.recipes.recipe import Recipe
from maskwright.recipes.run import TrainedRun
from maskwright.recipes.run_request import RunRequest
from maskwright.recipes.training_runs import resume, train_request
from maskwright.training import num_processes
from maskwright.transforms import Transform

__all__ = ["cross_validate", "is_cross_validation", "resume_cross_validation"]


def cross_validate(
    request: RunRequest | str | Path,
    *,
    out: str | Path,
    folds: int = 5,
    transform: Transform | None = None,
    device: str | None = None,
    quiet: bool = False,
) -> CrossValidation:
    """Train once per fold and score each model on the fold it has not seen.

    Of the pictures outside the fold 15 % are held out as validation pictures, which choose the
    best model; classes and groups are spread as by `split_dataset`. Called again with the same
    `out`, finished folds are kept and a stopped one goes on.

    Args:
        request: What every fold trains; annotations alone stand for a request of nothing else.
        out: The folder to make, or that of a cross-validation to go on with.
        folds: How many, 2 or more.
        transform: As for `train`, for every fold.
        device: As for `train`.
        quiet: Show nothing.

    Raises:
        ConfigError: Fewer than two folds, validation pictures, or several processes.
        DataError: Fewer pictures or groups than folds.
        TrainingError: The folder holds something else, or a cross-validation of another request
            or other data (the message shows the differences), or a run went wrong.
    """
    if not isinstance(request, RunRequest):
        request = RunRequest(data=request)
    if num_processes() > 1:
        raise ConfigError("folds are trained one by one: start them without torchrun")
    if folds < 2:
        raise ConfigError(f"cross-validation takes 2 folds or more, got {folds}")
    first = open_parts(replace(request, fold=(1, folds)).source())
    recipe = request.recipe(data_facts(first.train), has_gpu=choose_device(device).type != "cpu")
    comparable = partial(_comparable, recipe)
    config = _config(request, folds, first)
    with open_folder_of_runs(out, config, "cross-validation", comparable=comparable) as path:
        finished: list[FoldScores] = []
        for number in range(1, folds + 1):
            if not quiet:
                print(f"fold {number} of {folds}", file=sys.stderr)  # noqa: T201
            folder = path / f"fold-{number}"
            if not (folder / "fold.json").is_file():
                fold = replace(request, fold=(number, folds))
                run = _train_fold(fold, folder, transform, device, quiet=quiet)
                write_json(folder / "fold.json", asdict(_scores(number, run, fold)))
            finished.append(read_finished(folder / "fold.json", FoldScores, "fold"))
            result = CrossValidation(path=path, num_folds=folds, folds=tuple(finished))
            _write(result, Path(request.data).name)
    return result


def is_cross_validation(path: str | Path) -> bool:
    """Whether the folder is that of a cross-validation, finished or not."""
    try:
        config = json.loads((Path(path) / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and "folds" in config and "request" in config


def resume_cross_validation(
    path: str | Path,
    *,
    transform: Transform | None = None,
    device: str | None = None,
    quiet: bool = False,
) -> CrossValidation:
    """Go on with the folds that are not finished.

    Raises:
        TrainingError: The folder is not of a cross-validation, or as for `cross_validate`.
    """
    if not is_cross_validation(path):
        raise TrainingError(f"{path} is not the folder of a cross-validation: nothing to resume")
    config = json.loads((Path(path) / "config.json").read_text(encoding="utf-8"))
    request = config_from_dict(RunRequest, config["request"])
    return cross_validate(
        request, out=path, folds=config["folds"], transform=transform, device=device, quiet=quiet
    )


def _config(request: RunRequest, folds: int, parts: Parts) -> dict[str, Any]:
    """Return what must be the same for the folds to belong together."""
    plain = config_to_dict(request.with_absolute_paths())
    return {"folds": folds, "request": plain, "pictures_and_objects": fingerprint(parts)}


def _comparable(recipe: Recipe, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config whose options are as the recipe holds them."""
    request = config["request"]
    held = held_overrides(recipe, request["overrides"])
    return {**config, "request": {**request, "overrides": held}}


def _train_fold(
    request: RunRequest,
    folder: Path,
    transform: Transform | None,
    device: str | None,
    *,
    quiet: bool,
) -> TrainedRun:
    """Train one fold, or go on with it where it was stopped."""
    if (folder / "state.safetensors").is_file():
        return resume(folder, transform=transform, device=device, quiet=quiet)
    if folder.is_dir():
        shutil.rmtree(folder)  # stopped before anything was saved
    return train_request(request, out=folder, transform=transform, device=device, quiet=quiet)


def _scores(number: int, run: TrainedRun, request: RunRequest) -> FoldScores:
    parts = open_parts(request.source())
    assert parts.test is not None
    assert run.test is not None
    return FoldScores(
        fold=number,
        run=run.path.name,
        pictures={name: len(ids) for name, ids in parts.image_ids().items()},
        test_objects=int((~parts.test.is_crowd).sum()),
        steps=run.steps,
        seconds=run.seconds,
        scores=run.test.as_dict(),
    )


def _write(result: CrossValidation, data_name: str) -> None:
    write_json(result.path / "folds.json", result.as_dict())
    with atomic_write(result.path / "folds.md") as partial:
        title = f"{result.num_folds} folds of {data_name}"
        partial.write_text(result.to_markdown(title), encoding="utf-8")
