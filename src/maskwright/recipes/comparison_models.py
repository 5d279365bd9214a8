"""One model of a comparison: checked, trained and scored like all others."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from maskwright.backbones import BackboneConfig, ResNet, Timm
from maskwright.data import Dataset
from maskwright.evaluation import bootstrap_interval, evaluate
from maskwright.inference import Predictor
from maskwright.inference.peak_memory import peak_memory
from maskwright.model import InstanceSegmenter
from maskwright.recipes.augmenting import held_overrides
from maskwright.recipes.choose import data_facts
from maskwright.recipes.class_counts import with_class_counts
from maskwright.recipes.contestants import Contestant
from maskwright.recipes.costs import count_gflops, count_parameters
from maskwright.recipes.folder_of_runs import fingerprint
from maskwright.recipes.proposals import proposals_sentence
from maskwright.recipes.recipe import Recipe
from maskwright.recipes.recommendation import ComparedModel
from maskwright.recipes.run import Parts, TrainedRun
from maskwright.recipes.run_request import RunRequest
from maskwright.recipes.scoring import predict_dataset
from maskwright.recipes.training_runs import open_parts, resume, train_request

__all__ = [
    "check_contestant",
    "comparable_config",
    "comparison_config",
    "deciding_pictures",
    "open_pictures",
    "score_contestant",
    "train_contestant",
]

_MOST_MEASURED = 3
"""Largest test pictures predicted for the peak of memory."""


def open_pictures(request: RunRequest) -> Parts:
    """Open and divide the pictures as every training of the comparison will.

    Raises:
        DataError: The data cannot be read, or has too few pictures.
    """
    parts = open_parts(request.source())
    return parts.with_pixels(parts.measure_pixels(request.pictures))


def deciding_pictures(parts: Parts) -> Dataset:
    """Return the pictures that models are scored and timed on: test, or else validation."""
    return parts.validation if parts.test is None else parts.test


def check_contestant(
    one: Contestant, parts: Parts, request: RunRequest, device: torch.device
) -> Recipe:
    """Build the model once, so that what is impossible is said before anything is trained.

    Raises:
        ConfigError: An unknown part or option, or parts that do not fit.
    """
    recipe = _of_contestant(one, request).recipe(
        data_facts(parts.train), pixels=parts.train.pixels, has_gpu=device.type != "cpu"
    )
    recipe = with_class_counts(recipe, parts.train)
    recipe.model.build(parts.train.class_names)
    return recipe


def comparison_config(request: RunRequest, parts: Parts, device: torch.device) -> dict[str, Any]:
    """Return what must be the same for results to be comparable."""
    source = request.source()
    return {
        "data": source["data"],
        "validation": source["validation"],
        "groups": source["groups"],
        "pictures": request.pictures,
        "pictures_and_objects": fingerprint(parts),
        "seed": request.seed,
        "budget_minutes": request.minutes,
        "preset": request.preset,
        "weights": request.weights,
        "overrides": dict(request.overrides or {}),
        "device": str(device),
    }


def comparable_config(recipe: Recipe, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config whose options are as a contestant's recipe holds them.

    Folders from before there were groups and stored pictures do not state them.
    """
    overrides = held_overrides(recipe, config.get("overrides"))
    return {"groups": [], "pictures": "auto", **config, "overrides": overrides}


def train_contestant(
    one: Contestant, folder: Path, request: RunRequest, device: torch.device, *, quiet: bool
) -> TrainedRun:
    """Train one model, or go on with it where it was stopped."""
    if (folder / "state.safetensors").is_file():
        return resume(folder, device=str(device), quiet=quiet)
    if folder.is_dir():
        shutil.rmtree(folder)  # stopped before anything was saved
    return train_request(_of_contestant(one, request), out=folder, device=str(device), quiet=quiet)


def _of_contestant(one: Contestant, request: RunRequest) -> RunRequest:
    return replace(request, model=one.pair, backbone=one.backbone)


def score_contestant(
    one: Contestant, run: TrainedRun, parts: Parts, *, seed: int, device: torch.device
) -> ComparedModel:
    """Score a trained model on the pictures that decide, and measure what it costs alone."""
    assert isinstance(run.model, InstanceSegmenter), "contestants find objects"
    test = deciding_pictures(parts)
    found = list(predict_dataset(Predictor(run.model), test))
    metrics = evaluate(found, test, kinds=("bbox", "segm", "boundary"))
    interval = bootstrap_interval(found, test, max_detections=metrics.max_detections, seed=seed)
    by_size = np.argsort(test.sizes.prod(axis=1), kind="stable")
    largest = [test.image_path(i) for i in by_size[-_MOST_MEASURED:].tolist()]
    model_file = run.path / "best.safetensors"
    memory = peak_memory(model_file, largest, device=str(device))
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
