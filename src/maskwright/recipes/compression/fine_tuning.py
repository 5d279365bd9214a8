"""The recipes of a compression's training runs: from a trained model, briefly and gently."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from maskwright.errors import ConfigError
from maskwright.model import ModelConfig, SemanticSegmenter, config_from_dict
from maskwright.recipes.choose import choose_recipe, data_facts
from maskwright.recipes.recipe import Preset, Recipe
from maskwright.recipes.run import Parts
from maskwright.training import Distillation

__all__ = ["fine_tuning_recipe", "known_recipe", "names_of_parts", "student_recipe"]

_ROUNDS = {"prune": 20, "distill": 40, "quantise": 8}
"""Rounds of the data: half a training's (40) after pruning; a student starts anew; rounding asks
for small changes alone."""

_STEPS = {"prune": (250, 10_000), "distill": (500, 20_000), "quantise": (100, 4_000)}
"""Least and most steps."""

_RATE = {"prune": 0.1, "distill": 0.5, "quantise": 0.1}
"""Part of a training's learning rate for a model that is trained already. NNCF's and PyTorch's
guides to quantisation-aware training take a tenth or less. After pruning a half lost mask AP in
40 steps that a tenth gained (docs/compress.md)."""


def known_recipe(model: Path) -> Recipe | None:
    """Return the recipe of the run folder that a model file lies in; None where there is none.

    Raises:
        ConfigError: A recipe that this version cannot read.
    """
    config = model.parent / "config.json"
    if not config.is_file():
        return None
    try:
        saved = json.loads(config.read_text(encoding="utf-8"))
    except ValueError:
        return None
    if not isinstance(saved, Mapping) or "recipe" not in saved:
        return None
    return config_from_dict(Recipe, saved["recipe"])


def fine_tuning_recipe(
    step: str,
    start: Path,
    config: ModelConfig,
    parts: Parts,
    known: Recipe | None,
    *,
    distillation: Distillation | None,
    num_steps: int | None,
    minutes: float | None,
    seed: int,
) -> Recipe:
    """Return the recipe that goes on training a model.

    Args:
        step: "prune", "distill" or "quantise": what it recovers from.
        start: Its file.
        config: Of the model.
        parts: The data.
        known: The recipe it was first trained with, whose augmentation, batches and optimiser
            stay; None takes what `train` would choose for the data.
        distillation: Its teacher.
        num_steps: Length; with neither this nor `minutes`, by the data.
        minutes: Length by the clock.
        seed: Of everything random.
    """
    base = known or choose_recipe(
        data_facts(parts.train),
        pixels=config.pixels,
        task="semantic" if isinstance(config, SemanticSegmenter.Config) else "instances",
        model=names_of_parts(config),
        preset="fast",
        weights="none",
    )
    rate = _RATE[step] * base.optimizer.learning_rate
    return replace(
        base,
        model=config,
        weights="none",
        start=str(start),
        distillation=distillation,
        fake_int8=step == "quantise",
        optimizer=replace(base.optimizer, learning_rate=rate, backbone_factor=1.0),
        num_steps=_length(step, base.batch_size, parts, num_steps, minutes),
        minutes=minutes,
        patience=None,
        seed=seed,
    )


def student_recipe(
    config: ModelConfig,
    parts: Parts,
    known: Recipe | None,
    *,
    model: str | None,
    backbone: str | None,
    preset: Preset,
    distillation: Distillation,
    num_steps: int | None,
    minutes: float | None,
    seed: int,
) -> Recipe:
    """Return the recipe of a new network that learns from a trained one.

    Args:
        config: Of the teacher, whose task and kind of pictures it shares.
        parts: The data.
        known: The teacher's recipe, whose augmentation stays; None takes what `train` chooses.
        model: Its "detector+mask-head"; None for the teacher's.
        backbone: As for `train`.
        preset: As for `train`.
        distillation: The teacher.
        num_steps: Length; with neither this nor `minutes`, by the data.
        minutes: Length by the clock.
        seed: Of everything random.
    """
    chosen = choose_recipe(
        data_facts(parts.train),
        pixels=config.pixels,
        task="semantic" if isinstance(config, SemanticSegmenter.Config) else "instances",
        model=model or names_of_parts(config),
        backbone=backbone,
        preset=preset,
        num_steps=_length("distill", 4, parts, num_steps, minutes),
        minutes=minutes,
        seed=seed,
    )
    augmentation = chosen.augmentation if known is None else known.augmentation
    return replace(chosen, distillation=distillation, augmentation=augmentation)


def names_of_parts(config: ModelConfig) -> str:
    """Return a model's parts as `--model` takes them.

    Raises:
        ConfigError: A model without masks, which `train` does not make.
    """
    if isinstance(config, SemanticSegmenter.Config):
        return config.head.kind
    if config.mask_head is None:
        raise ConfigError("a model without a mask head cannot be trained further: take one with")
    return f"{config.detector.kind}+{config.mask_head.kind}".replace("_", "-")


def _length(
    step: str, batch_size: int, parts: Parts, num_steps: int | None, minutes: float | None
) -> int | None:
    if num_steps is not None or minutes is not None:
        return num_steps
    return int(np.clip(_ROUNDS[step] * len(parts.train) / batch_size, *_STEPS[step]))
