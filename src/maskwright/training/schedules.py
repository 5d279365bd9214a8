"""Learning-rate schedules: pure functions from progress in [0, 1] to a factor in [0, 1].

Progress is the share of the budget that is spent. A budget in steps makes it a function of the
step alone, so a resumed run gets the same factors to the bit; a budget in minutes makes it follow
the clock, so that the rate has come down when the time is up whatever the machine's speed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from maskwright.errors import ConfigError

__all__ = ["Budget", "Schedule", "Shape", "Stopwatch", "over_budget", "step_decay", "warmup_cosine"]

Shape = Callable[[float], float]
"""Progress in [0, 1] -> factor on the learning rate."""

Schedule = Callable[[int], float]
"""Steps done -> factor on the learning rate of the next step."""

_WARMUP_START = 1e-3
"""Factor of the first step; torchvision's and detectron2's detection recipes start there."""


def warmup_cosine(
    progress: float, *, warmup: float = 0.05, start: float = _WARMUP_START, floor: float = 0.0
) -> float:
    """Rise linearly from `start` to 1, then fall along half a cosine to `floor`.

    Linear warm-up: Goyal et al., 2017, section 2.2. Cosine: Loshchilov and Hutter, 2017, equation
    5 without restarts.

    Args:
        progress: Share of the budget spent; clamped to [0, 1].
        warmup: Share of the budget in which the rate rises, in [0, 1).
        start: Factor at progress 0 if there is a warm-up.
        floor: Factor at progress 1.

    >>> [round(warmup_cosine(p, warmup=0.2), 4) for p in (0.0, 0.1, 0.2, 0.6, 1.0)]
    [0.001, 0.5005, 1.0, 0.5, 0.0]
    """
    progress = min(max(progress, 0.0), 1.0)
    if progress < warmup:
        return start + (1.0 - start) * progress / warmup
    fallen = (progress - warmup) / (1.0 - warmup)
    return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * fallen))


def step_decay(
    progress: float,
    *,
    milestones: tuple[float, ...] = (2 / 3, 8 / 9),
    factor: float = 0.1,
    warmup: float = 0.05,
    start: float = _WARMUP_START,
) -> float:
    """Rise linearly from `start` to 1, then multiply by `factor` at each milestone.

    The milestones are those of Detectron's "1x" schedule for Mask R-CNN: 60k and 80k steps of 90k.

    Args:
        progress: Share of the budget spent; clamped to [0, 1].
        milestones: Shares of the budget at which the rate drops.
        factor: What the rate is multiplied by at each.
        warmup: Share of the budget in which the rate rises, in [0, 1).
        start: Factor at progress 0 if there is a warm-up.

    >>> [round(step_decay(p), 4) for p in (0.0, 0.05, 0.5, 0.7, 0.9)]
    [0.001, 1.0, 1.0, 0.1, 0.01]
    """
    progress = min(max(progress, 0.0), 1.0)
    rise = start + (1.0 - start) * progress / warmup if progress < warmup else 1.0
    return rise * factor ** sum(progress >= milestone for milestone in milestones)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How long a run may take: so many steps, so many seconds, or whichever ends first.

    Args:
        num_steps: Optimiser steps in all, at least 1; None for no limit.
        seconds: Wall clock in all, over 0; None for no limit.

    Raises:
        ConfigError: Neither is given, or one is not positive.
    """

    num_steps: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.num_steps is None and self.seconds is None:
            raise ConfigError("a budget needs num_steps, seconds or both, got neither")
        if self.num_steps is not None and self.num_steps < 1:
            raise ConfigError(f"num_steps must be at least 1, got {self.num_steps}")
        if self.seconds is not None and not self.seconds > 0:
            raise ConfigError(f"seconds must be over 0, got {self.seconds}")

    def progress(self, step: int, elapsed_seconds: float) -> float:
        """Return the share of the budget that is spent, in [0, 1]; 1 means stop.

        >>> Budget(num_steps=100, seconds=60).progress(step=20, elapsed_seconds=30.0)
        0.5
        """
        by_steps = 0.0 if self.num_steps is None else step / self.num_steps
        by_clock = 0.0 if self.seconds is None else elapsed_seconds / self.seconds
        return min(max(by_steps, by_clock), 1.0)


class Stopwatch:
    """Wall clock of a run, the time before it was resumed included.

    Args:
        carried_seconds: What earlier sessions of the run have used.
        agree: Of several processes, gives all of them the first one's reading; they must then
            read it equally often.
    """

    def __init__(
        self, carried_seconds: float = 0.0, agree: Callable[[float], float] | None = None
    ) -> None:
        self._carried = carried_seconds
        self._agree = agree
        self._started = monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the run began, not counting the time between sessions."""
        seconds = self._carried + monotonic() - self._started
        return seconds if self._agree is None else self._agree(seconds)


def over_budget(shape: Shape, budget: Budget, stopwatch: Stopwatch) -> Schedule:
    """Return the schedule that spreads `shape` over the budget.

    With a budget of steps alone the stopwatch is not looked at.

    >>> schedule = over_budget(warmup_cosine, Budget(num_steps=200), Stopwatch())
    >>> schedule(10), round(schedule(199), 6)
    (1.0, 6.8e-05)
    """

    def schedule(step: int) -> float:
        elapsed = 0.0 if budget.seconds is None else stopwatch.seconds
        return shape(budget.progress(step, elapsed))

    return schedule
