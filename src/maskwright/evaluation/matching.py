"""COCO's matching, for any IoU thresholds, size ranges and kinds of overlap.

Detections of a picture and class, best score first, each take the closest true object that is
still free and reaches the threshold; of equally close ones the last; an object that counts before
one that is to be ignored (a crowd, or one of another size), and a crowd may be taken often
(pycocotools, `COCOeval.evaluateImg`). A later detection never changes an earlier one's match, so
fewer detections per picture are had by leaving out ranks.

The libraries behind `counting.py` give the canonical numbers; this gives the outcome of every
detection, which intervals, paired tests and unusual thresholds are counted from (`ranking.py`).
The tests hold the two equal.

Shapes: n detections within the limit, f all found objects, g true objects, m pictures, k classes,
t IoU thresholds, a size ranges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int8, Int64

from maskwright.evaluation.closeness import Closeness, ClosenessTables
from maskwright.evaluation.objects import Objects
from maskwright.evaluation.truth import Truth
from maskwright.masks.kernels import kernel

__all__ = ["ALL_SIZES", "COCO_SIZES", "COCO_THRESHOLDS", "Outcomes", "match_objects"]

COCO_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).tolist())
ALL_SIZES = ((0.0, 1e10),)
COCO_SIZES = ((0.0, 1e10), (0.0, 32.0**2), (32.0**2, 96.0**2), (96.0**2, 1e10))
"""All, small, medium and large: square pixels, both ends inside, as in pycocotools."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcomes:
    """What became of every detection, by picture and class and then by falling score.

    Args:
        thresholds: The t IoU thresholds.
        rows: (n,) row of each detection among the found objects.
        pictures: (n,) index of its picture.
        labels: (n,) index of its class.
        scores: (n,) its confidence.
        ranks: (n,) its place among those of its picture and class, from 0.
        outcome: (a, t, n) 1 right, 2 wrong, 0 counts neither way.
        true_pictures: (g,) index of the picture of each true object.
        true_labels: (g,) index of its class.
        is_counted: (a, g) whether it counts: no crowd, and of that size.
        num_images: m.
        num_classes: k.
    """

    thresholds: tuple[float, ...]
    rows: Int64[np.ndarray, " n"]
    pictures: Int64[np.ndarray, " n"]
    labels: Int64[np.ndarray, " n"]
    scores: Float64[np.ndarray, " n"]
    ranks: Int64[np.ndarray, " n"]
    outcome: Int8[np.ndarray, "a t n"]
    true_pictures: Int64[np.ndarray, " g"]
    true_labels: Int64[np.ndarray, " g"]
    is_counted: Bool[np.ndarray, "a g"]
    num_images: int
    num_classes: int


def match_objects(
    truth: Truth,
    found: Objects,
    closeness: Closeness,
    *,
    limit: int,
    thresholds: Sequence[float] = COCO_THRESHOLDS,
    sizes: Sequence[tuple[float, float]] = ALL_SIZES,
    is_partial: Bool[np.ndarray, " f"] | None = None,
) -> Outcomes:
    """Match every picture and class.

    Args:
        truth: The true objects.
        found: The found ones.
        closeness: Of the two.
        limit: How many detections of a picture and class take part, best scores first.
        thresholds: IoU that a match must reach.
        sizes: Ranges of areas in square pixels; objects of another size count neither way.
        is_partial: (f,) found objects of a class of which not every object of their picture is
            annotated (LVIS): without a match they count neither way.
    """
    true, tables = truth.objects, ClosenessTables(closeness, truth, found, limit)
    order, true_order = tables.rows, tables.true_rows
    outcome = np.zeros((len(sizes), len(thresholds), len(order)), np.int8)
    is_counted = np.zeros((len(sizes), len(true)), bool)
    for a, (low, high) in enumerate(sizes):
        ignored = true.is_crowd | (true.areas < low) | (true.areas > high)
        is_counted[a] = ~ignored
        outside = (found.areas < low) | (found.areas > high)
        if is_partial is not None:
            outside |= is_partial
        outcome[a] = _match(
            tables.values,
            tables.offsets,
            tables.starts,
            tables.true_starts,
            ignored[true_order],
            true.is_crowd[true_order],
            outside[order],
            np.asarray(thresholds, np.float64),
        )
    return Outcomes(
        thresholds=tuple(thresholds),
        rows=order,
        pictures=found.images[order],
        labels=found.labels[order],
        scores=found.scores[order],
        ranks=tables.ranks,
        outcome=outcome,
        true_pictures=true.images,
        true_labels=true.labels,
        is_counted=is_counted,
        num_images=len(truth.image_ids),
        num_classes=len(truth.class_names),
    )


@kernel
def _match(
    tables: Float64[np.ndarray, " v"],
    offsets: Int64[np.ndarray, " c+1"],
    starts: Int64[np.ndarray, " c+1"],
    true_starts: Int64[np.ndarray, " c+1"],
    ignored: Bool[np.ndarray, " g"],
    is_crowd: Bool[np.ndarray, " g"],
    outside: Bool[np.ndarray, " n"],
    thresholds: Float64[np.ndarray, " t"],
) -> Int8[np.ndarray, "t n"]:
    """The outcome of every detection in one size range."""
    n = len(outside)
    outcome = np.zeros((len(thresholds), n), np.int8)
    taken = np.zeros(len(ignored), np.bool_)
    for t in range(len(thresholds)):
        taken[:] = False
        for group in range(len(starts) - 1):
            first, last = true_starts[group], true_starts[group + 1]
            for d in range(starts[group], starts[group + 1]):
                best, chosen = min(thresholds[t], 1 - 1e-10), -1
                row = offsets[group] + (d - starts[group]) * (last - first)
                # Objects that count come first; only without one of them an ignored one.
                for wanted in (False, True):
                    if chosen >= 0:
                        break
                    for g in range(first, last):
                        if ignored[g] != wanted or (taken[g] and not is_crowd[g]):
                            continue
                        if tables[row + g - first] >= best:
                            best, chosen = tables[row + g - first], g
                if chosen < 0:
                    outcome[t, d] = 0 if outside[d] else 2
                else:
                    taken[chosen] = True
                    outcome[t, d] = 0 if ignored[chosen] else 1
    return outcome
