"""All metrics of a report: COCO's with their intervals, and the further families asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from maskwright.evaluation import (
    CellMetrics,
    FamilyMetrics,
    FamilyResult,
    Kind,
    Metrics,
    PredictionSource,
    Resampling,
    ScoringOptions,
    TruthSource,
    evaluate_families,
)

__all__ = ["FamilyName", "FamilyScores", "ReportScores", "score_for_report"]

FamilyName: TypeAlias = Literal["cells", "lvis", "panoptic", "counting", "agnostic"]
"""Families of metrics beside COCO's, which every report has."""

Intervals: TypeAlias = Mapping[str, Mapping[str, tuple[float, float]]]

_REPLICATES = 1000
"""Of the bootstrap over pictures, as `maskwright evaluate` takes them."""


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
    options = ScoringOptions(
        max_detections=max_detections,
        score_threshold=score_threshold,
        resampling=Resampling(num_replicates=_REPLICATES),
    )
    results = evaluate_families(predictions, truth, ("coco", *families), options=options)
    metrics = results.pop("coco")
    assert isinstance(metrics, Metrics)
    return ReportScores(
        metrics=metrics,
        intervals=metrics.intervals,
        families={name: _scores_of(one, score_threshold) for name, one in results.items()},
    )


def _scores_of(result: FamilyResult, score_threshold: float) -> FamilyScores:
    if isinstance(result, FamilyMetrics):
        meanings = "; ".join(f"{name}: {meaning}" for name, meaning in result.meanings.items())
        return FamilyScores(
            title=result.title,
            intro=f"{meanings}.",
            values=result.as_dict(),
            in_objects=result.in_objects,
        )
    assert isinstance(result, CellMetrics)
    return FamilyScores(
        title="Cell metrics",
        intro=(
            f"Found objects from score {score_threshold:.2f}, paired one to one. AP is "
            "TP / (TP + FP + FN), AJI the aggregated Jaccard index, both in %; the count error "
            "is the mean of found minus true objects of a picture."
        ),
        values=result.as_dict(),
        in_objects=frozenset({"count error", "count distance"}),
    )
