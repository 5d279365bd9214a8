"""A training run from data to a scored model: `maskwright train`, of either task.

RUN/config.json          the recipe and where the data came from
RUN/started.json         options, every picture and its objects, versions: what resuming checks
RUN/split.json           image ids of the training, validation and test pictures
RUN/metrics.csv          losses by step and validation scores; RUN/curves.png draws them
RUN/best.safetensors     the model with the best validation mask AP, or mIoU
RUN/last.safetensors     the model of the last evaluation
RUN/state.safetensors    what resuming needs
RUN/proposals.json       with selective search: its recall; RUN/proposals/ keeps its boxes
RUN/samples.png          validation pictures, truth beside what the best model finds
RUN/scores.json          the best model's scores on validation and test pictures
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from maskwright.data import PictureRule
from maskwright.devices import choose_device
from maskwright.errors import TrainingError
from maskwright.files import write_json
from maskwright.model import config_from_dict, config_to_dict
from maskwright.recipes.announcement import announce
from maskwright.recipes.augmenting import override_recipe
from maskwright.recipes.auto_batch import AutoBatch
from maskwright.recipes.data_notes import require_learnable
from maskwright.recipes.opened_parts import open_parts
from maskwright.recipes.recipe import Preset, Recipe, TaskName
from maskwright.recipes.run import Parts, TrainedRun, Validated, run_recipe
from maskwright.recipes.run_record import RunRecord, difference_table, make_record
from maskwright.recipes.run_request import RunRequest
from maskwright.training import (
    Processes,
    RunFolder,
    is_first_process,
    join_processes,
    num_restarts,
)
from maskwright.transforms import Augmentation, Transform

__all__ = ["TrainedRun", "open_parts", "resume", "train", "train_recipe", "train_request"]


def train(
    data: str | Path,
    *,
    out: str | Path,
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
    seed: int = 0,
    augment: str | Augmentation | None = None,
    transform: Transform | None = None,
    overrides: Mapping[str, Any] | None = None,
    auto_batch: bool = False,
    memory: float | None = None,
    device: str | None = None,
    limit: int | None = None,
    follow_links: bool = False,
    on_validation: Callable[[Validated], None] | None = None,
    quiet: bool = False,
) -> TrainedRun:
    """Train a model on annotated pictures and score it; only `data` and `out` are needed.

    Args:
        data: The annotations, see `open_dataset`. Without `validation`, split 70/15/15 into
            training, validation and test pictures.
        out: The run folder to make.
        validation: Annotations of the validation pictures; all of `data` is then trained on.
            Their classes are matched by name.
        images: The folder of the pictures of `data`, if it is not where it is looked for.
        groups: Which pictures must not be divided, see `maskwright.data.groups`.
        task: "instances" finds objects; "semantic" gives every pixel a class, and the best model
            is the one with the best mean IoU.
        model: "detector+mask-head"; None for "faster-rcnn+mask-rcnn". Of the semantic task "fcn"
            or "deeplab"; None for the latter.
        backbone: "resnet18" to "resnet101" or a timm name; None by the preset.
        preset: "tiny", "fast" or "best"; None takes "best" with a GPU, else "fast".
        weights: Where the backbone starts: "none", "package", "download" or a file.
        pictures: What the model takes. "auto": RGB of 8 bits where that loses nothing but alpha,
            else all channels as they are stored (16 bits, floats, stacks), scaled by the mean and
            the standard deviation of each channel over the training pictures. "rgb": RGB of 8
            bits, see `read_image`; "stored": as stored, alpha too.
        num_steps: Length in optimiser steps; with neither this nor `minutes`, by the data.
        minutes: Length by the clock; whichever ends first.
        seed: Of the split, weights, order and augmentation.
        augment: What training pictures go through: "driving", "medical", "industrial", "aerial",
            "robust", "strong", "none", or an `Augmentation`; None for the recipe's own.
        transform: A transform of yours that every training picture goes through first, see
            docs/augmentation.md; `resume` must be given it again.
        overrides: Options of the recipe by dotted name, `{"model.short_side": 320}`.
        auto_batch: Before the run, measure steps, and take batches in pieces of as many pictures
            as memory has room for.
        memory: With `auto_batch`: gigabytes that the process may hold; None takes most of what is
            free.
        device: "cpu", "cuda", "mps"; None takes the best there is.
        limit: Take so many training pictures, and no more of validation and of test pictures, all
            drawn by the seed; None takes all.
        follow_links: Follow links out of the data's folder, as for `open_dataset`.
        on_validation: Told of each validation during the run, see `run_recipe`.
        quiet: Show nothing; otherwise the import report, the recipe and the progress go to
            standard error.

    Raises:
        DataError: The data cannot be read, or has too few pictures or groups to split, or
            `validation` has objects of other classes.
        ConfigError: An unknown or impossible option.
        TrainingError: The folder is not empty, or training went wrong (non-finite losses).
        OutOfMemoryError: A step needs more memory than there is; the message names what fits.
    """
    request = RunRequest(
        data=data,
        validation=validation,
        images=images,
        groups=groups,
        follow_links=follow_links,
        task=task,
        model=model,
        backbone=backbone,
        preset=preset,
        weights=weights,
        pictures=pictures,
        num_steps=num_steps,
        minutes=minutes,
        seed=seed,
        augment=augment,
        overrides=overrides,
        auto_batch=auto_batch,
        memory=memory,
        limit=limit,
    )
    return train_request(
        request,
        out=out,
        transform=transform,
        device=device,
        on_validation=on_validation,
        quiet=quiet,
    )


def train_request(
    request: RunRequest,
    *,
    out: str | Path,
    transform: Transform | None = None,
    device: str | None = None,
    on_validation: Callable[[Validated], None] | None = None,
    quiet: bool = False,
) -> TrainedRun:
    """Train as asked; the arguments and the errors are those of `train`."""
    if num_restarts() and (Path(out) / "state.safetensors").is_file():
        return resume(out, device=device, on_validation=on_validation, quiet=quiet)
    chosen_device = choose_device(device)
    with join_processes(chosen_device) as processes:
        source = request.source()
        parts = open_parts(source)
        require_learnable(parts)
        recipe = request.choose(parts, chosen_device, processes=processes.count)
        measured = None
        if processes.is_first:
            recipe, measured = request.fit_to_memory(
                recipe, parts, chosen_device, processes=processes.count
            )
        return train_recipe(
            processes.agree(recipe),
            source,
            parts,
            out,
            chosen_device,
            processes=processes,
            measured=measured,
            transform=transform,
            on_validation=on_validation,
            quiet=quiet,
        )


def train_recipe(
    recipe: Recipe,
    source: Mapping[str, Any],
    parts: Parts,
    out: str | Path,
    device: torch.device,
    *,
    processes: Processes | None = None,
    measured: AutoBatch | None = None,
    transform: Transform | None = None,
    on_validation: Callable[[Validated], None] | None = None,
    quiet: bool = False,
) -> TrainedRun:
    """Do what a recipe says in a new run folder, which `resume` goes on with.

    Args:
        recipe: What to do.
        source: Where the data came from, see `open_parts`.
        parts: The data.
        out: The run folder to make.
        device: Where to train.
        processes: Those that take each step together; None for this one alone.
        measured: What was found of memory, to be announced.
        transform: What every training picture goes through first.
        on_validation: Told of each validation during the run, see `run_recipe`.
        quiet: Show nothing.

    Raises:
        TrainingError: The folder is not empty, or training went wrong.
        OutOfMemoryError: A step needs more memory than there is.
    """
    processes = processes or Processes()
    if not quiet and processes.is_first:
        announce(parts, recipe, measured)
    with _new_folder(out, processes) as folder:
        try:
            if processes.is_first:
                config = _config(recipe, source, transform)
                folder.write_config(config)
                make_record(config, parts, device, processes.count).write(folder.path)
                write_json(folder.path / "split.json", parts.image_ids())
            return run_recipe(
                folder,
                recipe,
                parts,
                device,
                processes=processes,
                before_resize=transform,
                on_validation=on_validation,
                quiet=quiet,
            )
        except BaseException:
            # Nothing to resume, and a second try must find the folder as the first one did.
            if processes.is_first and not folder.state_path.exists():
                folder.discard()
            raise


def resume(
    run: str | Path,
    *,
    transform: Transform | None = None,
    overrides: Mapping[str, Any] | None = None,
    device: str | None = None,
    on_validation: Callable[[Validated], None] | None = None,
    quiet: bool = False,
) -> TrainedRun:
    """Go on with a run that was stopped, from its last saved state.

    Args:
        run: The run folder.
        transform: The transform that the run was started with.
        overrides: Options of the recipe by dotted name. `num_workers`, `pictures_at_once` and
            `loggers` may differ from those of the run; others only say what is expected of it.
        device: As for `train`.
        on_validation: As for `train`.
        quiet: Show nothing.

    Raises:
        TrainingError: There is no run to resume, it is in use, or its options, transform,
            pictures or objects are not those it was started with; the message shows each
            difference.
    """
    chosen_device = choose_device(device)
    with join_processes(chosen_device) as processes, _old_folder(run, processes) as folder:
        config = folder.read_config()
        parts = open_parts(config["source"])
        recipe = override_recipe(config_from_dict(Recipe, config["recipe"]), overrides)
        if _name(transform) != config.get("transform"):
            raise TrainingError(
                f"the run in {run} was started with transform={config.get('transform')}, not "
                f"{_name(transform)}: resume(run, transform=...) with the same one"
            )
        wanted = _config(recipe, config["source"], transform)
        _require_unchanged(
            folder, make_record(wanted, parts, chosen_device, processes.count), quiet=quiet
        )
        _require_same_pictures(folder, parts, config["source"]["data"])
        processes.wait()  # the others have read what the first may now write anew
        if processes.is_first and wanted["recipe"] != config["recipe"]:
            folder.write_config(wanted)
        return run_recipe(
            folder,
            recipe,
            parts,
            chosen_device,
            processes=processes,
            before_resize=transform,
            is_resumed=True,
            on_validation=on_validation,
            quiet=quiet,
        )


def _new_folder(out: str | Path, processes: Processes) -> RunFolder:
    """Let the first process make the folder, and the others follow once it is made."""
    folder = RunFolder.create(out, is_restarted=num_restarts() > 0) if processes.is_first else None
    processes.wait()
    return folder or RunFolder.follow(out)


def _old_folder(run: str | Path, processes: Processes) -> RunFolder:
    folder = RunFolder.resume(run) if processes.is_first else None
    processes.wait()
    return folder or RunFolder.follow(run)


def _config(
    recipe: Recipe, source: Mapping[str, Any], transform: Transform | None
) -> dict[str, Any]:
    """What `config.json` holds."""
    options = {"recipe": config_to_dict(recipe), "source": dict(source)}
    return options | {"transform": _name(transform)}


def _require_unchanged(folder: RunFolder, now: RunRecord, *, quiet: bool) -> None:
    """Refuse to go on with other options or data; tell of other versions and machines."""
    record = RunRecord.read(folder.path)
    if record is None:  # a run from before there were records
        return
    if changes := record.changes(now):
        raise TrainingError(
            f"the run in {folder.path} was started with something else:\n"
            f"{difference_table(changes)}\n"
            "resume it as it was started (restore what has changed), or start a new run"
        )
    if not quiet and is_first_process() and (moves := record.moves(now)):
        print(  # noqa: T201
            "the run goes on, but not to the same bits as without the stop:\n"
            f"{difference_table(moves)}",
            file=sys.stderr,
        )


def _require_same_pictures(folder: RunFolder, parts: Parts, data: str) -> None:
    saved = json.loads((folder.path / "split.json").read_text(encoding="utf-8"))
    if parts.image_ids() != saved:
        raise TrainingError(
            f"the pictures of {data} are not those the run in {folder.path} was "
            "started with: restore the data, or start a new run"
        )


def _name(transform: Transform | None) -> str | None:
    """What a run's config says of the user's transform."""
    if transform is None:
        return None
    return getattr(transform, "__qualname__", type(transform).__qualname__)
