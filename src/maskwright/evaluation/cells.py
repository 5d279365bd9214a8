"""Cell metrics: AP and F1 against IoU, aggregated Jaccard index, and how far counts are off.

- AP at an IoU is TP / (TP + FP + FN), F1 is 2 TP / (2 TP + FP + FN). StarDist pools the counts of
  all pictures; Cellpose takes the mean of each picture's AP. Both are given. (COCO's AP is another
  number: it ranks by score.)
- AJI: Kumar et al., A Dataset and a Technique for Generalized Nuclear Segmentation, 2017,
  algorithm 1: each true object takes the found one of largest IoU, which may serve twice. AJI+
  (Graham et al., HoVer-Net, 2019) pairs one to one. Mean over pictures.
- Counting: found minus true objects per picture.

Pairs are of one class (`pairing.py`). A number without a base, since neither side holds an object,
is -1; pictures where both sides are empty are left out of means over pictures, except counting.

Shapes: t IoU thresholds, m pictures, k classes, b bootstrap replicates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from jaxtyping import Float64, Int64

from maskwright.errors import EvaluationError
from maskwright.evaluation.resampling import draw_pictures
from maskwright.evaluation.objects import Objects
from maskwright.evaluation.overlaps import Overlaps, measure_overlaps
from maskwright.evaluation.pairing import Pairing, pair_objects, picture_tables
from maskwright.evaluation.predictions import PredictionSource, load_results, read_predictions
from maskwright.evaluation.truth import Truth, TruthSource, load_truth, read_truth

if TYPE_CHECKING:
    from rich.console import Group

__all__ = ["CellCounts", "CellMetrics", "Interval", "evaluate_cells"]

Interval: TypeAlias = tuple[float, float]
"""Lower and upper end."""

_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).round(2).tolist())
_LEVEL = 0.95
_Statistic: TypeAlias = "Callable[[np.ndarray], np.ndarray]"


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


@dataclass(frozen=True, kw_only=True)
class CellMetrics:
    """How well objects are separated and counted.

    Args:
        counts: IoU threshold -> counts over all pictures.
        mean_ap: IoU threshold -> mean of the pictures' AP, as Cellpose reports it.
        numbers: "AP", "AP50", "AP75", "F1", "AJI", "AJI+", "count error" (mean of found minus
            true objects) and "count distance" (mean of its absolute value); AP and F1 pooled,
            AP over IoU 0.50 to 0.95, F1 at 0.50.
        intervals: Number -> its 95 % bootstrap interval over pictures; empty without one.
        per_class: Class name -> counts at IoU 0.50.
        score_threshold: Found objects below it are left out.
        num_images: Pictures of the truth.
        notes: What a reader must know, in sentences.
    """

    counts: Mapping[float, CellCounts]
    mean_ap: Mapping[float, float]
    numbers: Mapping[str, float]
    intervals: Mapping[str, Interval]
    per_class: Mapping[str, CellCounts]
    score_threshold: float
    num_images: int
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, all finite, ready for json."""
        return {
            "numbers": dict(self.numbers),
            "intervals": {name: list(ends) for name, ends in self.intervals.items()},
            "by_iou": {
                f"{iou:.2f}": asdict(one) | {"mean_ap": self.mean_ap[iou]}
                for iou, one in self.counts.items()
            },
            "per_class": {name: asdict(one) for name, one in self.per_class.items()},
            "score_threshold": self.score_threshold,
            "images": self.num_images,
            "notes": list(self.notes),
        }

    def to_table(self) -> Group:
        """Return the numbers as rich tables, ready to be printed."""
        from maskwright.evaluation.cell_tables import cell_tables

        return cell_tables(self)


def evaluate_cells(
    predictions: PredictionSource,
    truth: TruthSource,
    *,
    score_threshold: float = 0.5,
    groups: Sequence[int] | None = None,
    num_replicates: int = 1000,
    seed: int = 0,
) -> CellMetrics:
    """Score masks as cell segmentations are scored.

    Args:
        predictions: As for `evaluate`.
        truth: As for `evaluate`.
        score_threshold: Found objects below it are left out, since these metrics do not rank.
        groups: Group of each picture, by ascending image id, for the intervals; see
            `draw_pictures`.
        num_replicates: Of the bootstrap; 0 for no intervals.
        seed: Of the bootstrap.

    Raises:
        DataError: The truth cannot be read or contradicts itself.
        EvaluationError: A prediction that does not fit the truth, or an option out of range.

    >>> square = {"size": [20, 20], "counts": [42, 6, 14, 6, 14, 6, 312]}
    >>> truth = {
    ...     "images": [{"id": 1, "height": 20, "width": 20, "file_name": "a.png"}],
    ...     "categories": [{"id": 1, "name": "cell"}],
    ...     "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": square}],
    ... }
    >>> found = [{"image_id": 1, "category_id": 1, "score": 0.9, "segmentation": square}]
    >>> evaluate_cells(found, truth).numbers["AJI"]
    1.0
    """
    if not np.isfinite(score_threshold) or num_replicates < 0:
        raise EvaluationError(
            "score_threshold must be finite and num_replicates 0 or more, "
            f"got {score_threshold} and {num_replicates}"
        )
    true = read_truth(load_truth(truth), need_masks=True)
    every = read_predictions(load_results(predictions), true, need_masks=True)
    m = len(true.image_ids)
    if groups is not None and len(groups) != m:
        raise EvaluationError(f"groups must hold one entry per picture ({m}), got {len(groups)}")
    found = _above(every, score_threshold)
    overlaps = measure_overlaps(true, found)
    counter = _Pictures(true, found, pair_objects(true, found, overlaps, _THRESHOLDS), overlaps)
    statistics = counter.statistics()
    once = np.ones((1, m), np.int64)
    numbers = {name: _plain(statistic(once)[0]) for name, statistic in statistics.items()}
    intervals, notes = {}, _notes(true, every, found, score_threshold)
    if m < 2:
        notes.append("No intervals: two or more pictures are needed.")
    elif num_replicates:
        owner = None if groups is None else np.asarray(groups)
        intervals = _intervals(statistics, draw_pictures(m, num_replicates, seed, owner))
    return CellMetrics(
        counts=dict(zip(_THRESHOLDS, counter.pooled(), strict=True)),
        mean_ap=dict(zip(_THRESHOLDS, counter.mean_ap(), strict=True)),
        numbers=numbers,
        intervals=intervals,
        per_class=counter.per_class(),
        score_threshold=score_threshold,
        num_images=m,
        notes=tuple(notes),
    )


class _Pictures:
    """What every picture adds to the sums."""

    def __init__(self, true: Truth, found: Objects, pairing: Pairing, overlaps: Overlaps) -> None:
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
        sums = (each[0].sum(axis=0).tolist() for each in (self.hits, self.false, self.missed))
        counts = [CellCounts.of(*each) for each in zip(*sums, strict=True)]
        return dict(zip(self._true.class_names, counts, strict=True))

    def statistics(self) -> dict[str, _Statistic]:
        """Name -> a function from picture weights (b, m) to values (b,), NaN where undefined."""
        hits, false, missed = (each.sum(axis=2).T for each in (self.hits, self.false, self.missed))

        def ap(weights: np.ndarray) -> np.ndarray:
            return _divide(weights @ hits, weights @ (hits + false + missed))

        def f1(weights: np.ndarray) -> np.ndarray:
            return _divide(weights @ (2 * hits), weights @ (2 * hits + false + missed))

        def mean(values: np.ndarray) -> _Statistic:
            known = np.isfinite(values)
            filled = np.where(known, values, 0.0)
            return lambda weights: _divide(weights @ filled, weights @ known.astype(np.int64))

        return {
            "AP": lambda weights: ap(weights).mean(axis=1),
            "AP50": lambda weights: ap(weights)[:, 0],
            "AP75": lambda weights: ap(weights)[:, 5],
            "F1": lambda weights: f1(weights)[:, 0],
            "AJI": mean(self.aji),
            "AJI+": mean(self.aji_plus),
            "count error": mean(self.difference.astype(np.float64)),
            "count distance": mean(np.abs(self.difference).astype(np.float64)),
        }


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


def _above(found: Objects, score_threshold: float) -> Objects:
    kept = np.flatnonzero(found.scores >= score_threshold)
    assert found.segmentations is not None
    return Objects(
        images=found.images[kept],
        labels=found.labels[kept],
        boxes=found.boxes[kept],
        areas=found.areas[kept],
        is_crowd=found.is_crowd[kept],
        scores=found.scores[kept],
        segmentations=[found.segmentations[row] for row in kept],
    )


def _intervals(
    statistics: Mapping[str, _Statistic], weights: Int64[np.ndarray, "b m"]
) -> dict[str, Interval]:
    intervals = {}
    for name, statistic in statistics.items():
        values = statistic(weights)
        values = values[np.isfinite(values)]
        if len(values):
            low, high = np.quantile(values, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2]).tolist()
            intervals[name] = (low, high)
    return intervals


def _notes(true: Truth, every: Objects, found: Objects, score_threshold: float) -> list[str]:
    notes = []
    if true.objects.is_crowd.all():
        notes.append(f"The truth ({true.source}) holds no single objects.")
    if len(every) and not len(found):
        notes.append(
            f"All {len(every)} predictions score below {score_threshold}, so none is counted: "
            "give a lower score threshold."
        )
    elif not len(every):
        notes.append("There are no predictions.")
    return notes


def _tally(
    images: np.ndarray, labels: np.ndarray, shape: tuple[int, int]
) -> Int64[np.ndarray, "m k"]:
    return np.bincount(images * shape[1] + labels, minlength=shape[0] * shape[1]).reshape(shape)


def _divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    whole = np.where(denominator > 0, denominator, 1)
    return np.where(denominator > 0, numerator / whole, np.nan)


def _plain(value: float) -> float:
    return float(value) if np.isfinite(value) else -1.0


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else -1.0
