"""All families of metrics behind one function, reading and measuring once.

coco       boxes, masks and boundaries by COCO's rules (`scoring.py`)
cells      AP and F1 against IoU, AJI (`cells.py`)
lvis       AP of rare, common and frequent classes (`lvis.py`)
panoptic   PQ, SQ and RQ (`panoptic.py`)
counting   how far counts are off (`count_errors.py`)
agnostic   COCO's numbers without classes (`agnostic.py`)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias, get_args

from maskwright.errors import EvaluationError, nearest_name
from maskwright.evaluation.agnostic import agnostic_inputs, score_agnostic
from maskwright.evaluation.cells import CellMetrics, cell_statistic, score_cells
from maskwright.evaluation.count_errors import counting_statistic, score_counting
from maskwright.evaluation.counting import Kind
from maskwright.evaluation.family import FamilyMetrics
from maskwright.evaluation.inputs import Inputs
from maskwright.evaluation.limits import check_thresholds, detection_limit
from maskwright.evaluation.lvis import LVIS_LIMIT, LvisKind, lvis_statistic, score_lvis
from maskwright.evaluation.metrics import Metrics
from maskwright.evaluation.panoptic import OverlapRule, panoptic_statistic, score_panoptic
from maskwright.evaluation.prediction_sources import (
    PredictionFormat,
    PredictionSource,
    load_results,
)
from maskwright.evaluation.predictions import read_predictions
from maskwright.evaluation.resampling import Resampling, Statistic
from maskwright.evaluation.scoring import (
    coco_statistic,
    kinds_to_score,
    score_coco,
)
from maskwright.evaluation.truth import TruthSource, load_truth, read_truth
from maskwright.evaluation.truth_groups import with_groups

__all__ = [
    "Family",
    "FamilyResult",
    "ScoringOptions",
    "check_families",
    "evaluate_families",
    "family_statistic",
    "lvis_kinds",
    "needs_masks",
]

Family: TypeAlias = Literal["coco", "cells", "lvis", "panoptic", "counting", "agnostic"]
FamilyResult: TypeAlias = Metrics | CellMetrics | FamilyMetrics


@dataclass(frozen=True, kw_only=True)
class ScoringOptions:
    """What all families of metrics are asked with.

    Args:
        max_detections: Detections that count: per picture and class, for lvis and agnostic per
            picture. None: each reference's own.
        iou_thresholds: Of coco and agnostic; None: COCO's ten.
        score_threshold: Of cells, panoptic and counting, which do not rank: found objects below
            it are left out.
        overlap: Whose a pixel of several found objects is, for panoptic.
        resampling: For the intervals.
    """

    max_detections: int | None = None
    iou_thresholds: Sequence[float] | None = None
    score_threshold: float = 0.5
    overlap: OverlapRule = "score"
    resampling: Resampling = field(default_factory=Resampling)


def evaluate_families(
    predictions: PredictionSource,
    truth: TruthSource,
    families: Sequence[Family] = ("coco",),
    *,
    kinds: Sequence[Kind] | None = None,
    options: ScoringOptions | None = None,
    predictions_format: PredictionFormat | None = None,
) -> dict[Family, FamilyResult]:
    """Score predictions by several families of metrics, each with its intervals.

    Args:
        predictions: As for `evaluate`.
        truth: As for `evaluate`.
        families: Any of "coco", "cells", "lvis", "panoptic", "counting" and "agnostic".
        kinds: As for `evaluate`; of coco, lvis and agnostic.
        options: Thresholds, limits and the bootstrap.
        predictions_format: As for `evaluate`.

    Returns:
        The result of each family, in the order asked for.

    Raises:
        DataError: The truth cannot be read or contradicts itself.
        EvaluationError: A prediction that does not fit the truth, or an option out of range.

    >>> square = {"size": [20, 20], "counts": [42, 6, 14, 6, 14, 6, 312]}
    >>> truth = {
    ...     "images": [{"id": 1, "height": 20, "width": 20, "file_name": "a.png"}],
    ...     "categories": [{"id": 1, "name": "coin"}],
    ...     "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": square}],
    ... }
    >>> found = [{"image_id": 1, "category_id": 1, "score": 0.9, "segmentation": square}]
    >>> results = evaluate_families(found, truth, ("panoptic", "counting"))
    >>> results["panoptic"]["PQ"], results["counting"]["MAE"]
    (1.0, 0.0)
    """
    check_families(families)
    options = options or ScoringOptions()
    coco = load_truth(truth)
    options = replace(options, resampling=with_groups(options.resampling, coco))
    results = load_results(predictions, coco, format=predictions_format)
    chosen, notes = kinds_to_score(kinds, results, coco)
    masks = needs_masks(families, chosen)
    true = read_truth(coco, need_masks=masks)
    inputs = Inputs(true, read_predictions(results, true, need_masks=masks))
    scored: dict[Family, FamilyResult] = {}
    for family in dict.fromkeys(families):
        scored[family] = _score(family, inputs, chosen, options)
    if scored:
        first = next(iter(scored))
        one = scored[first]
        scored[first] = replace(one, notes=(*results.notes, *notes, *one.notes))
    return scored


def family_statistic(
    family: Family, inputs: Inputs, kinds: Sequence[Kind], options: ScoringOptions
) -> Statistic:
    """Return the numbers of a family as a function of picture weights."""
    threshold = options.score_threshold
    if family == "cells":
        return cell_statistic(inputs, score_threshold=threshold)
    if family == "panoptic":
        return panoptic_statistic(inputs, score_threshold=threshold, overlap=options.overlap)
    if family == "counting":
        return counting_statistic(inputs, score_threshold=threshold)
    if family == "lvis":
        limit = options.max_detections or LVIS_LIMIT
        return lvis_statistic(inputs, lvis_kinds(kinds), limit=limit)
    inputs = agnostic_inputs(inputs) if family == "agnostic" else inputs
    return coco_statistic(
        inputs,
        kinds,
        limit=detection_limit(inputs.true, options.max_detections)[0],
        thresholds=check_thresholds(options.iou_thresholds),
    )


def check_families(families: Sequence[str]) -> None:
    """Check names of families.

    Raises:
        EvaluationError: None at all, or an unknown one.
    """
    known = get_args(Family)
    if not families:
        raise EvaluationError(f"give one or more families of metrics: {', '.join(known)}")
    for name in families:
        if name not in known:
            raise EvaluationError(
                f"metrics may be {', '.join(known)}, got {name!r}.{nearest_name(name, known)}"
            )


def needs_masks(families: Sequence[Family], kinds: Sequence[Kind]) -> bool:
    """Say whether objects without a mask cannot be scored so."""
    by_kind = {"coco", "lvis", "agnostic"}.intersection(families)
    return bool({"cells", "panoptic"}.intersection(families)) or (
        bool(by_kind) and any(kind != "bbox" for kind in kinds)
    )


def _score(
    family: Family, inputs: Inputs, kinds: Sequence[Kind], options: ScoringOptions
) -> FamilyResult:
    resampling, threshold = options.resampling, options.score_threshold
    if family == "cells":
        return score_cells(inputs, score_threshold=threshold, resampling=resampling)
    if family == "panoptic":
        return score_panoptic(
            inputs, score_threshold=threshold, overlap=options.overlap, resampling=resampling
        )
    if family == "counting":
        return score_counting(inputs, score_threshold=threshold, resampling=resampling)
    if family == "lvis":
        limit = options.max_detections or LVIS_LIMIT
        return score_lvis(inputs, lvis_kinds(kinds), limit=limit, resampling=resampling)
    score = score_agnostic if family == "agnostic" else score_coco
    result: Mapping[str, FamilyResult] = {
        family: score(
            inputs,
            kinds,
            max_detections=options.max_detections,
            iou_thresholds=options.iou_thresholds,
            resampling=resampling,
        )
    }
    return result[family]


def lvis_kinds(kinds: Sequence[Kind]) -> list[LvisKind]:
    """Return those that LVIS scores, masks first and by default; it knows no boundary AP."""
    chosen: list[LvisKind] = [kind for kind in ("segm", "bbox") if kind in kinds]
    return chosen or ["segm"]
