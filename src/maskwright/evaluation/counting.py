"""The seam to the libraries that count: objects in, COCO's precision and recall arrays out.

Shapes: t = 10 IoU thresholds 0.50 to 0.95, r = 101 recalls 0 to 1, k classes, a = 4 size ranges
(all, small below 32^2 pixels, medium to 96^2, large), d limits on detections per picture and
class; pycocotools' order everywhere.

Two libraries were measured in November 2026: the golden results of the COCO API repeated to 5,000
pictures with 41,950 true objects, 80 classes and 36,700 detections; reading included; seconds of
processor time, and MiB on top of the data.

    kind       hotcoco 1.3.0   faster-coco-eval 1.8.0   here
    bbox        0.3 s   110        2.6 s   500           hotcoco
    segm        1.4 s   200        6.7 s   560           hotcoco
    boundary    -                 67.5 s   630           14.6 s   480, as follows

hotcoco gives pycocotools' arrays bit for bit, faster-coco-eval within one unit in the last place.
hotcoco is five to nine times faster, takes columns rather than dictionaries and leaves its input
alone, so it counts boxes and masks; it knows no boundary AP. faster-coco-eval does, and rightly,
but spends nearly all its time on eroding whole pictures. Like pycocotools it asks a method,
`computeIoU`, for the overlaps of a picture; that method is given ours
(`maskwright.evaluation.boundary`), so it counts boundary AP from boundaries that `Masks` makes.
The same door takes any overlap: if hotcoco ever fails us, boxes and masks go through it too,
which the tests hold equal.

Neither library prints, opens a connection or reads a picture here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from jaxtyping import Float64

from maskwright.evaluation.boundary import boundary_closeness
from maskwright.evaluation.closeness import Closeness, ClosenessTables, mask_closeness
from maskwright.evaluation.matching import COCO_THRESHOLDS
from maskwright.evaluation.objects import Objects
from maskwright.evaluation.overlaps import measure_overlaps
from maskwright.evaluation.truth import Truth

__all__ = ["Counts", "Kind", "count", "count_lvis", "count_overlaps"]

Kind: TypeAlias = Literal["bbox", "segm", "boundary"]
"""By what found and true objects are held against each other."""

Overlaps: TypeAlias = Callable[[int, int], Float64[np.ndarray, "d g"]]
"""(picture, label) -> IoU of its detections, best score first, with its true objects."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Counts:
    """COCO's arrays; -1 where a class has no true object of that size.

    Args:
        precision: (t, r, k, a, d) best precision at that recall or a higher one.
        recall: (t, k, a, d) highest recall reached.
        thresholds: The t IoU thresholds.
    """

    precision: Float64[np.ndarray, "t r k a d"]
    recall: Float64[np.ndarray, "t k a d"]
    thresholds: tuple[float, ...] = COCO_THRESHOLDS


def count(
    kind: Kind,
    truth: Truth,
    detections: Objects,
    limits: Sequence[int],
    *,
    boundaries: Closeness | None = None,
    thresholds: Sequence[float] = COCO_THRESHOLDS,
) -> Counts:
    """Match detections with the truth as COCO does and count.

    Args:
        kind: Boxes, masks or boundaries.
        truth: The true objects.
        detections: The found ones, indexed as the truth's pictures and classes.
        limits: How many detections per picture and class count, ascending; may repeat.
        boundaries: What `boundary_closeness` gave, where it is at hand; else it is measured.
        thresholds: IoU that a match must reach.
    """
    distinct, back = np.unique(np.asarray(limits), return_inverse=True)
    if kind == "boundary":
        if boundaries is None:
            overlaps = measure_overlaps(truth, detections)
            masks = mask_closeness(truth, detections, overlaps)
            lowest = min(thresholds)
            boundaries = boundary_closeness(truth, detections, masks, lowest=lowest)
        tables = ClosenessTables(boundaries, truth, detections, int(distinct[-1]))
        counts = count_overlaps(tables, truth, detections, distinct.tolist(), thresholds=thresholds)
    else:
        counts = _count_with_hotcoco(kind, truth, detections, distinct.tolist(), thresholds)
    return Counts(
        precision=counts.precision[..., back],
        recall=counts.recall[..., back],
        thresholds=tuple(thresholds),
    )


def count_lvis(
    kind: Literal["bbox", "segm"], truth: Truth, detections: Objects, limit: int
) -> Counts:
    """Match and count as LVIS does: only classes that were looked for in a picture.

    Args:
        kind: Boxes or masks.
        truth: The true objects; without a federation every class is looked for everywhere.
        detections: The found ones, at most `limit` of a picture.
        limit: How many detections of a picture count.
    """
    evaluator = _hotcoco_evaluator(kind, truth, detections, lvis_style=True)
    evaluator.params.max_dets = [limit]
    evaluator.evaluate()
    evaluator.accumulate()
    return _counts(evaluator.eval, truth, [limit], COCO_THRESHOLDS)


def count_overlaps(
    overlaps: Overlaps,
    truth: Truth,
    detections: Objects,
    limits: Sequence[int],
    *,
    thresholds: Sequence[float] = COCO_THRESHOLDS,
) -> Counts:
    """Count as COCO does, by overlaps that the caller computes.

    Args:
        overlaps: Gives the overlaps of a picture and label; asked only where both have objects.
        truth: The true objects.
        detections: The found ones.
        limits: How many detections per picture and class count, ascending.
        thresholds: IoU that a match must reach.
    """
    from faster_coco_eval import COCO, COCOeval_faster

    class Evaluator(COCOeval_faster):  # type: ignore[misc]  # the library has no types
        def computeIoU(self, imgId: int, catId: int) -> Any:  # noqa: N802, N803
            return overlaps(imgId - 1, catId - 1)

    tables = []
    for objects in (truth.objects, detections):
        table = COCO()
        table.dataset = _pictures_and_classes(truth) | {"annotations": _rows(objects)}
        table.createIndex()
        tables.append(table)
    evaluator = Evaluator(*tables, "bbox")
    evaluator.params.maxDets = list(limits)
    evaluator.params.iouThrs = np.asarray(thresholds)
    evaluator.evaluate()
    evaluator.accumulate()
    return _counts(evaluator.eval, truth, limits, thresholds)


def _count_with_hotcoco(
    kind: Kind,
    truth: Truth,
    detections: Objects,
    limits: Sequence[int],
    thresholds: Sequence[float],
) -> Counts:
    evaluator = _hotcoco_evaluator(kind, truth, detections)
    evaluator.params.max_dets = list(limits)
    evaluator.params.iou_thrs = list(thresholds)
    evaluator.evaluate()
    evaluator.accumulate()
    return _counts(evaluator.eval, truth, limits, thresholds)


def _hotcoco_evaluator(
    kind: Kind, truth: Truth, detections: Objects, *, lvis_style: bool = False
) -> Any:
    from hotcoco import COCO, COCOeval

    known = _pictures_and_classes(truth)
    if lvis_style:
        _add_federation(known, truth)
    masks = kind == "segm"
    true, found = truth.objects, detections
    table = COCO.from_arrays(
        known["images"],
        known["categories"],
        true.images + 1,
        true.labels + 1,
        true.boxes,
        area=true.areas,
        iscrowd=true.is_crowd,
        segmentation=true.segmentations if masks else None,
    )
    columns = np.column_stack([found.images + 1, found.boxes, found.scores, found.labels + 1])
    results = table.load_res(columns, segmentation=found.segmentations if masks else None)
    if len(found):
        results.update_anns(ids=np.arange(1, len(found) + 1), area=found.areas)
    return COCOeval(table, results, kind, lvis_style=lvis_style)


def _pictures_and_classes(truth: Truth) -> dict[str, list[dict[str, Any]]]:
    """Number both from 1 in their order, so that any id of the user's is fine."""
    sizes = [size or (1, 1) for size in truth.sizes]
    return {
        "images": [
            {"id": index, "height": height, "width": width, "file_name": ""}
            for index, (height, width) in enumerate(sizes, start=1)
        ],
        "categories": [
            {"id": index, "name": name} for index, name in enumerate(truth.class_names, start=1)
        ],
    }


def _add_federation(known: dict[str, list[dict[str, Any]]], truth: Truth) -> None:
    """Say which classes were looked for in each picture, by the ids that count from 1."""
    every = list(range(1, len(truth.class_names) + 1))
    for index, image in enumerate(known["images"]):
        negative, partial = every, list[int]()
        if truth.federation is not None:
            negative = [label + 1 for label in truth.federation.negative(index)]
            partial = [label + 1 for label in truth.federation.partial(index)]
        image["neg_category_ids"] = negative
        image["not_exhaustive_category_ids"] = partial
    for category in known["categories"]:
        category["frequency"] = "f"  # hotcoco insists on one; buckets are averaged in lvis.py


def _rows(objects: Objects) -> list[dict[str, Any]]:
    # Ids start at 1: COCO's code takes 0 for "not matched".
    columns = (objects.images, objects.labels, objects.boxes, objects.areas)
    rows = zip(
        *(column.tolist() for column in (*columns, objects.is_crowd, objects.scores)), strict=True
    )
    return [
        {
            "id": number,
            "image_id": image + 1,
            "category_id": label + 1,
            "bbox": box,
            "area": area,
            "iscrowd": int(is_crowd),
            "score": score,
        }
        for number, (image, label, box, area, is_crowd, score) in enumerate(rows, start=1)
    ]


def _counts(
    arrays: dict[str, Any] | None,
    truth: Truth,
    limits: Sequence[int],
    thresholds: Sequence[float],
) -> Counts:
    assert arrays is not None
    shape = (len(thresholds), 101, len(truth.class_names), 4, len(limits))
    precision = np.asarray(arrays["precision"], dtype=np.float64).reshape(shape)
    recall = np.asarray(arrays["recall"], dtype=np.float64).reshape(shape[:1] + shape[2:])
    return Counts(precision=precision, recall=recall, thresholds=tuple(thresholds))
