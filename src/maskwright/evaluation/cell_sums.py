"""What every picture adds to the cell metrics: pairs by IoU, and Jaccard indices.

Shapes: t IoU thresholds, m pictures, k classes, b sets of picture weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from maskwright.evaluation.inputs import Inputs
from maskwright.evaluation.objects import Objects
from maskwright.evaluation.overlaps import Overlaps
from maskwright.evaluation.pairing import pair_objects, picture_tables
from maskwright.evaluation.resampling import Key
from maskwright.evaluation.truth import Truth

__all__ = ["CELL_THRESHOLDS", "CellCounts", "CellSums"]

CELL_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).round(2).tolist())


@dataclass(frozen=True, kw_only=True)
class CellCounts:
    """Objects counted at one IoU over all pictures.

    Args:
        true_positives: Pairs.
        false_positives: Found objects without a partner.
        false_negatives: True objects without a partner.
        ap: TP / (TP + FP + FN); -1 without objects on either side.
        f1: 2 TP / (2 TP + FP + FN); -1 likewise.
        precision: TP / (TP + FP); -1 without found objects.
        recall: TP / (TP + FN); -1 without true objects.
    """

    true_positives: int
    false_positives: int
    false_negatives: int
    ap: float
    f1: float
    precision: float
    recall: float

    @classmethod
    def of(cls, hits: int, false: int, missed: int) -> CellCounts:
        """Return the counts with their ratios."""
        return cls(
            true_positives=hits,
            false_positives=false,
            false_negatives=missed,
            ap=_ratio(hits, hits + false + missed),
            f1=_ratio(2 * hits, 2 * hits + false + missed),
            precision=_ratio(hits, hits + false),
            recall=_ratio(hits, hits + missed),
        )


class CellSums:
    """The sums over pictures from which all cell metrics come.

    Args:
        inputs: Truth and those found objects that count, with masks.
    """

    def __init__(self, inputs: Inputs) -> None:
        true, found, overlaps = inputs.true, inputs.found, inputs.overlaps
        pairing = pair_objects(true, found, overlaps, CELL_THRESHOLDS)
        self._true = true
        shape = (len(true.image_ids), len(true.class_names))
        real = ~true.objects.is_crowd
        num_true = _tally(true.objects.images[real], true.objects.labels[real], shape)
        paired = pairing.partner >= 0
        self.hits = np.stack([_tally(found.images[p], found.labels[p], shape) for p in paired])
        alone = ~paired & ~pairing.in_crowd
        self.false = np.stack([_tally(found.images[p], found.labels[p], shape) for p in alone])
        self.missed = num_true[None] - self.hits
        self.difference = (self.false[0] - self.missed[0]).sum(axis=1)
        self.aji, self.aji_plus = _jaccard(true, found, overlaps, pairing.in_crowd)

    def pooled(self) -> list[CellCounts]:
        """The counts over all pictures, by IoU."""
        sums = (each.sum(axis=(1, 2)).tolist() for each in (self.hits, self.false, self.missed))
        return [CellCounts.of(*each) for each in zip(*sums, strict=True)]

    def mean_ap(self) -> list[float]:
        """Cellpose's: the mean over pictures that hold an object on either side."""
        hits = self.hits.sum(axis=2)
        whole = (self.hits + self.false + self.missed).sum(axis=2)
        return [
            float((h[w > 0] / w[w > 0]).mean()) if (w > 0).any() else -1.0
            for h, w in zip(hits, whole, strict=True)
        ]

    def per_class(self) -> dict[str, CellCounts]:
        """The counts at IoU 0.50, by class name."""
        sums = (each[0].sum(axis=0).tolist() for each in (self.hits, self.false, self.missed))
        counts = [CellCounts.of(*each) for each in zip(*sums, strict=True)]
        return dict(zip(self._true.class_names, counts, strict=True))

    def statistic(self, weights: Int64[np.ndarray, "b m"]) -> dict[Key, np.ndarray]:
        """Return every number, and the AP and F1 of every class, NaN where undefined.

        Args:
            weights: How often each picture is there.
        """
        weights = weights.astype(np.float64)  # whole numbers all the same, multiplied faster
        sums = (self.hits, self.false, self.missed)
        hits, false, missed = (weights @ each.sum(axis=2).T for each in sums)  # (b, t)
        ap = _divide(hits, hits + false + missed)
        f1 = _divide(2 * hits, 2 * hits + false + missed)
        values: dict[Key, np.ndarray] = {
            ("AP",): ap.mean(axis=1),
            ("AP50",): ap[:, 0],
            ("AP75",): ap[:, 5],
            ("F1",): f1[:, 0],
            ("AJI",): _mean(weights, self.aji),
            ("AJI+",): _mean(weights, self.aji_plus),
            ("count error",): _mean(weights, self.difference.astype(np.float64)),
            ("count distance",): _mean(weights, np.abs(self.difference).astype(np.float64)),
        }
        hits, false, missed = (weights @ each[0] for each in sums)  # (b, k)
        for name, one in (
            ("AP", _divide(hits, hits + false + missed)),
            ("F1", _divide(2 * hits, 2 * hits + false + missed)),
        ):
            values |= {(name, known): one[:, k] for k, known in enumerate(self._true.class_names)}
        return values


def _jaccard(
    true: Truth, found: Objects, overlaps: Overlaps, in_crowd: np.ndarray
) -> tuple[Float64[np.ndarray, " m"], Float64[np.ndarray, " m"]]:
    """AJI and AJI+ of every picture, NaN where both sides are empty."""
    m = len(true.image_ids)
    real = ~true.objects.is_crowd
    alone = np.bincount(true.objects.images[real], overlaps.true_areas[real], minlength=m)
    common, whole = np.zeros((2, m)), np.stack([alone, alone]).astype(np.float64)
    used = np.zeros((2, len(found)), bool)
    shared = picture_tables(true, found, overlaps, overlaps.common.astype(np.float64))
    ratios = picture_tables(true, found, overlaps)
    for (rows, true_rows, ratio), (_, _, pixels) in zip(ratios, shared, strict=True):
        nearest = ratio.argmax(axis=0), np.arange(len(true_rows))
        for which, (i, j) in enumerate((nearest, _most_overlap(ratio))):
            picture = found.images[rows[0]]
            common[which, picture] += pixels[i, j].sum()
            whole[which, picture] += (overlaps.found_areas[rows[i]] - pixels[i, j]).sum()
            used[which, rows[i]] = True
    for which in range(2):
        left = ~used[which] & ~in_crowd
        whole[which] += np.bincount(found.images[left], overlaps.found_areas[left], minlength=m)
    return _divide(common[0], whole[0]), _divide(common[1], whole[1])


def _most_overlap(ratios: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The one-to-one pairing of the largest sum of IoUs."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(ratios, maximize=True)
    kept = ratios[rows, columns] > 0
    return rows[kept], columns[kept]


def _tally(
    images: np.ndarray, labels: np.ndarray, shape: tuple[int, int]
) -> Int64[np.ndarray, "m k"]:
    return np.bincount(images * shape[1] + labels, minlength=shape[0] * shape[1]).reshape(shape)


def _mean(weights: np.ndarray, values: Float64[np.ndarray, " m"]) -> Float64[np.ndarray, " b"]:
    known = np.isfinite(values)
    return _divide(weights[:, known] @ values[known], weights[:, known].sum(axis=1))


def _divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    whole = np.where(denominator > 0, denominator, 1)
    return np.where(denominator > 0, numerator / whole, np.nan)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else -1.0
