"""The moving parts of a run: what the steps change, what is saved and what resumes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace

import torch
from torch import nn

from maskwright.data import Dataset, PictureRule, PixelFormat, measure_pixel_format
from maskwright.errors import ConfigError
from maskwright.inference.loading import model_file
from maskwright.model import Model, load_checkpoint, load_imagenet, save_checkpoint
from maskwright.recipes.recipe import Recipe
from maskwright.recipes.tasks import task_of
from maskwright.training import (
    EMA,
    Distilled,
    FakeQuantised,
    Processes,
    ResumePoint,
    RunFolder,
    load_state,
    save_state,
    seed_everything,
)
from maskwright.transforms import Transform

__all__ = ["MovingParts", "Parts", "trial_parts"]

_BACKBONES = ("backbone.", "model.backbone.", "learner.backbone.", "learner.model.backbone.")
"""How the names of the backbone's parameters begin, in a model and in what teaches it."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The pictures of a run by their use."""

    train: Dataset
    validation: Dataset
    test: Dataset | None

    def with_pixels(self, pixels: PixelFormat | None) -> Parts:
        """Return the parts with their pictures read in this format."""
        test = None if self.test is None else self.test.with_pixels(pixels)
        return Parts(
            train=self.train.with_pixels(pixels),
            validation=self.validation.with_pixels(pixels),
            test=test,
        )

    def measure_pixels(self, rule: PictureRule) -> PixelFormat | None:
        """Choose the format of the pictures, see `measure_pixel_format`.

        Raises:
            ImageError: A picture cannot be read.
            DataError: Pictures of different formats.
        """
        held_out = [self.validation] if self.test is None else [self.validation, self.test]
        return measure_pixel_format(
            [self.train.image_path(i) for i in range(len(self.train))],
            rule,
            sizes=[(height, width) for height, width in self.train.sizes.tolist()],
            others=[part.image_path(i) for part in held_out for i in range(len(part))],
        )

    def image_ids(self) -> dict[str, list[int]]:
        """Return the ids of the pictures by part, as `split.json` holds them."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: part.image_ids.tolist() for name, part in named.items() if part is not None}


class MovingParts:
    """Model, optimiser, average and position of a run, and how they are kept."""

    def __init__(
        self,
        folder: RunFolder,
        recipe: Recipe,
        parts: Parts,
        device: torch.device,
        processes: Processes,
        before_resize: Transform | None,
    ) -> None:
        seed_everything(recipe.seed)
        self.before_resize = before_resize
        self.folder, self.recipe, self.parts, self.device = folder, recipe, parts, device
        self.processes = processes
        classes = parts.train.class_names, parts.train.category_ids
        self.model: Model = recipe.model.build(*classes).to(device)
        self.task = task_of(self.model, folder.path, processes)
        self.learner, self.rounding = self._learner()
        self.optimizer = recipe.optimizer.build(self.learner, _BACKBONES)
        self.ema: EMA | None = None
        self.point = ResumePoint(step=0)

    def start(self) -> None:
        """Begin anew: transfer weights, then start the average from them."""
        if self.recipe.start is not None:
            self._start_from(self.recipe.start)
        elif self.recipe.weights != "none":
            load_imagenet(self.model.backbone, self.recipe.weights)
        self.task.prepare()
        self._start_average()
        if not self.processes.is_first:  # the first's weights are everybody's, its draws are not
            seed_everything(self.recipe.seed + 1_000_003 * self.processes.rank)

    def go_on(self) -> None:
        """Put back what the run folder saved."""
        self._start_average()
        self.point = load_state(
            self.folder.state_path,
            model=self.learner,
            optimizer=self.optimizer,
            ema=self.ema,
            processes=self.processes,
        )

    def _learner(self) -> tuple[nn.Module, Callable[[], AbstractContextManager[None]]]:
        """Return what takes the steps, and what to predict in while the run goes on."""
        learner: nn.Module = self.model
        if (teaching := self.recipe.distillation) is not None:
            teacher = load_checkpoint(model_file(teaching.teacher), device=self.device)
            learner = Distilled(self.model, teacher, teaching)
        if not self.recipe.fake_int8:
            return learner, nullcontext
        rounded = FakeQuantised(learner, self.model)
        return rounded, rounded.rounding

    def _start_from(self, path: str) -> None:
        start = load_checkpoint(model_file(path))
        if start.class_names != self.model.class_names:
            raise ConfigError(
                f"{path} knows the classes {', '.join(start.class_names)}, the data has "
                f"{', '.join(self.model.class_names)}: take data with the same classes"
            )
        try:
            self.model.load_state_dict(start.state_dict())
        except RuntimeError as error:
            raise ConfigError(
                f"{path} is of another network than the recipe's, {str(error).splitlines()[1]}"
            ) from error

    def _start_average(self) -> None:
        if self.recipe.ema_decay is not None:
            self.ema = EMA(self.model, self.recipe.ema_decay)

    @property
    def clock(self) -> Callable[[float], float] | None:
        """What makes the clocks of several processes one."""
        return None if self.processes.count == 1 else self.processes.agree

    @contextmanager
    def averaged(self) -> Iterator[Model]:
        """Lend the model with its averaged weights, as it is scored and saved."""
        with self.ema.applied() if self.ema is not None else nullcontext():
            yield self.model

    def validate(self, step: int, seconds: float) -> dict[str, float]:
        """Score on the validation pictures; write last and best."""
        with self.averaged() as model:
            with self.rounding():
                metrics, scores = self.task.validate(self.parts.validation)
            extra = {"step": step, "validation": metrics.as_dict()}
            score, best = scores[self.task.decisive], self.point.best_score
            is_best = best is None or score >= best
            if self.processes.is_first:
                save_checkpoint(model, self.folder.last_path, extra)
            if is_best and self.processes.is_first:
                save_checkpoint(model, self.folder.best_path, extra)
        self.point = ResumePoint(
            step=step,
            elapsed_seconds=seconds,
            best_score=score if is_best else best,
            notes={"since_best": 0 if best is None or score > best else self.since_best + 1},
        )
        return scores

    @property
    def since_best(self) -> int:
        """Evaluations since the score last rose."""
        return int(self.point.notes.get("since_best", 0))

    def is_patience_spent(self) -> bool:
        """Whether the score has not risen for as long as the recipe waits."""
        return self.recipe.patience is not None and self.since_best >= self.recipe.patience

    def pause(self, step: int, seconds: float) -> None:
        """Write the model and the state between two evaluations."""
        if self.processes.is_first:
            with self.averaged() as model:
                save_checkpoint(model, self.folder.last_path, {"step": step})
        self.save(step, seconds)

    def save(self, step: int, seconds: float) -> None:
        """Write what resuming needs."""
        self.point = replace(self.point, step=step, elapsed_seconds=seconds)
        save_state(
            self.folder.state_path,
            self.point,
            model=self.learner,
            optimizer=self.optimizer,
            ema=self.ema,
            processes=self.processes,
        )


@contextmanager
def trial_parts(parts: Parts, recipe: Recipe, device: torch.device) -> Iterator[MovingParts]:
    """Lend model and optimiser as a run starts with them, in a folder that goes afterwards.

    Seeds the global random states, as a run does.
    """
    with tempfile.TemporaryDirectory(prefix="maskwright-trial-") as folder:
        training = MovingParts(
            RunFolder.follow(folder),
            recipe,
            parts.with_pixels(recipe.model.pixels),
            device,
            Processes(),
            None,
        )
        training.start()
        yield training
