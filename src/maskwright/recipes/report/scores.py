"""All metrics of a report: COCO's with their intervals, and the further families asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from maskwright.evaluation import (
    Kind,
    Metrics,
    PredictionSource,
    TruthSource,
    bootstrap_interval,
    evaluate,
    evaluate_cells,
)

__all__ = ["FamilyName", "FamilyScores", "ReportScores", "score_for_report"]

FamilyName: TypeAlias = Literal["cells"]
"""Families of metrics beside COCO's, which every report has."""

Intervals: TypeAlias = Mapping[str, Mapping[str, tuple[float, float]]]

_RESAMPLED: tuple[Literal["bbox", "segm"], ...] = ("segm", "bbox")


@dataclass(frozen=True, kw_only=True)
class FamilyScores:
    """A further family of metrics.

    Args:
        title: For people.
        intro: What the numbers are.
        values: Its `as_dict`: "numbers", "intervals", and tables (name -> row -> column -> value).
        in_objects: Numbers and columns that count objects and are no shares.
    """

    title: str
    intro: str
    values: Mapping[str, Any]
    in_objects: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class ReportScores:
    """What a report says about how good the predictions are.

    Args:
        metrics: COCO's numbers of boxes, masks and boundaries.
        intervals: Kind -> number -> its 95 % bootstrap interval over pictures.
        families: Further families by name.
    """

    metrics: Metrics
    intervals: Intervals
    families: Mapping[str, FamilyScores] = field(default_factory=dict)

    @property
    def main_kind(self) -> Kind:
        """Masks where they were scored, else boxes."""
        return "segm" if "segm" in self.metrics.numbers else "bbox"

    def interval(self, kind: str, number: str) -> tuple[float, float] | None:
        """Return an interval, or None where there is none."""
        return self.intervals.get(kind, {}).get(number)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, all finite, ready for json."""
        intervals = {
            kind: {name: list(ends) for name, ends in numbers.items()}
            for kind, numbers in self.intervals.items()
        }
        families = {name: dict(one.values) for name, one in self.families.items()}
        return self.metrics.report() | {"intervals": intervals, "families": families}


def score_for_report(
    predictions: PredictionSource,
    truth: TruthSource,
    *,
    families: Sequence[FamilyName] = (),
    max_detections: int | None = None,
    score_threshold: float = 0.5,
) -> ReportScores:
    """Score predictions by COCO's rules, with intervals, and by further families.

    Args:
        predictions: As for `evaluate`.
        truth: As for `evaluate`.
        families: Beside COCO's.
        max_detections: As for `evaluate`.
        score_threshold: Of families that do not rank: found objects below it are left out.

    Raises:
        DataError: The truth cannot be read or contradicts itself.
        EvaluationError: A prediction that does not fit the truth, or an option out of range.
    """
    metrics = evaluate(predictions, truth, max_detections=max_detections)
    intervals: dict[str, dict[str, tuple[float, float]]] = {}
    for kind in _RESAMPLED:
        if kind in metrics.numbers:
            ap = bootstrap_interval(predictions, truth, kind=kind, max_detections=max_detections)
            if ap.low is not None and ap.high is not None:
                intervals[kind] = {"AP": (ap.low, ap.high)}
    scored: dict[str, FamilyScores] = {}
    if "cells" in families:
        cells = evaluate_cells(predictions, truth, score_threshold=score_threshold)
        scored["cells"] = FamilyScores(
            title="Cell metrics",
            intro=(
                f"Found objects from score {score_threshold:.2f}, paired one to one. AP is "
                "TP / (TP + FP + FN), AJI the aggregated Jaccard index, both in %; the count error "
                "is the mean of found minus true objects of a picture."
            ),
            values=cells.as_dict(),
            in_objects=frozenset({"count error", "count distance"}),
        )
    return ReportScores(metrics=metrics, intervals=intervals, families=scored)
