"""Precision, recall and F1 against the score threshold, of every class.

Objects are matched once, as COCO matches them (`match_in_class`); a point of a curve then counts
what scores at least so much. Points stand only between different scores: objects that share a
score are kept or left together.

Shapes: d different scores of a class, falling.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float64

from maskwright.errors import EvaluationError
from maskwright.evaluation.analysis.matching import lies_in_crowd, match_in_class
from maskwright.evaluation.analysis.pairs import FoundAndTrue

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ALL_CLASSES", "Curve", "CurvePoint", "Curves", "curve_of", "score_curves"]

ALL_CLASSES = "(all)"
"""Name of the curve over all objects, classes not told apart when counting."""

_MAX_POINTS = 101
"""Points of a curve that `as_dict` writes."""


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """What a score threshold gives.

    Args:
        threshold: Found objects below it are left out.
        precision: Right among kept, 0 to 1.
        recall: Found among true.
        f1: Harmonic mean of the two.
    """

    threshold: float
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """Precision and recall of a class at every threshold that changes them.

    Args:
        num_true: True objects, crowds left out.
        num_found: Found objects that count.
        scores: (d,) thresholds, falling.
        precision: (d,) at each.
        recall: (d,) at each; all 0 without true objects.
    """

    num_true: int
    num_found: int
    scores: Float64[np.ndarray, " d"]
    precision: Float64[np.ndarray, " d"]
    recall: Float64[np.ndarray, " d"]

    @property
    def f1(self) -> Float64[np.ndarray, " d"]:
        """Harmonic mean of precision and recall, 0 where both are."""
        both = self.precision + self.recall
        ratio: np.ndarray = 2 * self.precision * self.recall / np.where(both > 0, both, 1.0)
        return ratio

    def point(self, index: int) -> CurvePoint:
        """Return one point of the curve."""
        columns = (self.scores, self.precision, self.recall, self.f1)
        threshold, precision, recall, f1 = (float(column[index]) for column in columns)
        return CurvePoint(threshold=threshold, precision=precision, recall=recall, f1=f1)

    def best_f1(self) -> CurvePoint | None:
        """Return the point of the highest F1, of equals that of the highest threshold.

        None without a right object, where no threshold is better than another.
        """
        return self.point(int(np.argmax(self.f1))) if self.f1.any() else None

    def for_precision(self, wanted: float) -> CurvePoint | None:
        """Return the point of highest recall among those of this precision or more, or None."""
        reached = np.flatnonzero(self.precision >= wanted)
        return self.point(int(reached[-1])) if len(reached) else None

    def for_recall(self, wanted: float) -> CurvePoint | None:
        """Return the point of highest precision among those of this recall or more, or None."""
        reached = np.flatnonzero(self.recall >= wanted)
        if not len(reached):
            return None
        return self.point(int(reached[np.argmax(self.precision[reached])]))

    def as_dict(self) -> dict[str, Any]:
        """Return plain values: up to 101 points, evenly spread over the curve's own."""
        chosen = np.arange(len(self.scores))
        if len(chosen) > _MAX_POINTS:
            chosen = np.unique(np.linspace(0, len(chosen) - 1, _MAX_POINTS).round().astype(int))
        best = self.best_f1()
        return {
            "num_true": self.num_true,
            "num_found": self.num_found,
            "scores": self.scores[chosen].tolist(),
            "precision": self.precision[chosen].tolist(),
            "recall": self.recall[chosen].tolist(),
            "best_f1": None if best is None else vars(best).copy(),
        }


@dataclass(frozen=True, kw_only=True)
class Curves:
    """The curves at one IoU threshold.

    Args:
        iou_threshold: From which IoU a found object is right.
        total: Over all classes together.
        per_class: Class name -> its curve; classes with neither found nor true objects left out.
    """

    iou_threshold: float
    total: Curve
    per_class: Mapping[str, Curve]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for json."""
        return {
            "iou_threshold": self.iou_threshold,
            "total": self.total.as_dict(),
            "per_class": {name: one.as_dict() for name, one in self.per_class.items()},
        }

    def to_dataframe(self) -> pd.DataFrame:
        """Return a row per class, "(all)" first, with the point of its highest F1."""
        import pandas as pd

        rows = []
        for name, curve in ({ALL_CLASSES: self.total} | dict(self.per_class)).items():
            best = curve.best_f1()
            counts = {"class": name, "num_true": curve.num_true, "num_found": curve.num_found}
            rows.append(counts | ({} if best is None else vars(best)))
        columns = ("class", "num_true", "num_found", "threshold", "precision", "recall", "f1")
        return pd.DataFrame(rows, columns=list(columns))


def score_curves(objects: FoundAndTrue, *, iou_threshold: float = 0.5) -> Curves:
    """Return the curves of all classes and of each.

    Args:
        objects: Found and true.
        iou_threshold: From which IoU a found object is right, above 0.

    Raises:
        EvaluationError: A threshold out of range.
    """
    if not 0 < iou_threshold <= 1:
        raise EvaluationError(f"iou_threshold must be above 0 and at most 1, got {iou_threshold}")
    partner = match_in_class(objects, iou_threshold)
    counted = ~lies_in_crowd(objects, partner, iou_threshold)
    is_right, scores = partner[counted] >= 0, objects.found.scores[counted]
    labels = objects.found.labels[counted]
    names = objects.truth.class_names
    true_labels = objects.truth.objects.labels[objects.is_single]
    num_true = np.bincount(true_labels, minlength=len(names)).tolist()
    order = np.argsort(labels, kind="stable")
    ends = np.searchsorted(labels[order], np.arange(len(names) + 1))
    per_class = {}
    for label, name in enumerate(names):
        rows = order[ends[label] : ends[label + 1]]
        if len(rows) or num_true[label]:
            per_class[name] = curve_of(is_right[rows], scores[rows], num_true[label])
    return Curves(
        iou_threshold=iou_threshold,
        total=curve_of(is_right, scores, sum(num_true)),
        per_class=per_class,
    )


def curve_of(
    is_right: Bool[np.ndarray, " n"], scores: Float64[np.ndarray, " n"], num_true: int
) -> Curve:
    """Return the curve of found objects of which it is known whether they are right.

    >>> curve = curve_of(np.array([True, False, True]), np.array([0.9, 0.5, 0.5]), 2)
    >>> curve.scores.tolist(), curve.recall.tolist()
    ([0.9, 0.5], [0.5, 1.0])
    """
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(is_right[order])
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(ranked) else order
    return Curve(
        num_true=num_true,
        num_found=len(scores),
        scores=ranked[last],
        precision=hits[last] / (last + 1),
        recall=hits[last] / max(num_true, 1),
    )
