from __future__ import annotations

import math

import numpy as np
import pytest

from maskwright.errors import ConfigError
from maskwright.training import Budget, Stopwatch, over_budget, step_decay, warmup_cosine


def test_cosine_rises_linearly_then_follows_half_a_cosine() -> None:
    progress = np.linspace(0, 1, 101)
    found = [warmup_cosine(float(p), warmup=0.2, floor=0.1) for p in progress]
    rise = 0.001 + 0.999 * progress / 0.2
    fall = 0.1 + 0.9 * (1 + np.cos(np.pi * (progress - 0.2) / 0.8)) / 2
    np.testing.assert_allclose(found, np.where(progress < 0.2, rise, fall), atol=1e-12)
    assert max(found) == 1.0
    assert found[-1] == pytest.approx(0.1)


def test_without_warm_up_both_start_at_the_full_rate() -> None:
    assert warmup_cosine(0.0, warmup=0.0) == 1.0
    assert step_decay(0.0, warmup=0.0) == 1.0


def test_steps_drop_the_rate_at_each_milestone() -> None:
    found = [step_decay(p, milestones=(0.5, 0.75)) for p in (0.49, 0.5, 0.74, 0.75, 1.0)]
    np.testing.assert_allclose(found, [1.0, 0.1, 0.1, 0.01, 0.01])


def test_progress_outside_the_range_is_clamped() -> None:
    for shape in (warmup_cosine, step_decay):
        assert shape(-1.0) == shape(0.0)
        assert shape(2.0) == shape(1.0)


def test_progress_is_the_larger_of_steps_and_clock() -> None:
    budget = Budget(num_steps=10, seconds=100)
    assert budget.progress(5, 20.0) == 0.5
    assert budget.progress(5, 70.0) == 0.7
    assert budget.progress(50, 0.0) == 1.0
    assert Budget(seconds=60).progress(10_000, 30.0) == 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "got neither"),
        ({"num_steps": 0}, "at least 1, got 0"),
        ({"seconds": -1.0}, "over 0, got -1"),
        ({"seconds": math.nan}, "over 0, got nan"),
    ],
)
def test_a_budget_of_nothing_is_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Budget(**options)  # type: ignore[arg-type]


def test_a_schedule_over_steps_does_not_look_at_the_clock() -> None:
    early = over_budget(warmup_cosine, Budget(num_steps=50), Stopwatch())
    late = over_budget(warmup_cosine, Budget(num_steps=50), Stopwatch(carried_seconds=1e6))
    assert [early(step) for step in range(51)] == [late(step) for step in range(51)]


def test_a_schedule_over_minutes_is_spent_when_the_time_is() -> None:
    stopwatch = Stopwatch(carried_seconds=60.0)
    assert over_budget(warmup_cosine, Budget(seconds=60.0), stopwatch)(0) == 0.0
    assert stopwatch.seconds >= 60.0
