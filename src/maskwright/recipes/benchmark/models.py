"""From what a user names as a model to a file that every side can open."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from maskwright.errors import CheckpointError, ConfigError
from maskwright.inference.export.folder import is_exported
from maskwright.inference.hub import HUB_PREFIX, download_model
from maskwright.inference.loading import model_file
from maskwright.model import (
    InstanceSegmenter,
    Model,
    load_checkpoint,
    load_torchvision,
    save_checkpoint,
    torchvision_names,
)
from maskwright.model.torchvision_rcnn import RCNN_MODELS
from maskwright.model.torchvision_ssd import SSD_MODELS
from maskwright.recipes.benchmark.random_models import finding_objects, with_options
from maskwright.recipes.choose import DataFacts, choose_recipe
from maskwright.recipes.recipe import Preset, TaskName

__all__ = ["BenchModel", "open_bench_model"]

_TORCHVISION = "torchvision/"
_COCO_CLASSES = 90
_OBJECTS = 30
"""That a random model finds, where nothing else is asked for."""

_FACTS = DataFacts(
    num_images=1000,
    short_side=480,
    aspect=4 / 3,
    small_object=24.0,
    large_object=240.0,
    most_objects=50,
)
"""Of data that a recipe is chosen for where there is none: COCO's, about."""

_FROZEN: Final = ("maskrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn")
"""Networks whose official weights are of frozen batch norms."""


@dataclass(frozen=True, kw_only=True)
class BenchModel:
    """A model to be measured.

    Args:
        name: As the user named it.
        path: A file or folder that `load` takes.
        model: The model in memory; None of an exported folder.
        is_random: Whether it has no weights that anybody trained.
    """

    name: str
    path: str
    model: Model | None
    is_random: bool = False

    @property
    def is_exported(self) -> bool:
        """Whether it is a folder of graphs."""
        return self.model is None


def open_bench_model(
    name: str | os.PathLike[str],
    folder: Path,
    picture: np.ndarray,
    *,
    weights: str | os.PathLike[str] | None = None,
    detections: int | None = None,
    preset: Preset | None = None,
) -> BenchModel:
    """Open a model by name and write it where every side finds it.

    Args:
        name: As for `load`; or "torchvision/NAME" without weights, or "detector+mask-head",
            "detector+mask-head@backbone", "deeplab" or "fcn" as `train` names models: those have
            random weights, with which they find about as many objects as are asked for.
        folder: Where a changed or random model is written.
        picture: (h, w, 3) uint8, on which random scores are spread.
        weights: Of a torchvision network, as for `load`.
        detections: Objects found in a picture at most; None leaves a model as it is.
        preset: Of a model with random weights, as for `train`.

    Raises:
        CheckpointError: No such file, or a damaged one.
        ConfigError: An unknown name, or an option that the model cannot take.
    """
    text = os.fspath(name)
    if detections is not None and detections < 1:
        raise ConfigError(f"--detections must be 1 or more, got {detections}")
    if is_exported(text):
        if detections is not None:
            raise ConfigError(
                f"{text} is exported, and what it finds at most is fixed: leave --detections out"
            )
        return BenchModel(name=text, path=text, model=None)
    if weights is not None and not text.startswith(_TORCHVISION):
        raise ConfigError(f"--weights is of torchvision/NAME models, and {text} is none")
    torch.manual_seed(0)
    overrides = {} if detections is None else {"detector.detections_per_image": detections}
    if text.startswith(_TORCHVISION) and weights is not None:
        model: Model = load_torchvision(
            text.removeprefix(_TORCHVISION), weights, overrides=overrides
        )
        return _kept(text, folder, model)
    if _is_file(text):
        path = download_model(text) if text.startswith(HUB_PREFIX) else model_file(text)
        model = load_checkpoint(path, device="cpu")
        if not overrides:
            return BenchModel(name=text, path=os.fspath(path), model=model)
        _require_objects(model, text)
        return _kept(text, folder, with_options(model, overrides))
    model = _untrained(text, preset)
    if detections is not None:
        _require_objects(model, text)
    model = finding_objects(model, picture, detections or _OBJECTS)
    return replace(_kept(text, folder, model), is_random=True)


def _is_file(text: str) -> bool:
    return text.startswith(HUB_PREFIX) or Path(text).exists()


def _require_objects(model: Model, name: str) -> None:
    if not isinstance(model, InstanceSegmenter):
        raise ConfigError(
            f"{name} is a semantic model and finds no objects: leave --detections out"
        )


def _kept(name: str, folder: Path, model: Model) -> BenchModel:
    path = folder / "model.safetensors"
    save_checkpoint(model, path)
    return BenchModel(name=name, path=str(path), model=model)


def _untrained(text: str, preset: Preset | None) -> Model:
    """Return a model as it is built, by the name of its architecture."""
    if text.startswith(_TORCHVISION):
        return _untrained_torchvision(text.removeprefix(_TORCHVISION))
    pair, _, backbone = text.partition("@")
    tasks: Mapping[str, TaskName] = {"deeplab": "semantic", "fcn": "semantic"}
    if "+" not in pair and pair not in tasks:
        raise CheckpointError(
            f"there is no model {text}: give a model file, a run folder, an exported folder, "
            "torchvision/NAME, or detector+mask-head, such as faster-rcnn+mask-rcnn@resnet50, for "
            "random weights"
        )
    recipe = choose_recipe(
        _FACTS,
        task=tasks.get(pair, "instances"),
        model=pair,
        backbone=backbone or None,
        preset=preset,
        weights="none",
    )
    return recipe.model.build(("object",))


def _untrained_torchvision(name: str) -> Model:
    known: Mapping[str, Any] = RCNN_MODELS | SSD_MODELS
    if name not in known:
        raise ConfigError(
            f"no torchvision model {name!r} to measure with random weights; there are "
            f"{', '.join(torchvision_names())}"
        )
    config: InstanceSegmenter.Config = known[name].config
    if name in _FROZEN:
        backbone: Any = config.backbone
        config = replace(
            config,
            backbone=replace(backbone, norm="frozen_batch", norm_eps=known[name].frozen_eps),
        )
    return config.build([f"class {label + 1}" for label in range(_COCO_CLASSES)])
