"""Panoptic quality of instances: PQ = SQ x RQ, every pixel the object of one.

Kirillov et al., Panoptic Segmentation, CVPR 2019 (arXiv:1801.00868), section 4: found and true
segments of one class match where their IoU is above 0.5; with the matches TP,

    SQ = sum of their IoU / TP,   RQ = TP / (TP + FP / 2 + FN / 2),   PQ = SQ x RQ,

per class over all pictures, then the mean over the classes that have a segment on either side.
A found segment without a match that lies with more than half of it in crowds of its class counts
neither way (section 4.2); crowds themselves are never matched.

Segments may not overlap, objects may. Whose a shared pixel is: on both sides the smaller object's,
the rule of `Instances.to_class_map` ("smaller"), or among found objects the surer one's, as the
paper merges instances (section 6) and `Instances.to_label_map` does ("score", the default). True
objects have no scores, so among them the smaller one has it always. What is nobody's is background
and no void: a found object there is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float64

from maskwright.errors import EvaluationError
from maskwright.evaluation.family import FamilyMetrics
from maskwright.evaluation.inputs import Inputs, above
from maskwright.evaluation.objects import Objects, Size, decode_masks, picture_groups
from maskwright.evaluation.pairing import pair_objects
from maskwright.evaluation.resampling import Key, Resampling, Statistic, bootstrap, defined
from maskwright.masks import Masks

__all__ = ["OverlapRule", "panoptic_statistic", "score_panoptic"]

OverlapRule: TypeAlias = Literal["score", "smaller"]
"""Whose a pixel of several found objects is."""

_ABOVE_HALF = float(np.nextafter(0.5, 1.0))
"""The paper's condition is IoU > 0.5, without which a segment could match two."""

_PER_CLASS = "Per class, in %"


def score_panoptic(
    inputs: Inputs,
    *,
    score_threshold: float = 0.5,
    overlap: OverlapRule = "score",
    resampling: Resampling,
) -> FamilyMetrics:
    """Score the objects as panoptic segments.

    Args:
        inputs: What was read, with masks.
        score_threshold: Found objects below it are left out, since nothing is ranked here.
        overlap: Whose a pixel of several found objects is.
        resampling: For the intervals.

    Raises:
        EvaluationError: An unknown rule for overlaps.
    """
    sums = _sums(inputs, score_threshold, overlap)
    statistic = _statistic_of(sums, inputs.true.class_names)
    once = {key: value[0] for key, value in statistic(np.ones((1, inputs.num_images))).items()}
    intervals, notes = bootstrap(statistic, inputs.num_images, resampling)
    totals = sums.sum(axis=0)
    shown = [label for label in range(totals.shape[1]) if totals[1:, label].any()]
    names = inputs.true.class_names
    rows: dict[str, dict[str, float | None]] = {
        names[label]: {
            **{name: defined(once[name, names[label]]) for name in ("PQ", "SQ", "RQ")},
            **dict(zip(("TP", "FP", "FN"), totals[1:, label].astype(int).tolist(), strict=True)),
        }
        for label in shown
    }
    if not shown:
        notes = [*notes, "There are no segments on either side: every number is undefined (-1)."]
    whose = "the smaller object's" if overlap == "smaller" else "the surer object's"
    return FamilyMetrics(
        family="panoptic",
        title="Panoptic quality",
        numbers={name: defined(once[name,]) for name in ("PQ", "SQ", "RQ")},
        meanings={
            "PQ": "SQ x RQ, mean over classes",
            "SQ": "IoU of the matches",
            "RQ": "F1 at IoU above 0.50",
        },
        intervals={key[0]: ends for key, ends in intervals.items() if len(key) == 1},
        tables={_PER_CLASS: rows},
        table_intervals={
            _PER_CLASS: {
                key[1]: ends for key, ends in intervals.items() if len(key) == 2 and key[0] == "PQ"
            }
        },
        in_objects=frozenset({"TP", "FP", "FN"}),
        num_images=inputs.num_images,
        notes=(
            *notes,
            f"Scores from {score_threshold:g}. Found objects may not overlap here: a shared pixel "
            f"is {whose}; among true objects it is the smaller one's.",
        ),
    )


def panoptic_statistic(
    inputs: Inputs, *, score_threshold: float = 0.5, overlap: OverlapRule = "score"
) -> Statistic:
    """Return PQ, SQ and RQ as a function of picture weights: (name,) or (name, class name)."""
    return _statistic_of(_sums(inputs, score_threshold, overlap), inputs.true.class_names)


def _sums(
    inputs: Inputs, score_threshold: float, overlap: OverlapRule
) -> Float64[np.ndarray, "m 4 k"]:
    """IoU of the matches, TP, FP and FN of every picture and class."""
    if overlap not in ("score", "smaller"):
        raise EvaluationError(f'overlap must be "score" or "smaller", got {overlap!r}')
    segments = segmented(inputs, score_threshold, overlap)
    true, found = segments.true, segments.found
    pairing = pair_objects(true, found, segments.overlaps, [_ABOVE_HALF])
    shape = (inputs.num_images, len(true.class_names))
    partner = pairing.partner[0]
    # An object that others cover completely is no segment.
    there = segments.overlaps.found_areas > 0
    truly_there = (segments.overlaps.true_areas > 0) & ~true.objects.is_crowd
    overlaps, iou = segments.overlaps, np.zeros(len(found))
    chosen = partner[overlaps.found] == overlaps.true
    iou[overlaps.found[chosen]] = overlaps.iou[chosen]
    hit = np.flatnonzero(partner >= 0)
    alone = np.flatnonzero((partner < 0) & ~pairing.in_crowd & there)
    sums = np.zeros((4, *shape))
    np.add.at(sums[0], (found.images[hit], found.labels[hit]), iou[hit])
    np.add.at(sums[1], (found.images[hit], found.labels[hit]), 1)
    np.add.at(sums[2], (found.images[alone], found.labels[alone]), 1)
    real = np.flatnonzero(truly_there)
    np.add.at(sums[3], (true.objects.images[real], true.objects.labels[real]), 1)
    sums[3] -= sums[1]
    return np.moveaxis(sums, 0, 1)


def _statistic_of(sums: Float64[np.ndarray, "m 4 k"], class_names: Sequence[str]) -> Statistic:
    flat = sums.reshape(len(sums), 4 * len(class_names))

    def statistic(weights: np.ndarray) -> dict[Key, np.ndarray]:
        iou, hits, false, missed = np.moveaxis(
            (weights.astype(np.float64) @ flat).reshape(len(weights), 4, len(class_names)), 1, 0
        )
        whole = hits + (false + missed) / 2
        values = {
            "PQ": _divide(iou, whole),
            "SQ": np.where(whole > 0, iou / np.maximum(hits, 1), np.nan),
            "RQ": _divide(hits, whole),
        }
        numbers: dict[Key, np.ndarray] = {(name,): _mean(one) for name, one in values.items()}
        for name, one in values.items():
            numbers |= {(name, known): one[:, k] for k, known in enumerate(class_names)}
        return numbers

    return statistic


def segmented(inputs: Inputs, score_threshold: float, overlap: OverlapRule) -> Inputs:
    """Return the objects of some score as segments that share no pixel."""
    true, found = inputs.true, above(inputs.found, score_threshold)
    found_ranks = -found.scores if overlap == "score" else None
    return Inputs(
        replace(true, objects=_without_overlaps(true.objects, true.sizes, None)),
        _without_overlaps(found, true.sizes, found_ranks),
    )


def _without_overlaps(
    objects: Objects, sizes: Sequence[Size | None], ranks: Float64[np.ndarray, " n"] | None
) -> Objects:
    """Give every pixel to one object: the lowest rank's, or the smaller; crowds come last.

    Of equally small objects the later one has it, as in `Instances.to_class_map`; of equal ranks
    the earlier one, as in `Instances.to_label_map`.
    """
    assert objects.segmentations is not None
    segmentations = list(objects.segmentations)
    for picture, rows in picture_groups(objects.images).items():
        size = sizes[picture]
        assert size is not None
        masks = decode_masks([objects.segmentations[row] for row in rows], size)
        first = masks.area if ranks is None else ranks[rows]
        ties = -np.arange(len(rows)) if ranks is None else np.arange(len(rows))
        order = np.lexsort((ties, first, objects.is_crowd[rows]))
        apart: Masks = masks[order].remove_overlaps()
        for row, code in zip(rows[order].tolist(), apart.to_coco(), strict=True):
            segmentations[row] = code
    return replace(objects, segmentations=segmentations)


def _divide(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1.0), np.nan)


def _mean(values: Float64[np.ndarray, "b k"]) -> Float64[np.ndarray, " b"]:
    known = np.isfinite(values)
    count = known.sum(axis=1)
    total = np.where(known, values, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
