"""A training run from data to a scored model: `maskwright train`, of either task.

RUN/config.json          the recipe and where the data came from
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
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.data import Dataset, PictureRule, group_pictures, open_dataset, split_dataset
from maskwright.devices import choose_device
from maskwright.errors import ConfigError, DataError, TrainingError
from maskwright.files import write_json
from maskwright.model import config_from_dict, config_to_dict
from maskwright.recipes.announcement import announce
from maskwright.recipes.augmenting import override_recipe
from maskwright.recipes.choose import choose_recipe, data_facts
from maskwright.recipes.recipe import Preset, Recipe, TaskName
from maskwright.recipes.run import Parts, TrainedRun, Validated, run_recipe
from maskwright.training import Processes, RunFolder, join_processes, num_restarts
from maskwright.transforms import Augmentation, Transform

__all__ = ["TrainedRun", "open_parts", "resume", "train"]


_FEWEST = 3


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
    """
    if groups and validation is not None:
        raise ConfigError("groups are for dividing the data, and validation pictures were given")
    if seed < 0:
        raise ConfigError(f"seed must be 0 or more, got {seed}")
    if num_restarts() and (Path(out) / "state.safetensors").is_file():
        return resume(out, device=device, quiet=quiet)
    source = {
        "data": str(Path(data).resolve()),
        "validation": None if validation is None else str(Path(validation).resolve()),
        "images": None if images is None else str(Path(images).resolve()),
        "seed": seed,
        "groups": [groups] if isinstance(groups, str) else list(groups),
        "follow_links": follow_links,
        "limit": limit,
    }
    chosen_device = choose_device(device)
    with join_processes(chosen_device) as processes:
        parts = open_parts(source)
        recipe = choose_recipe(
            data_facts(parts.train),
            pixels=parts.measure_pixels(pictures),
            task=task,
            model=model,
            backbone=backbone,
            preset=preset,
            weights=weights,
            num_steps=num_steps,
            minutes=minutes,
            seed=seed,
            has_gpu=chosen_device.type != "cpu",
            processes=processes.count,
        )
        recipe = processes.agree(override_recipe(recipe, overrides, augment=augment))
        if not quiet and processes.is_first:
            announce(parts, recipe)
        with _new_folder(out, processes) as folder:
            try:
                if processes.is_first:
                    config = {"recipe": config_to_dict(recipe), "source": source}
                    folder.write_config(config | {"transform": _name(transform)})
                    write_json(folder.path / "split.json", parts.image_ids())
                return run_recipe(
                    folder,
                    recipe,
                    parts,
                    chosen_device,
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
    device: str | None = None,
    on_validation: Callable[[Validated], None] | None = None,
    quiet: bool = False,
) -> TrainedRun:
    """Go on with a run that was stopped, from its last saved state.

    Args:
        run: The run folder.
        transform: The transform that the run was started with.
        device: As for `train`.
        on_validation: As for `train`.
        quiet: Show nothing.

    Raises:
        TrainingError: There is no run to resume, it is in use, its data has changed, or it was
            started with another transform.
    """
    chosen_device = choose_device(device)
    with join_processes(chosen_device) as processes, _old_folder(run, processes) as folder:
        config = folder.read_config()
        parts = open_parts(config["source"])
        _require_same_pictures(folder, parts, config["source"]["data"])
        if _name(transform) != config.get("transform"):
            raise TrainingError(
                f"the run in {run} was started with transform={config.get('transform')}, not "
                f"{_name(transform)}: resume(run, transform=...) with the same one"
            )
        return run_recipe(
            folder,
            config_from_dict(Recipe, config["recipe"]),
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


def open_parts(source: Mapping[str, Any]) -> Parts:
    """Open the data of a run and divide it, always alike for the same source.

    Args:
        source: "data", "validation", "images", "seed" and, if there are any, "groups" and
            "limit", each as `train` takes it.

    Raises:
        DataError: The data cannot be read, or has too few pictures or groups to split; the
            validation pictures have objects of classes that the others do not list.
        ConfigError: A rule for groups that is not one, or a limit below 1.
    """
    limit = source.get("limit")
    if limit is None:
        return _open_all(source)
    if limit < 1:
        raise ConfigError(f"limit must be 1 picture or more, got {limit}")
    parts = _open_all(source)
    return Parts(
        train=_drawn(parts.train, limit, source["seed"]),
        validation=_drawn(parts.validation, limit, source["seed"]),
        test=None if parts.test is None else _drawn(parts.test, limit, source["seed"]),
    )


def _drawn(dataset: Dataset, limit: int, seed: int) -> Dataset:
    """At most so many pictures, in the order of the dataset."""
    if limit >= len(dataset):
        return dataset
    return dataset.subset(np.sort(np.random.default_rng(seed).permutation(len(dataset))[:limit]))


def _open_all(source: Mapping[str, Any]) -> Parts:
    follow_links = source.get("follow_links", False)
    data = open_dataset(source["data"], images=source["images"], follow_links=follow_links)
    if source["validation"] is not None:
        # By name: the ids and the order of two files may differ.
        validation = open_dataset(source["validation"], follow_links=follow_links).with_classes(
            data.class_names, data.category_ids
        )
        return Parts(train=data, validation=validation, test=None)
    if len(data) < _FEWEST:
        raise DataError(
            f"{source['data']} has {len(data)} pictures, and {_FEWEST} or more are needed to make "
            "training, validation and test pictures of them: annotate more, or give validation"
        )
    rules = source.get("groups", ())  # runs from before there were groups do not state them
    groups = group_pictures(data, rules, source=source["data"]) if rules else None
    train_part, held_out, test = split_dataset(data, seed=source["seed"], groups=groups)
    return Parts(train=train_part, validation=held_out, test=test)
