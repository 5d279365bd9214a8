"""Score predictions against truth: the one evaluator of training, evaluation and export."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import get_args

import numpy as np

from maskwright.errors import EvaluationError, nearest_name
from maskwright.evaluation.counting import Counts, Kind, count
from maskwright.evaluation.metrics import (
    ClassMetrics,
    Metrics,
    canonical_numbers,
    class_numbers,
)
from maskwright.evaluation.objects import Objects
from maskwright.evaluation.predictions import (
    PredictionSource,
    Results,
    load_results,
    read_predictions,
)
from maskwright.evaluation.truth import CocoTruth, Truth, TruthSource, load_truth, read_truth

__all__ = ["detection_limit", "evaluate"]

_KINDS: tuple[Kind, ...] = get_args(Kind)
_COCO_LIMIT = 100
"""Detections per picture and class that COCO counts."""


def evaluate(
    predictions: PredictionSource,
    truth: TruthSource,
    *,
    kinds: Sequence[Kind] | None = None,
    max_detections: int | None = None,
) -> Metrics:
    """Score predictions against the truth with COCO's numbers, at the original resolution.

    The numbers equal pycocotools' on the same files. An empty list of predictions scores 0;
    without true objects every number is -1 (undefined) and a note says so.

    Args:
        predictions: A COCO results json or its entries, of any tool, or (image_id, Instances)
            pairs. Pictures that are left out have no predictions.
        truth: A dataset, a COCO dict, or a path to a COCO json or a folder that holds one.
        kinds: Any of "bbox", "segm" and "boundary" (dilation 0.02 of the diagonal). None: all
            three; boxes alone, with a note, where predictions or truth hold no mask at all.
        max_detections: How many detections per picture and class count, best scores first. None:
            COCO's 100, raised to the next hundred above the number of true objects of the
            fullest picture, which a note then says; AP and AR100 are at the raised limit.

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
    if max_detections is not None and max_detections < 1:
        raise EvaluationError(f"max_detections must be at least 1, got {max_detections}")
    results, coco = load_results(predictions), load_truth(truth)
    kinds, notes = _kinds(kinds, results, coco)
    need_masks = any(kind != "bbox" for kind in kinds)
    true = read_truth(coco, need_masks=need_masks)
    found = read_predictions(results, true, need_masks=need_masks)
    limit, notes_on_limit = detection_limit(true, max_detections)
    numbers: dict[str, dict[str, float]] = {}
    per_class: dict[str, dict[str, ClassMetrics]] = {}
    for kind in kinds:
        counts = count(kind, true, found, (1, min(10, limit), limit))
        numbers[kind] = canonical_numbers(counts)
        per_class[kind] = _per_class(counts, true, found)
    return Metrics(
        numbers=numbers,
        per_class=per_class,
        max_detections=limit,
        num_images=len(true.image_ids),
        notes=(*notes, *notes_on_limit, *_notes_on_emptiness(true, found)),
    )


def _kinds(
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


def detection_limit(truth: Truth, wanted: int | None) -> tuple[int, list[str]]:
    """Return how many detections per picture and class count, and what to say about it.

    Args:
        truth: The true objects.
        wanted: What the caller asked for; None as in `evaluate`.
    """
    if wanted is not None:
        if wanted == _COCO_LIMIT:
            return wanted, []
        return wanted, [
            f"AP and AR100 are at {wanted} detections per picture and class, as asked, "
            f"and not at COCO's {_COCO_LIMIT}."
        ]
    images = truth.objects.images[~truth.objects.is_crowd]
    per_picture = np.bincount(images, minlength=1)
    fullest = int(per_picture.argmax())
    most = int(per_picture[fullest])
    if most <= _COCO_LIMIT:
        return _COCO_LIMIT, []
    limit = _COCO_LIMIT * math.ceil(most / _COCO_LIMIT)
    name = truth.file_names[fullest] or f"picture {truth.image_ids[fullest]}"
    return limit, [
        f"maxDets was raised from {_COCO_LIMIT} to {limit}, since {name} holds {most} true "
        f"objects; AP and AR100 are at {limit} detections per picture and class."
    ]


def _per_class(counts: Counts, truth: Truth, detections: Objects) -> dict[str, ClassMetrics]:
    k = len(truth.class_names)
    objects = np.bincount(truth.objects.labels[~truth.objects.is_crowd], minlength=k)
    found = np.bincount(detections.labels, minlength=k)
    order = sorted(range(k), key=lambda label: (-objects[label], truth.class_names[label]))
    return {
        truth.class_names[label]: class_numbers(
            counts, label, num_objects=int(objects[label]), num_detections=int(found[label])
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
