"""Found and true objects side by side, with every pair of them that meets.

All parts of the error analysis read this one structure, so that masks are decoded and measured
once. Memory follows the objects and the pairs that meet, never their product.

Shapes: n found objects, g true objects, p pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64, Int64

from maskwright.errors import EvaluationError
from maskwright.evaluation.limits import detection_limit
from maskwright.evaluation.objects import Objects, picture_groups
from maskwright.evaluation.overlaps import measure_overlaps
from maskwright.evaluation.prediction_sources import PredictionSource, load_results
from maskwright.evaluation.predictions import read_predictions
from maskwright.evaluation.truth import Truth, TruthSource, load_truth, read_truth

__all__ = ["FoundAndTrue", "Pairs", "hold_against", "read_found_and_true"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """Pairs of a found and a true object of one picture that share area.

    Args:
        found: (p,) row of the found object.
        true: (p,) row of the true object.
        iou: (p,) intersection over union, in (0, 1].
        share: (p,) part of the found object that lies in the true one, in (0, 1].
    """

    found: Int64[np.ndarray, " p"]
    true: Int64[np.ndarray, " p"]
    iou: Float64[np.ndarray, " p"]
    share: Float64[np.ndarray, " p"]

    def __len__(self) -> int:
        return len(self.found)

    def __getitem__(self, chosen: np.ndarray) -> Pairs:
        """Return the chosen pairs, by index or by a mask."""
        return Pairs(
            found=self.found[chosen],
            true=self.true[chosen],
            iou=self.iou[chosen],
            share=self.share[chosen],
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class FoundAndTrue:
    """What was found, what is true, and where they meet.

    Args:
        kind: Whether pairs are of "segm" (masks) or "bbox".
        truth: The true objects, their pictures and classes.
        found: The found objects that count: at most `max_detections` of a picture.
        rows: (n,) place of each found object among the predictions as they were given.
        annotation_ids: (g,) the truth's own id of each true object.
        pairs: With single true objects.
        crowd_pairs: With crowds.
        found_areas: (n,) pixels of each mask, or of each box where boxes are compared.
        true_areas: (g,) likewise; not the official area of the annotation, which may differ.
        max_detections: Found objects of a picture that count, the best scores first.
        notes: What a reader must know, in sentences.
    """

    kind: Literal["bbox", "segm"]
    truth: Truth
    found: Objects
    rows: Int64[np.ndarray, " n"]
    annotation_ids: tuple[int | str, ...]
    pairs: Pairs
    crowd_pairs: Pairs
    found_areas: Float64[np.ndarray, " n"]
    true_areas: Float64[np.ndarray, " g"]
    max_detections: int
    notes: tuple[str, ...] = ()

    @property
    def is_single(self) -> Bool[np.ndarray, " g"]:
        """Which true objects are no crowds."""
        single: np.ndarray = ~self.truth.objects.is_crowd
        return single

    def same_class(self, pairs: Pairs) -> Bool[np.ndarray, " p"]:
        """Which pairs are of one class."""
        same: np.ndarray = self.found.labels[pairs.found] == self.truth.objects.labels[pairs.true]
        return same

    def ranks(self) -> Int64[np.ndarray, " n"]:
        """Place of each found object when all are ordered by falling score, ties as they came."""
        ranks = np.empty(len(self.found), np.int64)
        ranks[np.argsort(-self.found.scores, kind="stable")] = np.arange(len(self.found))
        return ranks


def read_found_and_true(
    predictions: PredictionSource,
    truth: TruthSource,
    *,
    kind: Literal["bbox", "segm"] | None = None,
    max_detections: int | None = None,
) -> FoundAndTrue:
    """Read predictions and truth and measure where they meet.

    Args:
        predictions: As for `evaluate`.
        truth: As for `evaluate`.
        kind: Hold masks or boxes against each other. None: masks; boxes, with a note, where
            predictions or truth hold no mask at all.
        max_detections: How many found objects of a picture count, over all classes, the best
            scores first. None: 100 as in tidecv, raised with a note to the next hundred above the
            number of true objects of the fullest picture.

    Raises:
        DataError: The truth cannot be read or contradicts itself.
        EvaluationError: A prediction that does not fit the truth, or an option out of range.
    """
    if kind not in (None, "bbox", "segm"):
        raise EvaluationError(f"kind may be bbox or segm, got {kind!r}")
    if max_detections is not None and max_detections < 1:
        raise EvaluationError(f"max_detections must be at least 1, got {max_detections}")
    coco = load_truth(truth)
    results = load_results(predictions, coco)
    notes: list[str] = []
    if kind is None:
        kind = "segm"
        for source, lacking in (
            (results.source, results.lack_masks),
            (coco.source, coco.lacks_masks),
        ):
            if lacking:
                kind = "bbox"
                notes = [f"There are no masks in {source}, so boxes are held against each other."]
    true = read_truth(coco, need_masks=kind == "segm")
    every = read_predictions(results, true, need_masks=kind == "segm")
    limit, on_limit = detection_limit(true, max_detections)
    ids = tuple(one.get("id", row) for row, one in enumerate(coco.coco["annotations"]))
    return hold_against(
        true, every, kind, max_detections=limit, annotation_ids=ids, notes=(*notes, *on_limit)
    )


def hold_against(
    truth: Truth,
    every: Objects,
    kind: Literal["bbox", "segm"],
    *,
    max_detections: int,
    annotation_ids: tuple[int | str, ...] = (),
    notes: tuple[str, ...] = (),
) -> FoundAndTrue:
    """Leave out found objects beyond the limit and measure the pairs of the others.

    Args:
        truth: The true objects.
        every: All found objects; with segmentations where `kind` is "segm".
        kind: Masks or boxes.
        max_detections: Found objects of a picture that count.
        annotation_ids: The truth's own ids; () numbers its objects from 0.
        notes: Handed on.
    """
    rows = _best_of_each_picture(every, max_detections)
    found = _chosen(every, rows)
    measure = _mask_pairs if kind == "segm" else _box_pairs
    pairs, found_areas, true_areas = measure(truth, found)
    is_crowd = truth.objects.is_crowd[pairs.true]
    return FoundAndTrue(
        kind=kind,
        truth=truth,
        found=found,
        rows=rows,
        annotation_ids=annotation_ids or tuple(range(len(truth.objects))),
        pairs=pairs[~is_crowd],
        crowd_pairs=pairs[is_crowd],
        found_areas=found_areas,
        true_areas=true_areas,
        max_detections=max_detections,
        notes=notes,
    )


def _best_of_each_picture(every: Objects, limit: int) -> np.ndarray:
    """Rows that count, in their order."""
    order = np.lexsort((-every.scores, every.images))
    images = every.images[order]
    starts = np.searchsorted(images, images, side="left")
    kept = order[np.arange(len(order)) - starts < limit]
    return np.sort(kept)


def _chosen(every: Objects, rows: np.ndarray) -> Objects:
    segmentations = every.segmentations
    return Objects(
        images=every.images[rows],
        labels=every.labels[rows],
        boxes=every.boxes[rows],
        areas=every.areas[rows],
        is_crowd=every.is_crowd[rows],
        scores=every.scores[rows],
        segmentations=None if segmentations is None else [segmentations[row] for row in rows],
    )


def _mask_pairs(truth: Truth, found: Objects) -> tuple[Pairs, np.ndarray, np.ndarray]:
    overlaps = measure_overlaps(truth, found)
    pairs = Pairs(
        found=overlaps.found,
        true=overlaps.true,
        iou=overlaps.iou,
        share=overlaps.common / overlaps.found_areas[overlaps.found],
    )
    areas = overlaps.found_areas, overlaps.true_areas
    return pairs, areas[0].astype(np.float64), areas[1].astype(np.float64)


def _box_pairs(truth: Truth, found: Objects) -> tuple[Pairs, np.ndarray, np.ndarray]:
    """Pairs of boxes, in the float64 arithmetic of pycocotools' `bbIou`."""
    parts: list[tuple[np.ndarray, ...]] = [(np.zeros(0, np.int64),) * 2 + (np.zeros(0),) * 2]
    true_groups = picture_groups(truth.objects.images)
    for picture, rows in picture_groups(found.images).items():
        true_rows = true_groups.get(picture)
        if true_rows is None:
            continue
        a, b = found.boxes[rows][:, None], truth.objects.boxes[true_rows][None]
        low = np.maximum(a[..., :2], b[..., :2])
        sides = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:]) - low
        common = np.where((sides > 0).all(axis=-1), sides.prod(axis=-1), 0.0)
        i, j = np.nonzero(common)
        area, other = a[i, 0, 2] * a[i, 0, 3], b[0, j, 2] * b[0, j, 3]
        shared = common[i, j]
        parts.append((rows[i], true_rows[j], shared / (area + other - shared), shared / area))
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    pairs = Pairs(found=columns[0], true=columns[1], iou=columns[2], share=columns[3])
    return pairs, *(each.boxes[:, 2:].prod(axis=1) for each in (found, truth.objects))
