"""LVIS's numbers: AP over all classes and over rare, common and frequent ones.

Gupta et al., LVIS: A Dataset for Large Vocabulary Instance Segmentation, 2019 (arXiv:1908.03195),
and its reference, lvis-api: COCO's AP with 300 detections per picture (not per class), in which a
class counts only in pictures that show it or are verified not to ("negative"); where not every
object of a class is annotated, unmatched detections of it count neither way. hotcoco counts, our
own matching gives the intervals; the tests hold both against a third version.

Without LVIS's fields every class is looked for everywhere and frequencies are counted in the truth
(rare up to 10 pictures, common up to 100), which a note says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Int64

from maskwright.evaluation.counting import count_lvis
from maskwright.evaluation.family import FamilyMetrics
from maskwright.evaluation.inputs import Inputs
from maskwright.evaluation.matching import COCO_SIZES, match_objects
from maskwright.evaluation.metrics import mean_defined
from maskwright.evaluation.objects import Objects
from maskwright.evaluation.ranking import ranked_numbers
from maskwright.evaluation.resampling import Interval, Key, Resampling, Statistic, bootstrap
from maskwright.evaluation.truth import Truth

__all__ = ["LVIS_LIMIT", "lvis_statistic", "score_lvis"]

LVIS_LIMIT = 300
"""Detections per picture: lvis-api's default."""

_RARE, _COMMON = 10, 100
_BUCKETS = {"r": "rare", "c": "common", "f": "frequent"}
_HEADINGS = {"bbox": "box", "segm": "mask"}
_MEANINGS = {
    "AP": "IoU 0.50 to 0.95",
    "AP50": "IoU 0.50",
    "AP75": "IoU 0.75",
    "APs": "small",
    "APm": "medium",
    "APl": "large",
    "APr": "rare classes",
    "APc": "common classes",
    "APf": "frequent classes",
    "ARs": "small",
    "ARm": "medium",
    "ARl": "large",
}

LvisKind: TypeAlias = Literal["bbox", "segm"]


def score_lvis(
    inputs: Inputs,
    kinds: Sequence[LvisKind],
    *,
    limit: int = LVIS_LIMIT,
    resampling: Resampling,
) -> FamilyMetrics:
    """Score as LVIS does.

    Args:
        inputs: What was read.
        kinds: Boxes, masks or both.
        limit: Detections per picture that count, best scores first.
        resampling: For the intervals.
    """
    true = inputs.true
    federated = _federated(inputs, limit)
    buckets, notes = frequency_buckets(true)
    if true.objects.is_crowd.any():
        notes.append("The truth holds crowds, which LVIS does not know; they are ignored.")
    if limit != LVIS_LIMIT:
        notes.append(f"At {limit} detections per picture, as asked, not at LVIS's {LVIS_LIMIT}.")
    numbers: dict[str, float | None] = {}
    tables: dict[str, dict[str, dict[str, float | None]]] = {}
    counted = np.bincount(true.objects.labels, minlength=len(true.class_names))
    for kind in kinds:
        one, by_class = _numbers(kind, true, federated.found, limit, buckets)
        heading = _HEADINGS[kind]
        numbers |= {f"{heading} {name}": value for name, value in one.items()}
        for label in np.flatnonzero(counted).tolist():
            row = tables.setdefault("Per class, in %", {}).setdefault(true.class_names[label], {})
            row[f"{heading} AP"] = by_class[label]
    for label, count in enumerate(counted.tolist()):
        if count:
            tables["Per class, in %"][true.class_names[label]]["true"] = int(count)
    statistic = lvis_statistic(inputs, kinds, limit=limit)
    intervals, more = bootstrap(statistic, inputs.num_images, resampling)
    return FamilyMetrics(
        family="lvis",
        title="LVIS numbers",
        numbers=numbers,
        meanings=_meanings(kinds, limit),
        intervals={name[0]: ends for name, ends in intervals.items() if len(name) == 1},
        tables=tables,
        table_intervals={"Per class, in %": _class_intervals(intervals, kinds)},
        in_objects=frozenset({"true"}),
        num_images=inputs.num_images,
        notes=(*notes, *more),
    )


def lvis_statistic(
    inputs: Inputs, kinds: Sequence[LvisKind], *, limit: int = LVIS_LIMIT
) -> Statistic:
    """Return LVIS's numbers as a function of picture weights: (name,) or (name, class name)."""
    federated = _federated(inputs, limit)
    true, found = federated.true, federated.found
    is_partial = np.isin(_keys(true, found), _listed(true, "partial"))
    matched = {
        kind: match_objects(
            true,
            found,
            federated.closeness(kind),
            limit=limit,
            sizes=COCO_SIZES,
            is_partial=is_partial,
        )
        for kind in kinds
    }
    buckets = frequency_buckets(true)[0]

    def statistic(weights: np.ndarray) -> dict[Key, np.ndarray]:
        values: dict[Key, np.ndarray] = {}
        for kind, outcomes in matched.items():
            numbers, per_class = ranked_numbers(
                outcomes, weights, limits={f"AR{limit}": limit}, buckets=buckets
            )
            heading = _HEADINGS[kind]
            values |= {(f"{heading} {name}",): one for name, one in numbers.items()}
            for label, one in per_class.items():
                values[f"{heading} AP", true.class_names[label]] = one
        return values

    return statistic


def frequency_buckets(truth: Truth) -> tuple[dict[str, list[int]], list[str]]:
    """Return the labels of rare ("r"), common ("c") and frequent ("f") classes, and notes."""
    k = len(truth.class_names)
    stated = [""] * k if truth.federation is None else list(truth.federation.frequencies)
    notes = []
    if not all(one in _BUCKETS for one in stated):
        pictures = np.unique(truth.objects.images * k + truth.objects.labels) % max(k, 1)
        times = np.bincount(pictures, minlength=k) // truth.copies
        for label in (label for label, one in enumerate(stated) if one not in _BUCKETS):
            is_rare, is_common = times[label] <= _RARE, times[label] <= _COMMON
            stated[label] = "r" if is_rare else "c" if is_common else "f"
        notes.append(
            "The truth does not say how frequent classes are in the training pictures, so the "
            f"pictures of the truth were counted: rare up to {_RARE}, common up to {_COMMON}."
        )
    if truth.federation is None:
        notes.append(
            "The truth does not say which classes were looked for in which picture, so all were."
        )
    buckets = {name: [i for i, one in enumerate(stated) if one == name] for name in _BUCKETS}
    return buckets, notes


def _federated(inputs: Inputs, limit: int) -> Inputs:
    """The best detections of each picture, and of them those whose class was looked for."""
    true, found = inputs.true, inputs.found
    order = np.lexsort((-found.scores, found.images))
    images = found.images[order]
    best = order[np.arange(len(order)) - np.searchsorted(images, images) < limit]
    kept = np.zeros(len(found), bool)
    kept[best] = True
    if true.federation is not None:
        known = np.union1d(_listed(true, "negative"), _keys(true, true.objects))
        kept &= np.isin(_keys(true, found), known)
    return inputs.keep(np.flatnonzero(kept))


def _keys(truth: Truth, objects: Objects) -> Int64[np.ndarray, " n"]:
    keys: np.ndarray = objects.images * len(truth.class_names) + objects.labels
    return keys


def _listed(truth: Truth, which: Literal["negative", "partial"]) -> Int64[np.ndarray, " c"]:
    """The pictures and classes of LVIS's lists, as `_keys`."""
    federation = truth.federation
    if federation is None:
        return np.zeros(0, np.int64)
    if which == "negative":
        offsets, labels = federation.negative_offsets, federation.negative_labels
    else:
        offsets, labels = federation.partial_offsets, federation.partial_labels
    pictures = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    keys: np.ndarray = pictures * len(truth.class_names) + labels
    return keys


def _numbers(
    kind: LvisKind, truth: Truth, found: Objects, limit: int, buckets: dict[str, list[int]]
) -> tuple[dict[str, float], list[float]]:
    """LVIS's numbers from hotcoco's arrays, and the AP of each class."""
    counts = count_lvis(kind, truth, found, limit)
    precision, recall = counts.precision[..., 0], counts.recall[..., 0]
    numbers = {
        "AP": mean_defined(precision[..., 0]),
        "AP50": mean_defined(precision[0, ..., 0]),
        "AP75": mean_defined(precision[5, ..., 0]),
    }
    numbers |= {f"AP{s}": mean_defined(precision[..., i]) for i, s in enumerate("sml", start=1)}
    for name, labels in buckets.items():
        numbers[f"AP{name}"] = mean_defined(precision[:, :, labels, 0])
    numbers[f"AR{limit}"] = mean_defined(recall[..., 0])
    numbers |= {f"AR{s}": mean_defined(recall[..., i]) for i, s in enumerate("sml", start=1)}
    by_class = [mean_defined(precision[:, :, label, 0]) for label in range(precision.shape[2])]
    return numbers, by_class


def _meanings(kinds: Sequence[LvisKind], limit: int) -> dict[str, str]:
    meanings = _MEANINGS | {f"AR{limit}": f"{limit} detections per picture"}
    return {
        f"{_HEADINGS[kind]} {name}": meaning for kind in kinds for name, meaning in meanings.items()
    }


def _class_intervals(
    intervals: dict[Key, Interval], kinds: Sequence[LvisKind]
) -> dict[str, Interval]:
    first = f"{_HEADINGS[kinds[0]]} AP"
    return {
        name[1]: ends for name, ends in intervals.items() if len(name) == 2 and name[0] == first
    }
