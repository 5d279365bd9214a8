"""Two sets of predictions in one data set: every picture twice, so that a replicate is weights.

Of the doubled pictures 2i has A's predictions of picture i and 2i + 1 has B's. Weights on even
pictures score A, on odd ones B, and on one of each pair a mixture of both. Nothing is matched
again.

Shapes: m pictures, b replicates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64, Int64

from maskwright.data.federation import Federation
from maskwright.evaluation.inputs import Inputs
from maskwright.evaluation.objects import Objects
from maskwright.evaluation.resampling import (
    Interval,
    Key,
    Resampling,
    Statistic,
    draw_pictures,
    interval_around,
    overall_keys,
    picture_owners,
)
from maskwright.evaluation.truth import Truth

__all__ = ["PairedNumber", "differences", "doubled", "one_side", "paired_numbers"]


@dataclass(frozen=True, kw_only=True)
class PairedNumber:
    """One number of A and of B.

    Args:
        a: A's; None where it is undefined.
        b: B's.
        difference: B's minus A's.
        interval: 95 % interval of the difference; None without one.
        p_value: Of the hypothesis that A and B are equally good, two-sided.
    """

    a: float | None
    b: float | None
    difference: float | None
    interval: Interval | None
    p_value: float | None


def doubled(true: Truth, a: Objects, b: Objects) -> Inputs:
    """Return every picture twice, with A's predictions and then with B's; ids count from 0."""
    twice = [0, 1]
    federation = true.federation
    if federation is not None:
        every = np.repeat(np.arange(len(true.image_ids)), 2).tolist()
        federation = Federation.of(
            federation.frequencies,
            [federation.negative(image) for image in every],
            [federation.partial(image) for image in every],
        )
    twofold = replace(
        true,
        image_ids=tuple(range(2 * len(true.image_ids))),
        file_names=tuple(name for name in true.file_names for _ in twice),
        sizes=tuple(size for size in true.sizes for _ in twice),
        objects=_joined(*(_moved(true.objects, side) for side in twice)),
        federation=federation,
        copies=2 * true.copies,
    )
    return Inputs(twofold, _joined(_moved(a, 0), _moved(b, 1)))


def paired_numbers(
    statistic: Statistic, num_images: int, resampling: Resampling
) -> dict[Key, PairedNumber]:
    """Return every number over all classes, of A and B, with interval and p-value.

    Args:
        statistic: Over doubled pictures.
        num_images: m.
        resampling: How pictures are drawn and swapped.
    """
    owners = picture_owners(resampling.groups, num_images)
    once = np.ones((1, num_images), np.int64)
    a, b = (_overall(statistic(one_side(once, side))) for side in (0, 1))
    drawn: dict[Key, np.ndarray] = {}
    swapped: dict[Key, np.ndarray] = {}
    if resampling.num_replicates and len(np.unique(owners)) > 1:
        rng = np.random.default_rng(resampling.seed)
        groups = None if resampling.groups is None else owners
        weights = draw_pictures(num_images, resampling.num_replicates, rng, groups)
        drawn = differences(statistic, one_side(weights, 0), one_side(weights, 1))
        coins = rng.integers(0, 2, (resampling.num_replicates, owners.max() + 1))[:, owners]
        swapped = differences(statistic, _mixture(coins), _mixture(1 - coins))
    numbers = {}
    for key in a:
        difference = float(b[key][0] - a[key][0])
        numbers[key] = PairedNumber(
            a=_plain(float(a[key][0])),
            b=_plain(float(b[key][0])),
            difference=_plain(difference),
            interval=interval_around(difference, drawn.get(key, np.zeros(0)), resampling.level),
            p_value=_p_value(swapped.get(key), difference),
        )
    return numbers


def one_side(weights: Int64[np.ndarray, "b m"], side: int) -> Int64[np.ndarray, "b m2"]:
    """Return weights of the doubled pictures that hold the predictions of A (0) or B (1)."""
    twofold = np.zeros((len(weights), 2 * weights.shape[1]), np.int64)
    twofold[:, side::2] = weights
    return twofold


def _mixture(takes_b: Int64[np.ndarray, "b m"]) -> Int64[np.ndarray, "b m2"]:
    """Every picture once, with B's predictions where 1 and A's where 0."""
    mixture: np.ndarray = one_side(1 - takes_b, 0) + one_side(takes_b, 1)
    return mixture


def differences(
    statistic: Statistic, of_a: Int64[np.ndarray, "b m2"], of_b: Int64[np.ndarray, "b m2"]
) -> dict[Key, Float64[np.ndarray, " b"]]:
    """Return B's numbers minus A's, of weights on either's pictures."""
    a, b = _overall(statistic(of_a)), _overall(statistic(of_b))
    return {key: b[key] - a[key] for key in a}


def _overall(values: Mapping[Key, np.ndarray]) -> dict[Key, np.ndarray]:
    """Leave the numbers of single classes out: too many to test at once."""
    return {key: values[key] for key in overall_keys(values)}


def _p_value(values: Float64[np.ndarray, " b"] | None, difference: float) -> float | None:
    values = np.zeros(0) if values is None else values[np.isfinite(values)]
    if not len(values) or not np.isfinite(difference):
        return None
    # A hair of room, since equal sums of floats may differ in the last place.
    as_far = int((np.abs(values) >= abs(difference) - 1e-12).sum())
    return (1 + as_far) / (1 + len(values))


def _moved(objects: Objects, side: int) -> Objects:
    return replace(objects, images=2 * objects.images + side)


def _joined(one: Objects, other: Objects) -> Objects:
    segmentations = None
    if one.segmentations is not None and other.segmentations is not None:
        segmentations = one.segmentations + other.segmentations
    columns = ("images", "labels", "boxes", "areas", "is_crowd", "scores")
    joined = {name: np.concatenate([getattr(one, name), getattr(other, name)]) for name in columns}
    return Objects(**joined, segmentations=segmentations)


def _plain(value: float) -> float | None:
    return value if np.isfinite(value) else None
