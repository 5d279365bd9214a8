"""Counting: how far the number of found objects is off, picture by picture.

With f and t the found and true objects of a picture: bias is the mean of f - t, MAE the mean of
|f - t|, RMSE the root of the mean of (f - t)², "relative" the mean of |f - t| / t over pictures
with objects, and "exact" the share of pictures with f = t. Objects are counted, not matched: a
miss and a false find in one picture cancel, and cell metrics (`cells.py`) say whether they do.

How many objects a crowd stands for is not known, so pictures that hold one are left out.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float64

from maskwright.evaluation.family import FamilyMetrics
from maskwright.evaluation.inputs import Inputs, above
from maskwright.evaluation.resampling import Key, Resampling, Statistic, bootstrap

__all__ = ["counting_statistic", "score_counting"]

_MEANINGS = {
    "bias": "objects, found minus true",
    "MAE": "objects, mean distance",
    "RMSE": "objects, root mean square",
    "relative": "mean distance over true count, in %",
    "exact": "pictures counted right, in %",
}
_PER_CLASS = "Per class"


def score_counting(
    inputs: Inputs, *, score_threshold: float = 0.5, resampling: Resampling
) -> FamilyMetrics:
    """Score the number of objects.

    Args:
        inputs: What was read; masks are not needed.
        score_threshold: Found objects below it are not counted.
        resampling: For the intervals.
    """
    statistic = counting_statistic(inputs, score_threshold=score_threshold)
    once = statistic(np.ones((1, inputs.num_images), np.int64))
    plain = {key: _plain(values[0]) for key, values in once.items()}
    intervals, notes = bootstrap(statistic, inputs.num_images, resampling)
    true, found = _tallies(inputs, score_threshold)
    rows: dict[str, dict[str, float | None]] = {}
    for label, name in enumerate(inputs.true.class_names):
        if true[:, label].any() or found[:, label].any():
            rows[name] = {
                **{column: plain[column, name] for column in ("bias", "MAE", "RMSE")},
                "true": int(true[:, label].sum()),
                "found": int(found[:, label].sum()),
            }
    if (num_crowded := int(_has_crowd(inputs).any(axis=1).sum())) > 0:
        notes = [*notes, f"{num_crowded} pictures with crowds are left out of the counting."]
    return FamilyMetrics(
        family="counting",
        title=f"Counting errors, scores from {score_threshold:g},",
        numbers={name: plain[name,] for name in _MEANINGS},
        meanings=_MEANINGS,
        intervals={key[0]: ends for key, ends in intervals.items() if len(key) == 1},
        tables={_PER_CLASS: rows},
        table_intervals={
            _PER_CLASS: {
                key[1]: ends
                for key, ends in intervals.items()
                if len(key) == 2 and key[0] == "bias" and key[1] in rows
            }
        },
        in_objects=frozenset({"bias", "MAE", "RMSE", "true", "found"}),
        num_images=inputs.num_images,
        notes=tuple(notes),
    )


def counting_statistic(inputs: Inputs, *, score_threshold: float = 0.5) -> Statistic:
    """Return counting errors as a function of picture weights: (name,) or (name, class name)."""
    true, found = _tallies(inputs, score_threshold)
    has_crowd = _has_crowd(inputs)
    names = inputs.true.class_names
    whole = np.asarray(~has_crowd.any(axis=1))
    parts: dict[Key, Mapping[str, np.ndarray]] = {
        (): _errors(true.sum(axis=1), found.sum(axis=1), whole)
    }
    parts |= {
        (name,): _errors(true[:, k], found[:, k], ~has_crowd[:, k]) for k, name in enumerate(names)
    }

    def statistic(weights: np.ndarray) -> dict[Key, np.ndarray]:
        values: dict[Key, np.ndarray] = {}
        for suffix, columns in parts.items():
            for name, one in columns.items():
                values[name, *suffix] = _mean(weights, one)
            values["RMSE", *suffix] = np.sqrt(values["RMSE", *suffix])
        return values

    return statistic


def _errors(
    true: Float64[np.ndarray, " m"], found: Float64[np.ndarray, " m"], known: Bool[np.ndarray, " m"]
) -> Mapping[str, Float64[np.ndarray, " m"]]:
    """What each picture adds to the means, NaN where it takes no part."""
    off = np.where(known, found - true, np.nan)
    has_objects = known & (true > 0)
    return {
        "bias": off,
        "MAE": np.abs(off),
        "RMSE": off**2,
        "relative": np.where(has_objects, np.abs(off) / np.maximum(true, 1), np.nan),
        "exact": np.where(known, (off == 0).astype(np.float64), np.nan),
    }


def _mean(weights: np.ndarray, values: Float64[np.ndarray, " m"]) -> Float64[np.ndarray, " b"]:
    known = np.isfinite(values)
    times = weights[:, known].astype(np.float64)
    total = times.sum(axis=1)
    return np.where(total > 0, times @ values[known] / np.maximum(total, 1), np.nan)


def _tallies(inputs: Inputs, score_threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """True and found objects of each picture and class, crowds left out."""
    true, found = inputs.true.objects, above(inputs.found, score_threshold)
    shape = (inputs.num_images, len(inputs.true.class_names))
    tallies = np.zeros((2, *shape))
    real = ~true.is_crowd
    np.add.at(tallies[0], (true.images[real], true.labels[real]), 1)
    np.add.at(tallies[1], (found.images, found.labels), 1)
    return tallies[0], tallies[1]


def _has_crowd(inputs: Inputs) -> Bool[np.ndarray, "m k"]:
    true = inputs.true.objects
    has_crowd = np.zeros((inputs.num_images, len(inputs.true.class_names)), bool)
    has_crowd[true.images[true.is_crowd], true.labels[true.is_crowd]] = True
    return has_crowd


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
