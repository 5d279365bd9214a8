"""Class-agnostic AP: are the objects found, whatever they are called?

All classes are taken for one, and COCO's numbers are counted again; the same as pycocotools'
with `useCats = 0`. The limit on detections is then one per picture and not per class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from maskwright.evaluation.counting import Kind
from maskwright.evaluation.family import FamilyMetrics
from maskwright.evaluation.inputs import Inputs
from maskwright.evaluation.resampling import Resampling
from maskwright.evaluation.scoring import score_coco
from maskwright.evaluation.truth import Truth

__all__ = ["agnostic_inputs", "score_agnostic"]

_HEADINGS = {"bbox": "box", "segm": "mask", "boundary": "boundary"}


def agnostic_inputs(inputs: Inputs) -> Inputs:
    """Return the same objects with one class, "object"."""
    true, found = inputs.true, inputs.found
    one_class: Truth = replace(
        true,
        category_ids=(1,),
        class_names=("object",),
        objects=replace(true.objects, labels=np.zeros_like(true.objects.labels)),
        federation=None,
    )
    agnostic = Inputs(one_class, replace(found, labels=np.zeros_like(found.labels)))
    # Masks meet in the same pixels, whatever the classes.
    agnostic.overlaps_of(inputs)
    return agnostic


def score_agnostic(
    inputs: Inputs,
    kinds: Sequence[Kind],
    *,
    max_detections: int | None = None,
    iou_thresholds: Sequence[float] | None = None,
    resampling: Resampling,
) -> FamilyMetrics:
    """Score the objects without their classes.

    Args:
        inputs: What was read.
        kinds: Boxes, masks or boundaries.
        max_detections: As for `evaluate`, but per picture.
        iou_thresholds: As for `evaluate`.
        resampling: For the intervals.
    """
    metrics = score_coco(
        agnostic_inputs(inputs),
        kinds,
        max_detections=max_detections,
        iou_thresholds=iou_thresholds,
        resampling=resampling,
    )
    names: dict[str, str] = {kind: _HEADINGS[kind] for kind in kinds}
    return FamilyMetrics(
        family="agnostic",
        title="Class-agnostic COCO numbers",
        numbers={
            f"{heading} {name}": value
            for kind, heading in names.items()
            for name, value in metrics[kind].items()
        },
        meanings={
            f"{heading} AR100": f"{metrics.max_detections} detections per picture"
            for heading in names.values()
        },
        intervals={
            f"{names[kind]} {name}": ends
            for kind, numbers in metrics.intervals.items()
            for name, ends in numbers.items()
        },
        tables={},
        num_images=metrics.num_images,
        notes=metrics.notes,
    )
