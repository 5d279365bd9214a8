"""AP and AR of data sets in which pictures are repeated, from one matching.

Matching happens inside a picture, so it is done once (`matching.py`). A data set in which each
picture is there so often is a whole weight per picture, and its precision and recall come from
weighted cumulative sums of outcomes. With every weight 1 the numbers are pycocotools'. (Where
detections of one picture and class share a score, their copies would be ranked together here and
in turn there.)

Shapes: n detections, m pictures, k classes, t IoU thresholds, a size ranges, b data sets,
l limits on detections per picture and class.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int8, Int64

from maskwright.evaluation.matching import Outcomes
from maskwright.evaluation.objects import picture_groups
from maskwright.masks.kernels import kernel
from maskwright.masks.threads import in_parts

__all__ = ["SIZE_SUFFIXES", "ClassCurves", "class_curves", "ranked_numbers"]

_RECALLS = np.linspace(0.0, 1.0, 101)
"""COCO's recalls, over which precision is averaged."""

_SINGLE = {"AP50": 0.5, "AP75": 0.75}

SIZE_SUFFIXES = ("s", "m", "l")
"""What COCO adds to the name of a number for small, medium and large objects."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassCurves:
    """One class in every data set; NaN where it has no true object there.

    Args:
        label: The class.
        ap: (b, t) mean of the best precision at 101 recalls.
        recall: (b, t, l) highest recall within each limit.
    """

    label: int
    ap: Float64[np.ndarray, "b t"]
    recall: Float64[np.ndarray, "b t l"]


def class_curves(
    outcomes: Outcomes,
    weights: Int64[np.ndarray, "b m"],
    *,
    size: int = 0,
    limits: Sequence[int] = (),
) -> Iterator[ClassCurves]:
    """Yield the curves of every class that has a true object, by label.

    Args:
        outcomes: Of all pictures, each once.
        weights: How often each picture is there, 0 or more; one row per data set.
        size: Which of the size ranges.
        limits: Of the recalls; AP is over all detections that were matched.
    """
    weights = np.ascontiguousarray(weights, dtype=np.int64)
    outcome, counted = outcomes.outcome[size], np.flatnonzero(outcomes.is_counted[size])
    by_class = np.lexsort((outcomes.pictures, -outcomes.scores, outcomes.labels))
    starts = np.searchsorted(outcomes.labels[by_class], np.arange(outcomes.num_classes + 1))
    for label, true_rows in picture_groups(outcomes.true_labels[counted]).items():
        own = by_class[starts[label] : starts[label + 1]]
        own = own[outcome[:, own].any(axis=0)]
        there, times = np.unique(outcomes.true_pictures[counted[true_rows]], return_counts=True)
        # Most limits hold back nothing: those recalls are the one without a limit.
        binding = [limit for limit in limits if limit <= outcomes.ranks[own].max(initial=-1)]
        ap, recalls = _curves_in_parts(
            (*_events(outcome[:, own]), outcomes.ranks[own], outcomes.pictures[own]),
            weights,
            weights[:, there] @ times,
            np.asarray(binding, np.int64),
        )
        columns = [binding.index(one) if one in binding else len(binding) for one in limits]
        recall = recalls[:, :, columns]
        yield ClassCurves(label=label, ap=ap, recall=recall)


def ranked_numbers(
    outcomes: Outcomes,
    weights: Int64[np.ndarray, "b m"],
    *,
    limits: Mapping[str, int],
    buckets: Mapping[str, Sequence[int]] | None = None,
) -> tuple[dict[str, Float64[np.ndarray, " b"]], dict[int, Float64[np.ndarray, " b"]]]:
    """Return COCO's numbers of every data set, NaN where undefined, and the AP of each class.

    Args:
        outcomes: With one size range, or with COCO's four.
        weights: How often each picture is there.
        limits: Recall -> its limit on detections, such as {"AR1": 1, "AR100": 100}; the last is
            also that of the recalls by size.
        buckets: Suffix -> classes whose AP is averaged by itself, as LVIS does ("r", "c", "f").

    Returns:
        "AP", "AP50" and "AP75" (where these thresholds are among the outcomes'), "APs" to "APl",
        the AP of the buckets, recalls, "ARs" to "ARl"; and label -> AP.
    """
    mean = _Means(len(weights))
    per_class: dict[int, np.ndarray] = {}
    at = _single_thresholds(outcomes.thresholds)
    for curves in class_curves(outcomes, weights, limits=list(limits.values())):
        per_class[curves.label] = ap = curves.ap.mean(axis=1)
        mean.add("AP", ap)
        for name, t in at.items():
            mean.add(name, curves.ap[:, t])
        for suffix, labels in (buckets or {}).items():
            if curves.label in labels:
                mean.add(f"AP{suffix}", ap)
        for place, name in enumerate(limits):
            mean.add(name, curves.recall[:, :, place].mean(axis=1))
    suffixes = SIZE_SUFFIXES[: len(outcomes.outcome) - 1]
    for size, suffix in enumerate(suffixes, start=1):
        for curves in class_curves(outcomes, weights, size=size, limits=list(limits.values())[-1:]):
            mean.add(f"AP{suffix}", curves.ap.mean(axis=1))
            mean.add(f"AR{suffix}", curves.recall[:, :, 0].mean(axis=1))
    names = ["AP", *at, *(f"AP{one}" for one in (*suffixes, *(buckets or {})))]
    names += [*limits, *(f"AR{suffix}" for suffix in suffixes)]
    return {name: mean[name] for name in names}, per_class


def _single_thresholds(thresholds: Sequence[float]) -> dict[str, int]:
    """Return AP50 and AP75 with the place of their threshold, where it is there."""
    places = {name: np.flatnonzero(np.isclose(thresholds, iou)) for name, iou in _SINGLE.items()}
    return {name: int(place[0]) for name, place in places.items() if len(place)}


class _Means:
    """Means over classes in every data set, each over the classes that have a value there."""

    def __init__(self, num_sets: int) -> None:
        self._num_sets = num_sets
        self._sums: dict[str, np.ndarray] = {}
        self._counts: dict[str, np.ndarray] = {}

    def add(self, name: str, values: Float64[np.ndarray, " b"]) -> None:
        known = np.isfinite(values)
        if name not in self._sums:
            self._sums[name], self._counts[name] = np.zeros((2, self._num_sets))
        self._sums[name] += np.where(known, values, 0.0)
        self._counts[name] += known

    def __getitem__(self, name: str) -> Float64[np.ndarray, " b"]:
        if name not in self._sums:
            return np.full(self._num_sets, np.nan)
        count = self._counts[name]
        return np.where(count > 0, self._sums[name] / np.maximum(count, 1), np.nan)


def _events(
    outcome: Int8[np.ndarray, "t n"],
) -> tuple[Int64[np.ndarray, " e"], Int64[np.ndarray, " e"], Int64[np.ndarray, " t+1"]]:
    """Detections that are not wrong, by threshold and score: place, 1 if right, offsets.

    The wrong ones, most of all at high thresholds, need not be looked at one by one: how many
    there are before a right one follows from how many detections there are.
    """
    t, places = np.nonzero(outcome != 2)
    offsets = np.searchsorted(t, np.arange(len(outcome) + 1))
    return places, (outcome[t, places] == 1).astype(np.int64), offsets


def _curves_in_parts(
    detections: tuple[np.ndarray, ...],
    weights: Int64[np.ndarray, "b m"],
    num_true: Int64[np.ndarray, " b"],
    limits: Int64[np.ndarray, " l"],
) -> tuple[Float64[np.ndarray, "b t"], Float64[np.ndarray, "b t l+1"]]:
    """`_curves` with the data sets shared out among threads."""

    def some(first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = slice(first, last)
        found: tuple[np.ndarray, np.ndarray] = _curves(
            *detections, weights[chosen], num_true[chosen], _RECALLS, limits
        )
        return found

    ap, recall = zip(*in_parts(len(weights), some), strict=True)
    return np.concatenate(ap), np.concatenate(recall)


@kernel
def _curves(
    places: Int64[np.ndarray, " e"],
    is_right: Int64[np.ndarray, " e"],
    offsets: Int64[np.ndarray, " t+1"],
    ranks: Int64[np.ndarray, " n"],
    pictures: Int64[np.ndarray, " n"],
    weights: Int64[np.ndarray, "b m"],
    num_true: Int64[np.ndarray, " b"],
    recalls: Float64[np.ndarray, " r"],
    limits: Int64[np.ndarray, " l"],
) -> tuple[Float64[np.ndarray, "b t"], Float64[np.ndarray, "b t l+1"]]:
    """AP and recall of one class in every data set, the last without a limit.

    Detections come by falling score.
    """
    num_thresholds, n = len(offsets) - 1, len(pictures)
    ap = np.full((len(weights), num_thresholds), np.nan)
    highest = np.full((len(weights), num_thresholds, len(limits) + 1), np.nan)
    reached, precision = np.empty(n + 1, np.int64), np.empty(n + 1)
    within = np.zeros(len(limits), np.int64)
    times, so_far = np.empty(n, np.int64), np.empty(n, np.int64)
    wanted = np.empty(len(recalls), np.int64)
    for b in range(len(weights)):
        if num_true[b] == 0:
            continue
        total = 0
        for i in range(n):
            times[i] = weights[b, pictures[i]]
            total += times[i]
            so_far[i] = total
        for r in range(len(recalls)):
            # the fewest hits whose share is not below that recall, in the same arithmetic
            wanted[r] = max(int(recalls[r] * num_true[b]) - 1, 0)
            while wanted[r] / num_true[b] < recalls[r]:
                wanted[r] += 1
        for t in range(num_thresholds):
            hits, ignored, count = 0, 0, 0
            within[:] = 0
            # Without branches, which a processor would guess wrong at every other picture: what
            # is not drawn or not right is written and then written over.
            for event in range(offsets[t], offsets[t + 1]):
                i, right = places[event], is_right[event]
                hits += times[i] * right
                ignored += times[i] * (1 - right)
                reached[count] = hits
                # pycocotools adds the spacing of 1 against a division by zero
                precision[count] = hits / (so_far[i] - ignored + 2.220446049250313e-16)
                count += right * (times[i] > 0)
                for limit in range(len(limits)):
                    within[limit] += times[i] * right * (ranks[i] < limits[limit])
            for limit in range(len(limits)):
                highest[b, t, limit] = within[limit] / num_true[b]
            highest[b, t, len(limits)] = hits / num_true[b]
            # Between two hits precision only falls, so its best at a recall is at a hit.
            for i in range(count - 2, -1, -1):
                precision[i] = max(precision[i], precision[i + 1])
            place, mean = 0, 0.0
            for r in range(len(recalls)):
                while place < count and reached[place] < wanted[r]:
                    place += 1
                if place == count:
                    break
                mean += precision[place]
            ap[b, t] = mean / len(recalls)
    return ap, highest
