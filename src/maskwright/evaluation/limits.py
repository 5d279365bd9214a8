"""How many detections count, and at which IoU they match: what was asked for, or COCO's."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from maskwright.errors import EvaluationError
from maskwright.evaluation.matching import COCO_THRESHOLDS
from maskwright.evaluation.truth import Truth

__all__ = ["check_thresholds", "detection_limit"]

_COCO_LIMIT = 100
"""Detections per picture and class that COCO counts."""


def check_thresholds(wanted: Sequence[float] | None) -> tuple[float, ...]:
    """Return IoU thresholds in rising order, COCO's by default.

    Raises:
        EvaluationError: None at all, or one outside (0, 1].
    """
    if wanted is None:
        return COCO_THRESHOLDS
    if not wanted or not all(0 < iou <= 1 for iou in wanted):
        raise EvaluationError(
            f"iou_thresholds must be one or more numbers in (0, 1], got {tuple(wanted)}"
        )
    return tuple(sorted({float(iou) for iou in wanted}))


def detection_limit(truth: Truth, wanted: int | None) -> tuple[int, list[str]]:
    """Return how many detections per picture and class count, and what to say about it.

    Args:
        truth: The true objects.
        wanted: What the caller asked for; None as in `evaluate`.

    Raises:
        EvaluationError: Fewer than one were asked for.
    """
    if wanted is not None:
        if wanted < 1:
            raise EvaluationError(f"max_detections must be at least 1, got {wanted}")
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
