"""The whole error analysis of one set of predictions, from reading to lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from maskwright.evaluation.analysis.breakdown import Breakdown, break_down
from maskwright.evaluation.analysis.calibration import CalibrationReport, calibration_report
from maskwright.evaluation.analysis.confusion import ConfusionMatrix, confusion_matrix
from maskwright.evaluation.analysis.curves import Curves, score_curves
from maskwright.evaluation.analysis.label_errors import label_suspects
from maskwright.evaluation.analysis.listed import ListedObject
from maskwright.evaluation.analysis.matching import lies_in_crowd, match_in_class
from maskwright.evaluation.analysis.mistakes import (
    PictureScore,
    confident_mistakes,
    missed_objects,
    picture_scores,
)
from maskwright.evaluation.analysis.pairs import FoundAndTrue, read_found_and_true
from maskwright.evaluation.analysis.tide import TideErrors, tide_errors
from maskwright.evaluation.prediction_sources import PredictionSource
from maskwright.evaluation.truth import TruthSource

if TYPE_CHECKING:
    from rich.console import Group

__all__ = ["ErrorAnalysis", "analyse_errors", "analyse_objects"]

_FALLBACK_SCORE = 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class ErrorAnalysis:
    """All parts; each has `as_dict` and a pandas table of its own.

    Args:
        objects: What was found and what is true.
        score_threshold: From which score found objects count, wherever scores are not ranked.
        iou_threshold: From which IoU a found object is right.
        tide: Kinds of mistakes and their cost.
        confusion: Classes taken for one another.
        curves: Precision and recall against the score.
        breakdown: By size and crowding.
        calibration: Whether scores are probabilities; None where scores go beyond 1.
        pictures: Every picture, the worst first.
        confident_mistakes: Wrong found objects, the surest first.
        missed: True objects not found, the largest first.
        suspects: Likely mistakes of the annotation, the most suspicious first.
        notes: What a reader must know, in sentences.
    """

    objects: FoundAndTrue
    score_threshold: float
    iou_threshold: float
    tide: TideErrors
    confusion: ConfusionMatrix
    curves: Curves
    breakdown: Breakdown
    calibration: CalibrationReport | None
    pictures: tuple[PictureScore, ...]
    confident_mistakes: tuple[ListedObject, ...]
    missed: tuple[ListedObject, ...]
    suspects: tuple[ListedObject, ...]
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, all finite, ready for json."""
        return {
            "images": len(self.objects.truth.image_ids),
            "score_threshold": self.score_threshold,
            "iou_threshold": self.iou_threshold,
            "tide": self.tide.as_dict(),
            "confusion": self.confusion.as_dict(),
            "curves": self.curves.as_dict(),
            "breakdown": self.breakdown.as_dict(),
            "calibration": None if self.calibration is None else self.calibration.as_dict(),
            "pictures": [one.as_dict() for one in self.pictures],
            "confident_mistakes": [one.as_dict() for one in self.confident_mistakes],
            "missed": [one.as_dict() for one in self.missed],
            "suspects": [one.as_dict() for one in self.suspects],
            "notes": list(self.notes),
        }

    def to_table(self) -> Group:
        """Return the numbers and the heads of the lists as rich tables, ready to be printed."""
        from maskwright.evaluation.analysis.tables import analysis_tables

        return analysis_tables(self)


def analyse_errors(
    predictions: PredictionSource,
    truth: TruthSource,
    *,
    kind: Literal["bbox", "segm"] | None = None,
    iou_threshold: float = 0.5,
    background_iou: float = 0.1,
    score_threshold: float | None = None,
    max_detections: int | None = None,
    size_edges: Sequence[float] | None = None,
    limit: int = 100,
) -> ErrorAnalysis:
    """Find out which mistakes there are, what they cost and where to look.

    Args:
        predictions: As for `evaluate`.
        truth: As for `evaluate`.
        kind: Hold masks ("segm") or boxes against each other; None: masks where there are any.
        iou_threshold: From which IoU a found object is right.
        background_iou: Up to which IoU a found object is on nothing.
        score_threshold: From which score found objects count in the confusion matrix, the
            breakdown, the pictures and the list of missed objects. None: the threshold of the
            highest F1 over all classes, which a note says. TIDE and the curves rank all scores.
        max_detections: Found objects of a picture that count; None as for `read_found_and_true`.
        size_edges: As for `break_down`.
        limit: Longest list of objects.

    Raises:
        DataError: The truth cannot be read or contradicts itself.
        EvaluationError: A prediction that does not fit the truth, or an option out of range.

    >>> square = {"size": [20, 20], "counts": [42, 6, 14, 6, 14, 6, 312]}
    >>> truth = {
    ...     "images": [{"id": 1, "height": 20, "width": 20, "file_name": "a.png"}],
    ...     "categories": [{"id": 1, "name": "coin"}, {"id": 2, "name": "nut"}],
    ...     "annotations": [{"id": 7, "image_id": 1, "category_id": 1, "segmentation": square}],
    ... }
    >>> found = [{"image_id": 1, "category_id": 2, "score": 0.9, "segmentation": square}]
    >>> analysis = analyse_errors(found, truth)
    >>> analysis.tide.total.counts["Cls"], analysis.suspects[0].explanation
    (1, 'found as nut (score 0.90)')
    """
    objects = read_found_and_true(predictions, truth, kind=kind, max_detections=max_detections)
    return analyse_objects(
        objects,
        iou_threshold=iou_threshold,
        background_iou=background_iou,
        score_threshold=score_threshold,
        size_edges=size_edges,
        limit=limit,
    )


def analyse_objects(
    objects: FoundAndTrue,
    *,
    iou_threshold: float = 0.5,
    background_iou: float = 0.1,
    score_threshold: float | None = None,
    size_edges: Sequence[float] | None = None,
    limit: int = 100,
) -> ErrorAnalysis:
    """As `analyse_errors`, of what `read_found_and_true` has read."""
    tide = tide_errors(objects, iou_threshold=iou_threshold, background_iou=background_iou)
    curves = score_curves(objects, iou_threshold=iou_threshold)
    threshold, on_threshold = _score_threshold(curves, score_threshold)
    partner = match_in_class(objects, iou_threshold)
    sure = objects.found.scores >= threshold
    right = np.where(sure, partner, -1)
    are_probabilities = not (objects.found.scores > 1).any()
    counted = sure & ~lies_in_crowd(objects, partner, iou_threshold)
    return ErrorAnalysis(
        objects=objects,
        score_threshold=threshold,
        iou_threshold=iou_threshold,
        tide=tide,
        confusion=confusion_matrix(objects, iou_threshold=iou_threshold, score_threshold=threshold),
        curves=curves,
        breakdown=break_down(
            objects,
            right,
            counted,
            iou_threshold=iou_threshold,
            score_threshold=threshold,
            size_edges=size_edges,
        ),
        calibration=(
            calibration_report(objects, iou_threshold=iou_threshold) if are_probabilities else None
        ),
        pictures=tuple(picture_scores(objects, right, counted)),
        confident_mistakes=tuple(confident_mistakes(objects, tide, limit=limit)),
        missed=tuple(missed_objects(objects, partner, score_threshold=threshold, limit=limit)),
        suspects=tuple(label_suspects(objects, tide, score_threshold=threshold, limit=limit)),
        notes=(*objects.notes, *on_threshold, *_on_emptiness(objects)),
    )


def _score_threshold(curves: Curves, wanted: float | None) -> tuple[float, list[str]]:
    if wanted is not None:
        return wanted, []
    best = curves.total.best_f1()
    if best is None:
        return _FALLBACK_SCORE, []
    return best.threshold, [
        f"Found objects count from a score of {best.threshold:.3f}, where F1 is highest; "
        "TIDE and the curves rank all of them."
    ]


def _on_emptiness(objects: FoundAndTrue) -> list[str]:
    notes = []
    if not objects.is_single.any():
        notes.append(f"The truth ({objects.truth.source}) holds no single objects.")
    if not len(objects.found):
        notes.append("There are no predictions.")
    if (objects.found.scores > 1).any():
        notes.append("Some scores are above 1, so it is not judged whether they are probabilities.")
    return notes
