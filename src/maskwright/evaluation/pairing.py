"""Who is whose: found and true objects paired one to one, without regard to scores.

At each IoU threshold the pairing has the most pairs that reach it and, among these, the largest
sum of IoUs: an assignment problem, posed as StarDist (Schmidt et al. 2018, `stardist.matching`)
and Cellpose (Stringer et al. 2021, `cellpose.metrics`) pose it. Above 0.5 it is the only pairing
possible where objects of one side do not overlap.

Only objects of one class are paired. Crowds are paired with nobody; a found object without a
partner that lies with more than half its area in crowds of its class is counted neither way, as
in the panoptic quality of Kirillov et al. 2019.

Shapes: n found objects, g true objects, t IoU thresholds, m pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from maskwright.evaluation.objects import Objects, picture_groups
from maskwright.evaluation.overlaps import Overlaps
from maskwright.evaluation.truth import Truth

__all__ = ["Pairing", "assign", "pair_objects", "picture_tables"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairing:
    """The partner of every found object at every threshold.

    Args:
        thresholds: The t IoU thresholds.
        partner: (t, n) row of the true object, -1 without one.
        in_crowd: (n,) more than half of it lies in crowds of its class.
    """

    thresholds: tuple[float, ...]
    partner: Int64[np.ndarray, "t n"]
    in_crowd: Bool[np.ndarray, " n"]


def pair_objects(
    truth: Truth, found: Objects, overlaps: Overlaps, thresholds: Sequence[float]
) -> Pairing:
    """Pair the objects of every picture.

    Args:
        truth: The true objects.
        found: The found ones; all of them take part.
        overlaps: What `measure_overlaps` gave for the two.
        thresholds: IoU that a pair must reach, each in (0, 1].
    """
    partner = np.full((len(thresholds), len(found)), -1, dtype=np.int64)
    for rows, true_rows, ratios in picture_tables(truth, found, overlaps):
        for t, threshold in enumerate(thresholds):
            chosen, others = assign(ratios, threshold)
            partner[t, rows[chosen]] = true_rows[others]
    return Pairing(
        thresholds=tuple(thresholds),
        partner=partner,
        in_crowd=_mostly_in_crowds(truth, found, overlaps),
    )


def picture_tables(
    truth: Truth, found: Objects, overlaps: Overlaps, values: np.ndarray | None = None
) -> list[tuple[Int64[np.ndarray, " a"], Int64[np.ndarray, " b"], Float64[np.ndarray, "a b"]]]:
    """Return per picture the found and true rows that overlap in class, and a table of values.

    Rows without any overlap are left out; so are crowds.

    Args:
        truth: The true objects.
        found: The found ones.
        overlaps: Of the two.
        values: (p,) what the tables hold; IoU by default. 0 where two objects share no pixel.
    """
    values = overlaps.iou if values is None else values
    true = truth.objects
    same = found.labels[overlaps.found] == true.labels[overlaps.true]
    pairs = np.flatnonzero(same & ~true.is_crowd[overlaps.true])
    tables = []
    for picture_pairs in picture_groups(found.images[overlaps.found[pairs]]).values():
        own = pairs[picture_pairs]
        rows, i = np.unique(overlaps.found[own], return_inverse=True)
        true_rows, j = np.unique(overlaps.true[own], return_inverse=True)
        table = np.zeros((len(rows), len(true_rows)))
        table[i, j] = values[own]
        tables.append((rows, true_rows, table))
    return tables


def assign(
    ratios: Float64[np.ndarray, "a b"], threshold: float
) -> tuple[Int64[np.ndarray, " c"], Int64[np.ndarray, " c"]]:
    """Return rows and columns of the pairs: the most that reach the threshold, then most IoU.

    >>> assign(np.array([[0.6, 0.5], [0.9, 0.0]]), 0.5)
    (array([0, 1]), array([1, 0]))
    """
    reached = ratios >= threshold
    if (reached.sum(axis=0) < 2).all() and (reached.sum(axis=1) < 2).all():
        i, j = np.nonzero(reached)
        return i, j
    from scipy.optimize import linear_sum_assignment

    # All IoUs together weigh less than one pair more.
    gain = reached + ratios / (2 * min(ratios.shape))
    rows, columns = linear_sum_assignment(gain, maximize=True)
    kept = reached[rows, columns]
    return rows[kept], columns[kept]


def _mostly_in_crowds(truth: Truth, found: Objects, overlaps: Overlaps) -> np.ndarray:
    true = truth.objects
    same = found.labels[overlaps.found] == true.labels[overlaps.true]
    pairs = np.flatnonzero(same & true.is_crowd[overlaps.true])
    inside = np.bincount(overlaps.found[pairs], overlaps.common[pairs], minlength=len(found))
    mostly: np.ndarray = inside > 0.5 * overlaps.found_areas
    return mostly
