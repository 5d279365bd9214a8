"""A training run from data to a scored model: `maskwright train`, of either task.

RUN/config.json          the recipe and where the data came from
RUN/split.json           image ids of the training, validation and test pictures
RUN/metrics.csv          losses by step and validation scores
RUN/best.safetensors     the model with the best validation mask AP, or mIoU
RUN/last.safetensors     the model of the last evaluation
RUN/state.safetensors    what resuming needs
RUN/proposals.json       with selective search: its recall; RUN/proposals/ keeps its boxes
RUN/scores.json          the best model's scores on validation and test pictures
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maskwright.data import PictureRule, open_dataset, split_dataset
from maskwright.devices import choose_device
from maskwright.errors import ConfigError, DataError, TrainingError
from maskwright.files import write_json
from maskwright.model import apply_overrides, config_from_dict, config_to_dict
from maskwright.recipes.announcement import announce
from maskwright.recipes.choose import choose_recipe, data_facts
from maskwright.recipes.recipe import Preset, Recipe, TaskName
from maskwright.recipes.run import Parts, TrainedRun, run_recipe
from maskwright.training import RunFolder

__all__ = ["TrainedRun", "open_parts", "resume", "train"]


_FEWEST = 3


def train(
    data: str | Path,
    *,
    out: str | Path,
    validation: str | Path | None = None,
    images: str | Path | None = None,
    task: TaskName = "instances",
    model: str | None = None,
    backbone: str | None = None,
    preset: Preset | None = None,
    weights: str | None = None,
    pictures: PictureRule = "auto",
    num_steps: int | None = None,
    minutes: float | None = None,
    seed: int = 0,
    overrides: Mapping[str, Any] | None = None,
    device: str | None = None,
    follow_links: bool = False,
    quiet: bool = False,
) -> TrainedRun:
    """Train a model on annotated pictures and score it; only `data` and `out` are needed.

    Args:
        data: The annotations, see `open_dataset`. Without `validation`, split 70/15/15 into
            training, validation and test pictures.
        out: The run folder to make.
        validation: Annotations of the validation pictures; all of `data` is then trained on.
        images: The folder of the pictures of `data`, if it is not where it is looked for.
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
        overrides: Options of the recipe by dotted name, `{"model.short_side": 320}`.
        device: "cpu", "cuda", "mps"; None takes the best there is.
        follow_links: Follow links out of the data's folder, as for `open_dataset`.
        quiet: Show nothing; otherwise the import report, the recipe and the progress go to
            standard error.

    Raises:
        DataError: The data cannot be read, or has too few pictures to split.
        ConfigError: An unknown or impossible option.
        TrainingError: The folder is not empty, or training went wrong (non-finite losses).
    """
    chosen_device = choose_device(device)
    if seed < 0:
        raise ConfigError(f"seed must be 0 or more, got {seed}")
    source = {
        "data": str(Path(data).resolve()),
        "validation": None if validation is None else str(Path(validation).resolve()),
        "images": None if images is None else str(Path(images).resolve()),
        "seed": seed,
        "follow_links": follow_links,
    }
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
    )
    recipe = apply_overrides(recipe, overrides or {})
    if not quiet:
        announce(parts, recipe)
    with RunFolder.create(out) as folder:
        try:
            folder.write_config({"recipe": config_to_dict(recipe), "source": source})
            write_json(folder.path / "split.json", parts.image_ids())
            return run_recipe(folder, recipe, parts, chosen_device, quiet=quiet)
        except BaseException:
            # Nothing to resume, and a second try must find the folder as the first one did.
            if not folder.state_path.exists():
                folder.discard()
            raise


def resume(run: str | Path, *, device: str | None = None, quiet: bool = False) -> TrainedRun:
    """Go on with a run that was stopped, from its last saved state.

    Args:
        run: The run folder.
        device: As for `train`.
        quiet: Show nothing.

    Raises:
        TrainingError: There is no run to resume, it is in use, or its data has changed.
    """
    with RunFolder.resume(run) as folder:
        config = folder.read_config()
        parts = open_parts(config["source"])
        saved = json.loads((folder.path / "split.json").read_text(encoding="utf-8"))
        if parts.image_ids() != saved:
            raise TrainingError(
                f"the pictures of {config['source']['data']} are not those the run in {run} was "
                "started with: restore the data, or start a new run"
            )
        recipe = config_from_dict(Recipe, config["recipe"])
        return run_recipe(
            folder, recipe, parts, choose_device(device), is_resumed=True, quiet=quiet
        )


def open_parts(source: Mapping[str, Any]) -> Parts:
    """Open the data of a run and divide it, always alike for the same source.

    Args:
        source: "data", "validation", "images" and "seed", each as `train` takes it.

    Raises:
        DataError: The data cannot be read, or has too few pictures to split.
    """
    follow_links = source.get("follow_links", False)
    data = open_dataset(source["data"], images=source["images"], follow_links=follow_links)
    if source["validation"] is not None:
        validation = open_dataset(source["validation"], follow_links=follow_links)
        return Parts(train=data, validation=validation, test=None)
    if len(data) < _FEWEST:
        raise DataError(
            f"{source['data']} has {len(data)} pictures, and {_FEWEST} or more are needed to make "
            "training, validation and test pictures of them: annotate more, or give validation"
        )
    train_part, held_out, test = split_dataset(data, seed=source["seed"])
    return Parts(train=train_part, validation=held_out, test=test)
