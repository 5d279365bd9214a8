"""The steps of a compression: each makes a smaller or sturdier model file of the one before."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from maskwright.data import Loader
from maskwright.errors import ConfigError
from maskwright.inference.loading import model_file
from maskwright.model import Model, ModelConfig, load_checkpoint, save_checkpoint
from maskwright.recipes.augmenting import override_recipe
from maskwright.recipes.compression.arithmetic import measure_multiply_adds, workload_of
from maskwright.recipes.compression.fine_tuning import (
    fine_tuning_recipe,
    known_recipe,
    student_recipe,
)
from maskwright.recipes.compression.measuring import Version
from maskwright.recipes.compression.plan import Plan
from maskwright.recipes.compression.pruning import prune
from maskwright.recipes.recipe import PRESETS, Preset, Recipe
from maskwright.recipes.run import Parts
from maskwright.recipes.training_runs import resume, train_recipe
from maskwright.structures import Batch
from maskwright.training import Distillation

__all__ = ["Workshop"]

_LOOKED_AT = 32
"""Pictures that importance is measured on; Molchanov et al. 2019 (section 4.1) see the order of
channels settle after some tens of batches."""

_BATCH = 4

_SMALL = ("csp-tiny", "csp-nano", "mobilenet_v3_small")
"""Backbones smaller than that of the smallest preset."""


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """Where the steps work.

    Args:
        path: The folder of the compression.
        plan: What was asked for.
        source: Of the data, as a run's config holds it.
        parts: The data, with the model's labels.
        device: Where to train.
        tell: Is told what begins.
        quiet: Show nothing of the training runs.
    """

    path: Path
    plan: Plan
    source: dict[str, Any]
    parts: Parts
    device: torch.device
    tell: Callable[[str], None]
    quiet: bool

    def prune(self, model: Path, origin: Path) -> tuple[Path, list[Version]]:
        """Take channels out of the model and train what is left.

        Args:
            model: Its file.
            origin: The file that lies in the run folder of its first training.

        Returns:
            The file of the new model, and what is new to measure.
        """
        assert self.plan.target is not None
        start = self.path / "pruned.safetensors"
        if not start.is_file():
            self.tell("Pruning: measuring what each channel is worth")
            network = load_checkpoint(model)
            found = prune(
                network,
                self.plan.target,
                lambda: self._batches(network),
                workload_of(network, self.parts.train),
            )
            self.tell(
                f"Pruned {found.channels_before} channels to {found.channels_after}: "
                f"{found.factor:.2f} times fewer multiply-adds"
            )
            save_checkpoint(found.model, start, {"pruned_from": str(model)})
        best = self._fine_tune("prune", start, origin)
        return best, [
            Version(name="pruned, untrained", path=start),
            Version(name="pruned", path=best),
        ]

    def distill(self, model: Path, origin: Path) -> tuple[Path, list[Version]]:
        """Let the model learn from its teacher, or a new network from the model; see `prune`."""
        if self.plan.teacher is not None:
            best = self._fine_tune("distill", model, origin)
        else:
            best = self._run("distill", lambda: self.choose_student(model, origin))
        return best, [Version(name="distilled", path=best)]

    def quantise(self, model: Path, origin: Path) -> tuple[Path, list[Version]]:
        """Train the model with its numbers rounded as int8 graphs round them; see `prune`."""
        best = self._fine_tune("quantise", model, origin)
        return best, [Version(name="trained for int8", path=best)]

    def choose_student(self, model: Path, origin: Path) -> Recipe:
        """Return the recipe of a new network that learns from the model.

        Raises:
            ConfigError: No preset, or not the one that was asked for, reaches the target.
        """
        plan, teacher = self.plan, load_checkpoint(model)
        before, classes = self._multiply_adds(teacher), (teacher.class_names, teacher.category_ids)
        factors: dict[str, float] = {}
        recipes: dict[str, Recipe] = {}
        for preset, backbone in self._sizes():
            recipe = student_recipe(
                teacher.config,
                self.parts,
                known_recipe(origin),
                model=plan.student,
                backbone=backbone,
                preset=preset,
                distillation=Distillation(teacher=str(model)),
                num_steps=plan.num_steps,
                minutes=plan.minutes,
                seed=plan.seed,
            )
            name = preset if backbone is None else f"{preset} with {backbone}"
            recipes[name] = override_recipe(recipe, plan.overrides)
            network = recipes[name].model.build(*classes)
            factors[name] = before / self._multiply_adds(network)
        # whoever names a network and no target gets it
        least = plan.target or (0.0 if plan.preset or plan.backbone else 1.0)
        reached = {name: factor for name, factor in factors.items() if factor >= least}
        if reached:
            return recipes[min(reached, key=reached.__getitem__)]
        known = ", ".join(f"{name} {factor:.2f}x" for name, factor in factors.items())
        raise ConfigError(
            f"no student reaches the target of {least:g} times fewer multiply-adds: {known}. Take "
            "a lower --target, or a smaller --backbone or --set model.short-side"
        )

    def _sizes(self) -> list[tuple[Preset, str | None]]:
        """Return the presets and backbones to choose a student from."""
        plan = self.plan
        presets: tuple[Preset, ...] = PRESETS if plan.preset is None else (plan.preset,)
        if plan.preset is not None or plan.backbone is not None:
            return [(preset, plan.backbone) for preset in presets]
        return [(preset, None) for preset in presets] + [("tiny", each) for each in _SMALL]

    def _fine_tune(self, step: str, start: Path, origin: Path) -> Path:
        """Go on training a model file by the recipe of its first training."""
        plan = self.plan

        def recipe() -> Recipe:
            config: ModelConfig = load_checkpoint(start).config
            made = fine_tuning_recipe(
                step,
                start,
                config,
                self.parts,
                known_recipe(origin),
                distillation=self._teacher(),
                num_steps=plan.num_steps,
                minutes=plan.minutes,
                seed=plan.seed,
            )
            return override_recipe(made, plan.overrides)

        return self._run(step, recipe)

    def _teacher(self) -> Distillation | None:
        teacher = self.plan.teacher
        return None if teacher is None else Distillation(teacher=str(model_file(teacher)))

    def _run(self, name: str, recipe: Callable[[], Recipe]) -> Path:
        """Begin, resume or skip a training run; return its best model."""
        folder = self.path / name
        if not (folder / "scores.json").is_file():
            if (folder / "state.safetensors").is_file():
                resume(folder, device=str(self.device), quiet=self.quiet)
            else:
                shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed at its start
                train_recipe(
                    recipe(), self.source, self.parts, folder, self.device, quiet=self.quiet
                )
        return folder / "best.safetensors"

    def _batches(self, model: Model) -> Iterator[Batch]:
        """Some training pictures as they are, always the same ones."""
        config = model.config
        loader = Loader(
            self.parts.train.with_pixels(config.pixels),
            batch_size=_BATCH,
            short_side=config.short_side,
            long_side=config.long_side,
            fixed_size=config.fixed_size,
            size_divisor=config.size_multiple,
            seed=self.plan.seed,
        )
        for _, batch in zip(range(_LOOKED_AT // _BATCH), loader, strict=False):
            yield batch

    def _multiply_adds(self, model: Model) -> int:
        return measure_multiply_adds(model, workload_of(model, self.parts.train))
