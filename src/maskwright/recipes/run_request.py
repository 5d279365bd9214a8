"""What a training is asked for, before anything is opened: one value for all that trains.

`train`, `check_training` and `cross_validate` take the same words; this holds them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from maskwright.data import PictureRule, PixelFormat
from maskwright.errors import ConfigError
from maskwright.recipes.augmenting import override_recipe
from maskwright.recipes.auto_batch import AutoBatch, find_pictures_at_once, limit_in_bytes
from maskwright.recipes.choose import DataFacts, choose_recipe, data_facts
from maskwright.recipes.class_counts import with_class_counts
from maskwright.recipes.moving_parts import Parts
from maskwright.recipes.recipe import Preset, Recipe, TaskName
from maskwright.training import memory_meter, num_local_processes
from maskwright.transforms import Augmentation

__all__ = ["RunRequest"]


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """Data and wishes of a training; only `data` is needed. Each is explained at `train`.

    Args:
        data: The annotations.
        validation: Annotations of the validation pictures.
        images: The folder of the pictures of `data`.
        groups: Which pictures must not be divided.
        follow_links: Follow links out of the data's folder.
        fold: (k, n): of n folds the k-th, from 1, is held out as the test pictures.
        task: "instances" or "semantic".
        model: "detector+mask-head".
        backbone: By name.
        preset: "tiny", "fast" or "best".
        weights: Where the backbone starts.
        pictures: What the model takes.
        num_steps: Length in optimiser steps.
        minutes: Length by the clock.
        seed: Of the split, weights, order and augmentation.
        augment: What training pictures go through.
        overrides: Options of the recipe by dotted name.
        auto_batch: Take as many pictures at a time as memory has room for.
        memory: Gigabytes (10^9 bytes) that the process may hold; None takes most of what is free.
        limit: So many training pictures, and no more of the others, drawn by the seed.

    Raises:
        ConfigError: A negative seed, groups or folds beside validation pictures, or a fold that
            is not one.
    """

    data: str | Path
    validation: str | Path | None = None
    images: str | Path | None = None
    groups: str | Sequence[str] = ()
    follow_links: bool = False
    fold: tuple[int, int] | None = None
    task: TaskName = "instances"
    model: str | None = None
    backbone: str | None = None
    preset: Preset | None = None
    weights: str | None = None
    pictures: PictureRule = "auto"
    num_steps: int | None = None
    minutes: float | None = None
    seed: int = 0
    augment: str | Augmentation | None = None
    overrides: Mapping[str, Any] | None = None
    auto_batch: bool = False
    memory: float | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.groups and self.validation is not None:
            raise ConfigError(
                "groups are for dividing the data, and validation pictures were given"
            )
        if self.seed < 0:
            raise ConfigError(f"seed must be 0 or more, got {self.seed}")
        if self.fold is not None:
            number, count = self.fold
            if not 1 <= number <= count or count < 2:
                raise ConfigError(f"fold must be (k, n) with 1 <= k <= n and n >= 2: {self.fold}")
            if self.validation is not None:
                raise ConfigError("folds divide the data, and validation pictures were given")

    def with_absolute_paths(self) -> RunRequest:
        """Return the same request for whatever working folder, its groups as a tuple."""
        source = self.source()
        paths = {name: source[name] for name in ("data", "validation", "images")}
        return replace(self, **paths, groups=tuple(source["groups"]))

    def source(self) -> dict[str, Any]:
        """Return where the pictures come from and how they are divided, as `open_parts` wants."""
        return {
            "data": str(Path(self.data).resolve()),
            "validation": None if self.validation is None else str(Path(self.validation).resolve()),
            "images": None if self.images is None else str(Path(self.images).resolve()),
            "seed": self.seed,
            "groups": [self.groups] if isinstance(self.groups, str) else list(self.groups),
            "follow_links": self.follow_links,
            "fold": None if self.fold is None else list(self.fold),
            "limit": self.limit,
        }

    def choose(self, parts: Parts, device: torch.device, *, processes: int = 1) -> Recipe:
        """Return the recipe for these pictures on this device, with all that was asked for.

        Raises:
            ConfigError: An unknown or impossible option.
            DataError: Pictures that cannot be read or differ in format.
        """
        recipe = self.recipe(
            data_facts(parts.train),
            pixels=parts.measure_pixels(self.pictures),
            has_gpu=device.type != "cpu",
            processes=processes,
        )
        return with_class_counts(recipe, parts.train)

    def recipe(
        self,
        facts: DataFacts,
        *,
        has_gpu: bool,
        pixels: PixelFormat | None = None,
        processes: int = 1,
    ) -> Recipe:
        """Return the recipe for data of these facts, but for counts of its classes.

        Args:
            facts: What is known of the data.
            has_gpu: Whether it trains on one.
            pixels: The format of the pictures; None for RGB of 8 bits.
            processes: Those that take each step together.

        Raises:
            ConfigError: An unknown or impossible option.
        """
        recipe = choose_recipe(
            facts,
            pixels=pixels,
            task=self.task,
            model=self.model,
            backbone=self.backbone,
            preset=self.preset,
            weights=self.weights,
            num_steps=self.num_steps,
            minutes=self.minutes,
            seed=self.seed,
            has_gpu=has_gpu,
            processes=processes,
        )
        return override_recipe(recipe, self.overrides, augment=self.augment)

    def fit_to_memory(
        self, recipe: Recipe, parts: Parts, device: torch.device, *, processes: int = 1
    ) -> tuple[Recipe, AutoBatch | None]:
        """Return the recipe with as many pictures at a time as fit, and what was measured.

        Without `auto_batch` the recipe stays and nothing is measured.

        Raises:
            OutOfMemoryError: One picture alone does not fit.
            ConfigError: A limit that is not one, or a device whose memory cannot be measured.
        """
        if not self.auto_batch:
            return recipe, None
        limit = limit_in_bytes(self.memory)
        sharing = 1 if limit is not None else num_local_processes()
        meter = memory_meter(device, limit, sharing)
        measured = find_pictures_at_once(recipe, parts, device, meter, processes=processes)
        return replace(recipe, pictures_at_once=measured.pictures_at_once), measured
