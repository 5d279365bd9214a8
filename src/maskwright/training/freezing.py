"""Freezing for a time: the backbone stays as it is until the new heads have learnt something.

Heads that start from chance send the backbone large and senseless gradients, which undo what it
knows; with few pictures that is not learnt again. How many stages are frozen in a step follows
from the step and the progress alone, so a resumed run freezes and thaws as an undisturbed one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

from maskwright.errors import ConfigError
from maskwright.training.schedules import Budget, Stopwatch

__all__ = ["Freezing", "FreezingConfig"]


@dataclass(frozen=True, kw_only=True)
class FreezingConfig:
    """Which stages of the backbone are frozen at the beginning of a run, and for how long.

    With both `steps` and `share` the longer of the two counts. A frozen stage has no gradients,
    its batch norms use the statistics they have and do not move them, and neither weight decay nor
    momentum touches it.

    Args:
        steps: Optimiser steps.
        share: Share of the run's budget, in [0, 1]; 1 never thaws.
        stages: How many stages, counted from the picture; None takes all of the backbone.
        gradual: Thaw one stage after the other, the deepest first (Howard and Ruder 2018, section
            3.3), so that the last is free when the time is over.

    Raises:
        ConfigError: A value outside its range.
    """

    steps: int = 0
    share: float = 0.0
    stages: int | None = None
    gradual: bool = False

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise ConfigError(f"freezing.steps must be at least 0, got {self.steps}")
        if not 0 <= self.share <= 1:
            raise ConfigError(f"freezing.share must be in [0, 1], got {self.share}")
        if self.stages is not None and self.stages < 1:
            raise ConfigError(f"freezing.stages must be at least 1, got {self.stages}")

    @property
    def freezes(self) -> bool:
        """Whether anything is frozen at all."""
        return self.steps > 0 or self.share > 0

    def num_frozen(self, step: int, progress: float, num_stages: int) -> int:
        """Return how many stages are frozen in the step after so many.

        Args:
            step: Steps done.
            progress: Share of the budget that is spent, in [0, 1].
            num_stages: Stages of the backbone.

        >>> config = FreezingConfig(steps=10, gradual=True)
        >>> [config.num_frozen(step, 0.0, num_stages=5) for step in (0, 1, 2, 8, 9, 10)]
        [5, 5, 4, 1, 1, 0]
        >>> config = FreezingConfig(share=0.5, stages=2)
        >>> [config.num_frozen(0, progress, num_stages=5) for progress in (0.0, 0.49, 0.5)]
        [2, 2, 0]
        """
        left = [1 - step / self.steps] if self.steps else []
        left += [1 - progress / self.share] if 0 < self.share < 1 else []
        left += [1.0] if self.share == 1 else []
        remaining = max(left, default=0.0)
        if remaining <= 0:
            return 0
        count = num_stages if self.stages is None else min(self.stages, num_stages)
        # Rounded first: 1 - 2 / 10 is a hair more than 0.8.
        return math.ceil(round(count * remaining, 9)) if self.gradual else count

    def build(
        self,
        first_stages: Callable[[int], Sequence[nn.Module]],
        num_stages: int,
        budget: Budget,
        stopwatch: Stopwatch,
    ) -> Freezing | None:
        """Return what freezes in the steps of a run; None where nothing is frozen.

        Under DDP make it after the model was wrapped, which looks for all that will ever learn.

        Args:
            first_stages: Number of stages -> their modules, see `Backbone.first_stages`.
            num_stages: Stages of the backbone.
            budget: Of the run.
            stopwatch: Of the run; a budget in steps alone does not look at it.

        Raises:
            ConfigError: The backbone has fewer stages than are to be frozen.
        """
        if not self.freezes:
            return None
        if self.stages is not None and self.stages > num_stages:
            raise ConfigError(
                f"freezing.stages is {self.stages}, and the backbone has {num_stages} stages"
            )

        def num_frozen(step: int) -> int:
            elapsed = 0.0 if budget.seconds is None else stopwatch.seconds
            return self.num_frozen(step, budget.progress(step, elapsed), num_stages)

        return Freezing(first_stages, num_stages, num_frozen)


class Freezing:
    """Freezes and thaws before each step; to be called once the model is in training mode.

    What has no gradient from the beginning, such as the stages that the backbone's own options
    freeze, is never thawed.

    Args:
        first_stages: Number of stages -> their modules, see `Backbone.first_stages`.
        num_stages: Stages of the backbone.
        num_frozen: Steps done -> stages that are frozen in the next step.
    """

    def __init__(
        self,
        first_stages: Callable[[int], Sequence[nn.Module]],
        num_stages: int,
        num_frozen: Callable[[int], int],
    ) -> None:
        self._first_stages = first_stages
        self._num_frozen = num_frozen
        parameters = [p for module in first_stages(num_stages) for p in module.parameters()]
        self._trainable = [p for p in parameters if p.requires_grad]
        self.count = 0

    def __call__(self, step: int) -> None:
        """Freeze what is to be frozen in the step after so many, and thaw the rest."""
        count = self._num_frozen(step)
        modules = self._first_stages(count)
        if count != self.count:
            frozen = {id(p) for module in modules for p in module.parameters()}
            for parameter in self._trainable:
                parameter.requires_grad_(id(parameter) not in frozen)
            self.count = count
        if count:
            for module in modules:  # every step anew: model.train() has woken them
                module.eval()
