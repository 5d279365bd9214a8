"""Whether a score of 0.8 is right eight times in ten: calibration error and reliability.

A found object is right when it matches a true object of its class with an IoU of at least the
threshold, as COCO matches (so a second find of one object is wrong); what lies in crowds is not
counted. The expected calibration error (Naeini et al. 2015; for detections Kueppers et al. 2020)
is the mean over bins, weighted by their objects, of |mean score - part that is right|.

Bins hold equally many objects by default ("equal_mass"): detectors give most objects low scores,
so bins of equal width leave the high scores, which people act on, to a few objects each, and their
error is biased upwards more (Nixon et al. 2019; Roelofs et al. 2022). "equal_width" is there to
compare with papers. Fewer objects than bins make fewer bins.

Shapes: n found objects, b bins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from jaxtyping import Bool, Float64

from maskwright.errors import EvaluationError
from maskwright.evaluation.analysis.curves import ALL_CLASSES
from maskwright.evaluation.analysis.matching import lies_in_crowd, match_in_class
from maskwright.evaluation.analysis.pairs import FoundAndTrue

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Binning",
    "CalibrationReport",
    "Reliability",
    "ReliabilityBin",
    "calibration_report",
    "reliability",
    "right_and_counted",
]

Binning: TypeAlias = Literal["equal_mass", "equal_width"]


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin:
    """Found objects of neighbouring scores.

    Args:
        low: Lowest score in it (or its lower edge, for bins of equal width).
        high: Highest score (or its upper edge).
        num_found: Objects in it.
        mean_score: Of them.
        precision: Part of them that is right.
    """

    low: float
    high: float
    num_found: int
    mean_score: float
    precision: float


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """How far scores are from being probabilities; -1 stands for undefined.

    Args:
        num_found: Found objects.
        num_right: Of these, right ones.
        ece: Expected calibration error, 0 to 1.
        largest_error: Of any bin.
        bias: Mean score minus part that is right: above 0 scores are too sure.
        brier: Mean squared difference of score and being right.
        log_loss: Mean of -log of the probability given to what is the case.
        bins: By rising score; empty ones are left out.
    """

    num_found: int
    num_right: int
    ece: float
    largest_error: float
    bias: float
    brier: float
    log_loss: float
    bins: tuple[ReliabilityBin, ...]


@dataclass(frozen=True, kw_only=True)
class CalibrationReport:
    """The reliability of all objects and of each class.

    Args:
        iou_threshold: From which IoU a found object is right.
        binning: How bins are made.
        num_bins: How many at most.
        total: Of all objects together.
        per_class: Class name -> its own; classes of which nothing was found are left out.
    """

    iou_threshold: float
    binning: Binning
    num_bins: int
    total: Reliability
    per_class: Mapping[str, Reliability]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, all finite, ready for json."""
        return asdict(self)

    def to_dataframe(self) -> pd.DataFrame:
        """Return a row per class, "(all)" first, without the bins."""
        import pandas as pd

        rows = {ALL_CLASSES: self.total} | dict(self.per_class)
        return pd.DataFrame(
            [
                {"class": name}
                | {key: value for key, value in asdict(one).items() if key != "bins"}
                for name, one in rows.items()
            ]
        )


def calibration_report(
    objects: FoundAndTrue,
    *,
    iou_threshold: float = 0.5,
    binning: Binning = "equal_mass",
    num_bins: int = 15,
    scores: Float64[np.ndarray, " n"] | None = None,
) -> CalibrationReport:
    """Measure the calibration of found objects, of all together and class by class.

    Args:
        objects: Found and true.
        iou_threshold: From which IoU a found object is right.
        binning: Bins of equally many objects, or of equal width.
        num_bins: How many at most.
        scores: (n,) to judge in place of the objects' own, which decide the matching all the same.

    Raises:
        EvaluationError: An option out of range, or scores above 1.
    """
    is_right, counted = right_and_counted(objects, iou_threshold)
    scores = objects.found.scores if scores is None else np.asarray(scores, np.float64)
    labels = objects.found.labels

    def of(chosen: np.ndarray) -> Reliability:
        rows = counted & chosen
        return reliability(scores[rows], is_right[rows], binning=binning, num_bins=num_bins)

    return CalibrationReport(
        iou_threshold=iou_threshold,
        binning=binning,
        num_bins=num_bins,
        total=of(np.ones(len(labels), bool)),
        per_class={
            name: of(labels == label)
            for label, name in enumerate(objects.truth.class_names)
            if (counted & (labels == label)).any()
        },
    )


def right_and_counted(
    objects: FoundAndTrue, iou_threshold: float
) -> tuple[Bool[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """Return which found objects are right and which count at all."""
    if not 0 < iou_threshold <= 1:
        raise EvaluationError(f"iou_threshold must be above 0 and at most 1, got {iou_threshold}")
    partner = match_in_class(objects, iou_threshold)
    return partner >= 0, ~lies_in_crowd(objects, partner, iou_threshold)


def reliability(
    scores: Float64[np.ndarray, " n"],
    is_right: Bool[np.ndarray, " n"],
    *,
    binning: Binning = "equal_mass",
    num_bins: int = 15,
) -> Reliability:
    """Measure how far scores are from the part that is right.

    >>> reliability(np.array([0.2] * 5 + [0.9] * 5), np.array([True] + [False] * 4 + [True] * 5),
    ...     num_bins=2).ece
    0.05

    Raises:
        EvaluationError: An unknown binning, no bins, or scores outside 0 to 1.
    """
    if binning not in ("equal_mass", "equal_width") or num_bins < 1:
        raise EvaluationError(
            "binning must be equal_mass or equal_width and num_bins at least 1, got "
            f"{binning!r} and {num_bins}"
        )
    if len(scores) and not (scores.min() >= 0 and scores.max() <= 1):
        raise EvaluationError(
            f"calibration is of scores from 0 to 1, got {scores.min():g} to {scores.max():g}: "
            "give probabilities"
        )
    n = len(scores)
    if not n:
        empty = dict.fromkeys(("ece", "largest_error", "bias", "brier", "log_loss"), -1.0)
        return Reliability(num_found=0, num_right=0, bins=(), **empty)
    bins = _bins(scores, is_right, binning, num_bins)
    errors = np.array([abs(one.mean_score - one.precision) for one in bins])
    weights = np.array([one.num_found for one in bins]) / n
    probability = np.where(is_right, scores, 1 - scores)
    return Reliability(
        num_found=n,
        num_right=int(is_right.sum()),
        ece=round(float((weights * errors).sum()), 12),
        largest_error=float(errors.max()),
        bias=float(scores.mean() - is_right.mean()),
        brier=float(((scores - is_right) ** 2).mean()),
        log_loss=float(-np.log(np.maximum(probability, 1e-7)).mean()),
        bins=tuple(bins),
    )


def _bins(
    scores: np.ndarray, is_right: np.ndarray, binning: Binning, num_bins: int
) -> list[ReliabilityBin]:
    order = np.argsort(scores, kind="stable")
    if binning == "equal_mass":
        parts = [rows for rows in np.array_split(order, num_bins) if len(rows)]
        edges = [(scores[rows[0]], scores[rows[-1]]) for rows in parts]
    else:
        which = np.minimum((scores * num_bins).astype(np.int64), num_bins - 1)
        used = np.unique(which)
        parts = [np.flatnonzero(which == one) for one in used]
        edges = [(one / num_bins, (one + 1) / num_bins) for one in used]
    return [
        ReliabilityBin(
            low=float(low),
            high=float(high),
            num_found=len(rows),
            mean_score=float(scores[rows].mean()),
            precision=float(is_right[rows].mean()),
        )
        for rows, (low, high) in zip(parts, edges, strict=True)
    ]
