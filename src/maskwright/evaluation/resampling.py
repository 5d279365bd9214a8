"""How sure a number is: bootstrap intervals over pictures, for any number at all.

Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 10 and 13: draw as many
pictures as there are, with replacement, score them, repeat, and read the interval off the
quantiles, after the bias of the replicates (their mean less the value) is taken off. AP needs
that: its best-precision envelope and classes of few pictures score higher in repeated pictures,
so that without it the value may lie outside of its own interval. What is left is how far the
score of other test sets of this size lies from its mean.

Pictures are drawn and not objects, since objects of one picture resemble each other; pictures of
one group (a video, a patient) are drawn together. Only the choice of test pictures is varied: that
another training run would give another model is not in the interval.

A metric is a `Statistic`: from whole weights per picture to its numbers in the data sets in which
pictures are repeated so often. So nothing is matched again, and the paired test (`paired.py`)
asks the same function.

Shapes: m pictures, b replicates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float64, Int64

from maskwright.errors import EvaluationError

__all__ = [
    "Interval",
    "Key",
    "Resampling",
    "Statistic",
    "bootstrap",
    "defined",
    "draw_pictures",
    "interval_around",
    "key_text",
    "overall_keys",
    "picture_owners",
]

Interval: TypeAlias = tuple[float, float]
"""Lower and upper end."""

Key: TypeAlias = tuple[str, ...]
"""Names a number: ("segm", "AP"), ("segm", "AP", class name) or ("AJI",)."""

Statistic: TypeAlias = Callable[[np.ndarray], Mapping[Key, np.ndarray]]
"""From weights (b, m) to each number's values (b,), NaN where it is undefined."""

_KIND_NAMES = {"bbox": "box", "segm": "mask", "boundary": "boundary"}

_CHUNK = 20_000_000
"""Weights held at once, 160 MB of them."""


@dataclass(frozen=True, kw_only=True)
class Resampling:
    """How pictures are drawn.

    Args:
        num_replicates: How often; 0 for no intervals.
        seed: The same seed draws the same pictures for every metric and model.
        groups: The group of each picture, by ascending image id, such as its video or patient;
            None: every picture by itself. Or a rule (`truth_groups.py`), which `evaluate` applies.
        level: Share of the replicates inside an interval.

    Raises:
        EvaluationError: An option out of range.
    """

    num_replicates: int = 1000
    seed: int = 0
    groups: Sequence[object] | str | None = None
    level: float = 0.95

    def __post_init__(self) -> None:
        if not 0 < self.level < 1 or self.num_replicates < 0:
            raise EvaluationError(
                "level must be between 0 and 1 and num_replicates 0 or more, got "
                f"{self.level} and {self.num_replicates}"
            )


def bootstrap(
    statistic: Statistic, num_images: int, resampling: Resampling
) -> tuple[dict[Key, Interval], list[str]]:
    """Return the interval of every number that has one, and what to say about them.

    Replicates in which a number is undefined, such as the AP of a class that was not drawn, are
    left out of its interval.

    Args:
        statistic: The metric.
        num_images: m.
        resampling: How to draw.

    Raises:
        EvaluationError: Groups that are not one per picture.
    """
    owners = picture_owners(resampling.groups, num_images)
    if resampling.num_replicates == 0:
        return {}, []
    if len(np.unique(owners)) < 2:
        what = "pictures" if resampling.groups is None else "groups of pictures"
        return {}, [f"No intervals: two or more {what} are needed."]
    parts: dict[Key, list[np.ndarray]] = {}
    for weights in _chunks(num_images, resampling, owners):
        for key, values in statistic(weights).items():
            parts.setdefault(key, []).append(values)
    once = statistic(np.ones((1, num_images), np.int64))
    intervals = {
        key: interval
        for key, chunks in parts.items()
        if (
            interval := interval_around(
                float(once[key][0]), np.concatenate(chunks), resampling.level
            )
        )
        is not None
    }
    return intervals, []


def interval_around(
    value: float, replicates: Float64[np.ndarray, " b"], level: float
) -> Interval | None:
    """Return the quantiles of the replicates, moved so that their mean is the value.

    Args:
        value: The number on the pictures themselves.
        replicates: The number in drawn pictures; those that are NaN are left out.
        level: Share of the replicates inside.

    Returns:
        Both ends, not below 0 or above 1 where no replicate is; None without any replicate.

    >>> interval_around(0.5, np.array([0.6, 0.7, 0.8]), 0.9)
    (0.41, 0.59)
    """
    replicates = replicates[np.isfinite(replicates)]
    if not len(replicates) or not np.isfinite(value):
        return None
    ends = np.quantile(replicates, [(1 - level) / 2, (1 + level) / 2])
    low, high = (ends + value - replicates.mean()).round(12).tolist()
    if min(value, replicates.min()) >= 0:
        low = max(low, 0.0)
    if max(value, replicates.max()) <= 1:
        high = min(high, 1.0)
    return min(low, value), max(high, value)


def overall_keys(keys: Iterable[Key]) -> list[Key]:
    """Return the keys of numbers over all classes."""
    return [key for key in keys if len(key) == (2 if key[0] in _KIND_NAMES else 1)]


def key_text(key: Key) -> str:
    """Return a key as people read it.

    >>> key_text(("segm", "AP")), key_text(("AJI",))
    ('mask AP', 'AJI')
    """
    return " ".join(_KIND_NAMES.get(part, part) for part in key)


def defined(value: float) -> float:
    """Return the number, -1 for NaN: what is undefined in this package."""
    return float(value) if np.isfinite(value) else -1.0


def draw_pictures(
    num_images: int,
    num_replicates: int,
    seed: int | np.random.Generator,
    groups: Int64[np.ndarray, " m"] | None = None,
) -> Int64[np.ndarray, "b m"]:
    """Return how often each picture is drawn in each replicate.

    Args:
        num_images: m, at least 1.
        num_replicates: b.
        seed: The same seed draws the same pictures; or a generator, to go on drawing.
        groups: The group of each picture, such as its video or patient. Pictures of one group
            are drawn together, since they resemble each other; so many groups as there are.

    >>> draw_pictures(4, 1, 0, groups=np.array([5, 5, 8, 8])).tolist()
    [[1, 1, 1, 1]]
    """
    rng = np.random.default_rng(seed)
    if groups is None:
        return rng.multinomial(num_images, np.full(num_images, 1 / num_images), num_replicates)
    names, owner = np.unique(groups, return_inverse=True)
    n = len(names)
    return rng.multinomial(n, np.full(n, 1 / n), num_replicates)[:, owner]


def picture_owners(groups: Sequence[object] | None, num_images: int) -> Int64[np.ndarray, " m"]:
    """Return the group of each picture as a number; every picture is its own by default.

    Raises:
        EvaluationError: Not one entry per picture.

    >>> picture_owners(["film 1", "film 2", "film 1"], 3).tolist()
    [0, 1, 0]
    """
    if groups is None:
        return np.arange(num_images)
    if len(groups) != num_images:
        raise EvaluationError(
            f"groups must hold one entry per picture ({num_images}), got {len(groups)}"
        )
    numbers = {name: number for number, name in enumerate(dict.fromkeys(groups))}
    return np.array([numbers[name] for name in groups], np.int64)


def _chunks(
    num_images: int, resampling: Resampling, owners: Int64[np.ndarray, " m"]
) -> Iterator[Int64[np.ndarray, "b m"]]:
    """All replicates, so many at a time that they fit."""
    rng = np.random.default_rng(resampling.seed)
    groups = None if resampling.groups is None else owners
    left = resampling.num_replicates
    while left:
        some = min(left, max(1, _CHUNK // num_images))
        yield draw_pictures(num_images, some, rng, groups)
        left -= some
