"""Score predictions against truth: the one evaluator of training, evaluation and export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import get_args

import numpy as np

from maskwright.errors import EvaluationError, nearest_name
from maskwright.evaluation.counting import Counts, Kind, count
from maskwright.evaluation.inputs import Inputs
from maskwright.evaluation.limits import check_thresholds, detection_limit
from maskwright.evaluation.matching import COCO_SIZES, COCO_THRESHOLDS, match_objects
from maskwright.evaluation.metrics import (
    ClassMetrics,
    Metrics,
    SizeMetrics,
    canonical_numbers,
    class_numbers,
    size_numbers,
)
from maskwright.evaluation.objects import Objects
from maskwright.evaluation.prediction_sources import (
    PredictionFormat,
    PredictionSource,
    load_results,
)
from maskwright.evaluation.predictions import Results, read_predictions
from maskwright.evaluation.ranking import ranked_numbers
from maskwright.evaluation.resampling import Interval, Key, Resampling, Statistic, bootstrap
from maskwright.evaluation.truth import CocoTruth, Truth, TruthSource, load_truth, read_truth
from maskwright.evaluation.truth_groups import with_groups

__all__ = [
    "coco_statistic",
    "evaluate",
    "kinds_to_score",
    "score_coco",
]

_KINDS: tuple[Kind, ...] = get_args(Kind)


def evaluate(
    predictions: PredictionSource,
    truth: TruthSource,
    *,
    kinds: Sequence[Kind] | None = None,
    max_detections: int | None = None,
    iou_thresholds: Sequence[float] | None = None,
    num_replicates: int = 0,
    groups: Sequence[object] | str | None = None,
    seed: int = 0,
    predictions_format: PredictionFormat | None = None,
) -> Metrics:
    """Score predictions against the truth with COCO's numbers, at the original resolution.

    The numbers equal pycocotools' on the same files. An empty list of predictions scores 0;
    without true objects every number is -1 (undefined) and a note says so.

    Args:
        predictions: Results of any tool: a COCO results json or its entries; a folder of
            YOLO-seg texts, label maps or mask files; or per picture its id or file name and
            `Instances`, `supervision.Detections` or a torchvision dict (`prediction_sources.py`).
            Pictures that are left out have no predictions.
        truth: A dataset, a COCO dict, or a path to a COCO json or a folder that holds one.
        kinds: Any of "bbox", "segm" and "boundary" (dilation 0.02 of the diagonal). None: all
            three; boxes alone, with a note, where predictions or truth hold no mask at all.
        max_detections: How many detections per picture and class count, best scores first. None:
            COCO's 100, raised to the next hundred above the number of true objects of the
            fullest picture, which a note then says; AP and AR100 are at the raised limit.
        iou_thresholds: What AP and AR are averaged over, each in (0, 1]. None: COCO's 0.50 to
            0.95 in steps of 0.05. AP50 and AP75 are there where their threshold is.
        num_replicates: Of the bootstrap over pictures that gives the intervals. 0: no intervals,
            since training scores often; the command line takes 1,000.
        groups: Group of each picture, by ascending image id, such as its video or patient;
            pictures of a group are drawn together. Or a rule, see `truth_groups.py`.
        seed: Of the bootstrap.
        predictions_format: "coco", "yolo", "labelmap" or "masks", where a path of predictions is
            not to be found out by looking.

    Returns:
        The numbers, the per-class numbers and the notes.

    Raises:
        DataError: The truth cannot be read or contradicts itself.
        EvaluationError: A prediction that does not fit the truth, with file, entry and remedy.

    >>> square = {"size": [20, 20], "counts": [42, 6, 14, 6, 14, 6, 312]}
    >>> truth = {
    ...     "images": [{"id": 1, "height": 20, "width": 20, "file_name": "a.png"}],
    ...     "categories": [{"id": 1, "name": "coin"}],
    ...     "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": square}],
    ... }
    >>> found = [{"image_id": 1, "category_id": 1, "score": 0.9, "segmentation": square}]
    >>> metrics = evaluate(found, truth)
    >>> round(metrics["segm"]["AP"], 6), metrics["segm"]["APl"]
    (1.0, -1.0)
    """
    coco = load_truth(truth)
    results = load_results(predictions, coco, format=predictions_format)
    kinds, notes = kinds_to_score(kinds, results, coco)
    need_masks = any(kind != "bbox" for kind in kinds)
    true = read_truth(coco, need_masks=need_masks)
    inputs = Inputs(true, read_predictions(results, true, need_masks=need_masks))
    resampling = with_groups(
        Resampling(num_replicates=num_replicates, seed=seed, groups=groups), coco
    )
    metrics = score_coco(
        inputs,
        kinds,
        max_detections=max_detections,
        iou_thresholds=iou_thresholds,
        resampling=resampling,
    )
    return replace(metrics, notes=(*results.notes, *notes, *metrics.notes))


def score_coco(
    inputs: Inputs,
    kinds: Sequence[Kind],
    *,
    max_detections: int | None = None,
    iou_thresholds: Sequence[float] | None = None,
    resampling: Resampling,
) -> Metrics:
    """Score what was read; see `evaluate`."""
    true, found = inputs.true, inputs.found
    thresholds = check_thresholds(iou_thresholds)
    limit, notes = detection_limit(true, max_detections)
    limits = (1, min(10, limit), limit)
    intervals, notes_on_intervals = _intervals(inputs, kinds, limit, thresholds, resampling)
    areas = true.objects.areas[~true.objects.is_crowd]
    numbers: dict[str, dict[str, float]] = {}
    per_class: dict[str, dict[str, ClassMetrics]] = {}
    per_size: dict[str, dict[str, SizeMetrics]] = {}
    for kind in kinds:
        near = inputs.closeness(kind, lowest=thresholds[0]) if kind == "boundary" else None
        counts = count(kind, true, found, limits, boundaries=near, thresholds=thresholds)
        numbers[kind] = canonical_numbers(counts)
        per_class[kind] = _per_class(counts, true, found, kind, intervals)
        per_size[kind] = size_numbers(counts, areas)
    if thresholds != COCO_THRESHOLDS:
        shown = ", ".join(f"{iou:g}" for iou in thresholds)
        notes.append(f"AP and AR are averaged over IoU {shown}, as asked.")
    return Metrics(
        numbers=numbers,
        per_class=per_class,
        max_detections=limit,
        num_images=inputs.num_images,
        notes=(*notes, *notes_on_intervals, *_notes_on_emptiness(true, found)),
        intervals={
            kind: {name: intervals[kind, name] for name in own if (kind, name) in intervals}
            for kind, own in numbers.items()
            if intervals
        },
        per_size=per_size,
        iou_thresholds=thresholds,
    )


def coco_statistic(
    inputs: Inputs,
    kinds: Sequence[Kind],
    *,
    limit: int,
    thresholds: Sequence[float] = COCO_THRESHOLDS,
) -> Statistic:
    """Return COCO's numbers as a function of picture weights: (kind, name[, class name])."""
    matched = {
        kind: match_objects(
            inputs.true,
            inputs.found,
            inputs.closeness(kind, lowest=min(thresholds)),
            limit=limit,
            thresholds=thresholds,
            sizes=COCO_SIZES,
        )
        for kind in kinds
    }
    limits = {"AR1": 1, "AR10": min(10, limit), "AR100": limit}
    names = inputs.true.class_names

    def statistic(weights: np.ndarray) -> dict[Key, np.ndarray]:
        values: dict[Key, np.ndarray] = {}
        for kind, outcomes in matched.items():
            numbers, per_class = ranked_numbers(outcomes, weights, limits=limits)
            values |= {(kind, name): one for name, one in numbers.items()}
            values |= {(kind, "AP", names[label]): one for label, one in per_class.items()}
        return values

    return statistic


def _intervals(
    inputs: Inputs,
    kinds: Sequence[Kind],
    limit: int,
    thresholds: Sequence[float],
    resampling: Resampling,
) -> tuple[dict[Key, Interval], list[str]]:
    if resampling.num_replicates == 0:
        return {}, []
    statistic = coco_statistic(inputs, kinds, limit=limit, thresholds=thresholds)
    return bootstrap(statistic, inputs.num_images, resampling)


def kinds_to_score(
    wanted: Sequence[Kind] | None, results: Results, coco: CocoTruth
) -> tuple[list[Kind], list[str]]:
    """Return the kinds to score in their canonical order, and what to say about them."""
    if wanted is not None:
        for kind in wanted:
            if kind not in _KINDS:
                raise EvaluationError(
                    f"kinds may be {', '.join(_KINDS)}, got {kind!r}.{nearest_name(kind, _KINDS)}"
                )
        if not wanted:
            raise EvaluationError(f"kinds is empty; give one or more of {', '.join(_KINDS)}")
        return [kind for kind in _KINDS if kind in wanted], []
    for source, lacking in ((results.source, results.lack_masks), (coco.source, coco.lacks_masks)):
        if lacking:
            return ["bbox"], [f"There are no masks in {source}, so boxes alone are scored."]
    return list(_KINDS), []


def _per_class(
    counts: Counts,
    truth: Truth,
    detections: Objects,
    kind: Kind,
    intervals: Mapping[Key, Interval],
) -> dict[str, ClassMetrics]:
    k = len(truth.class_names)
    objects = np.bincount(truth.objects.labels[~truth.objects.is_crowd], minlength=k)
    found = np.bincount(detections.labels, minlength=k)
    order = sorted(range(k), key=lambda label: (-objects[label], truth.class_names[label]))
    return {
        truth.class_names[label]: class_numbers(
            counts,
            label,
            num_objects=int(objects[label]),
            num_detections=int(found[label]),
            interval=intervals.get((kind, "AP", truth.class_names[label])),
        )
        for label in order
    }


def _notes_on_emptiness(truth: Truth, detections: Objects) -> list[str]:
    notes = []
    if truth.objects.is_crowd.all():
        what = "only crowds" if len(truth.objects) else "no objects"
        notes.append(f"The truth ({truth.source}) holds {what}: every number is undefined (-1).")
    if not len(detections):
        notes.append("There are no predictions.")
    return notes
