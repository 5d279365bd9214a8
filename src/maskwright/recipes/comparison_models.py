"""One model of a comparison: checked, trained and scored like all others."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.backbones import BackboneConfig, ResNet, Timm
from maskwright.data import Dataset
from maskwright.evaluation import bootstrap_interval, evaluate
from maskwright.inference import Predictor
from maskwright.inference.peak_memory import peak_memory
from maskwright.model import InstanceSegmenter
from maskwright.recipes.augmenting import override_recipe
from maskwright.recipes.choose import choose_recipe, data_facts
from maskwright.recipes.class_counts import with_class_counts
from maskwright.recipes.comparison_folder import fingerprint
from maskwright.recipes.contestants import Contestant
from maskwright.recipes.costs import count_gflops, count_parameters
from maskwright.recipes.proposals import proposals_sentence
from maskwright.recipes.recipe import Preset
from maskwright.recipes.recommendation import ComparedModel
from maskwright.recipes.run import Parts, TrainedRun
from maskwright.recipes.scoring import predict_dataset
from maskwright.recipes.training_runs import open_parts, resume, train

__all__ = [
    "CommonOptions",
    "check_contestant",
    "comparison_config",
    "deciding_pictures",
    "open_pictures",
    "score_contestant",
    "train_contestant",
]

_MOST_MEASURED = 3
"""Largest test pictures predicted for the peak of memory."""


@dataclass(frozen=True, kw_only=True)
class CommonOptions:
    """What all models of a comparison have in common.

    Args:
        validation: As for `train`, and so are the others.
        images: Folder of the pictures.
        preset: For every model.
        weights: For every backbone.
        minutes: Budget of each training.
        seed: Of everything random.
        overrides: Of every recipe.
        device: The chosen one, as torch names it.
    """

    validation: str | Path | None
    images: str | Path | None
    preset: Preset | None
    weights: str | None
    minutes: float
    seed: int
    overrides: Mapping[str, Any]
    device: str


def open_pictures(data: str | Path, options: CommonOptions) -> Parts:
    """Open and divide the pictures as every training of the comparison will.

    Raises:
        DataError: The data cannot be read, or has too few pictures.
    """
    places = {"data": data, "validation": options.validation, "images": options.images}
    parts = open_parts({**places, "seed": options.seed})
    return parts.with_pixels(parts.measure_pixels("auto"))


def deciding_pictures(parts: Parts) -> Dataset:
    """Return the pictures that models are scored and timed on: test, or else validation."""
    return parts.validation if parts.test is None else parts.test


def check_contestant(one: Contestant, parts: Parts, options: CommonOptions) -> None:
    """Build the model once, so that what is impossible is said before anything is trained.

    Raises:
        ConfigError: An unknown part or option, or parts that do not fit.
    """
    recipe = choose_recipe(
        data_facts(parts.train),
        pixels=parts.train.pixels,
        model=one.pair,
        backbone=one.backbone,
        preset=options.preset,
        weights=options.weights,
        minutes=options.minutes,
        seed=options.seed,
        has_gpu=options.device != "cpu",
    )
    recipe = with_class_counts(override_recipe(recipe, options.overrides), parts.train)
    recipe.model.build(parts.train.class_names)


def comparison_config(data: str | Path, options: CommonOptions, parts: Parts) -> dict[str, Any]:
    """Return what must be the same for results to be comparable."""
    return {
        "data": str(Path(data).resolve()),
        "validation": options.validation and str(Path(options.validation).resolve()),
        "pictures_and_objects": fingerprint(parts),
        "seed": options.seed,
        "budget_minutes": options.minutes,
        "preset": options.preset,
        "weights": options.weights,
        "overrides": dict(options.overrides),
        "device": options.device,
    }


def train_contestant(
    data: str | Path, one: Contestant, folder: Path, options: CommonOptions, *, quiet: bool
) -> TrainedRun:
    """Train one model, or go on with it where it was stopped."""
    if (folder / "state.safetensors").is_file():
        return resume(folder, device=options.device, quiet=quiet)
    if folder.is_dir():
        shutil.rmtree(folder)  # stopped before anything was saved
    return train(
        data,
        out=folder,
        validation=options.validation,
        images=options.images,
        model=one.pair,
        backbone=one.backbone,
        preset=options.preset,
        weights=options.weights,
        minutes=options.minutes,
        seed=options.seed,
        overrides=options.overrides,
        device=options.device,
        quiet=quiet,
    )


def score_contestant(
    one: Contestant, run: TrainedRun, parts: Parts, options: CommonOptions
) -> ComparedModel:
    """Score a trained model on the pictures that decide, and measure what it costs alone."""
    assert isinstance(run.model, InstanceSegmenter), "contestants find objects"
    test = deciding_pictures(parts)
    found = list(predict_dataset(Predictor(run.model), test))
    metrics = evaluate(found, test, kinds=("bbox", "segm", "boundary"))
    interval = bootstrap_interval(
        found, test, max_detections=metrics.max_detections, seed=options.seed
    )
    by_size = np.argsort(test.sizes.prod(axis=1), kind="stable")
    largest = [test.image_path(i) for i in by_size[-_MOST_MEASURED:].tolist()]
    model_file = run.path / "best.safetensors"
    memory = peak_memory(model_file, largest, device=options.device)
    return ComparedModel(
        model=one.name,
        detector=one.detector,
        mask_head=one.mask_head,
        backbone=one.backbone or _backbone_name(run.recipe.model.backbone),
        mask_ap=metrics["segm"]["AP"],
        mask_ap_low=interval.low,
        mask_ap_high=interval.high,
        mask_ap50=metrics["segm"]["AP50"],
        boundary_ap=metrics["boundary"]["AP"],
        box_ap=metrics["bbox"]["AP"],
        peak_memory_mb=None if memory is None else round(memory.peak / 1e6, 1),
        parameters=count_parameters(run.model),
        gflops=round(count_gflops(run.model, test.image(int(by_size[len(test) // 2]))), 3),
        file_mb=round(model_file.stat().st_size / 1e6, 3),
        steps=run.steps,
        training_seconds=round(run.seconds, 1),
        run=f"models/{one.folder}",
        note="; ".join(filter(None, (interval.note, _proposals_note(run)))),
    )


def _proposals_note(run: TrainedRun) -> str:
    """Say what bounds a detector that leaves proposals to selective search."""
    path = run.path / "proposals.json"
    if not path.is_file():
        return ""
    return proposals_sentence(json.loads(path.read_text(encoding="utf-8")))


def _backbone_name(config: BackboneConfig) -> str:
    if isinstance(config, Timm.Config):
        return config.model
    if isinstance(config, ResNet.Config):
        return f"resnet{config.depth}"
    return config.kind.replace("_", "-")
