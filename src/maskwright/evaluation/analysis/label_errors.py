"""True objects, and places without one, where the annotation is likely wrong.

A model that was trained on other pictures is held against the annotation, as ObjectLab
(Tkachenko, Thyagarajan, Mueller 2023, arXiv 2309.00832) holds it for boxes: overlooked, swapped
and badly located objects; by masks here, and with one kind more, annotated objects of which the
model sees nothing. Suspicion lies between 0 and 1 and orders one list. Only for `missing` and
`class` can it be read as a probability, and then only of a calibrated model: look, then decide.

    missing   a sure found object where nothing is annotated: its score
    class     a sure found object on an annotated one of another class, which nobody found as its
              own class more surely: its score
    spurious  an annotated object of which nothing was found at any score: the recall among other
              objects of its class whose sides differ by at most a factor 1.5
    outline   a sure found object of the right class whose mask fits the annotated one much worse
              than is usual for the class: score times the part of the usual IoU that is lacking

Pictures that the model was trained on hide what it has learnt by heart: judge held-out ones.

Shapes: n found objects, g true objects, k classes.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float64

from maskwright.evaluation.analysis.listed import ListedObject, found_entry, true_entry
from maskwright.evaluation.analysis.matching import iou_of, owners, strongest
from maskwright.evaluation.analysis.pairs import FoundAndTrue
from maskwright.evaluation.analysis.tide import ERROR_KINDS, TideErrors

__all__ = ["Suspicion", "label_suspects"]

Suspicion: TypeAlias = Literal["missing", "class", "spurious", "outline"]

_CLS, _LOC, _BKG = (ERROR_KINDS.index(kind) for kind in ("Cls", "Loc", "Bkg"))
_SIMILAR_SIDE = 1.5
_FEW = 5
"""Matches of a class below which all classes together say what is usual."""


def label_suspects(
    objects: FoundAndTrue,
    errors: TideErrors,
    *,
    score_threshold: float,
    limit: int | None = 100,
) -> list[ListedObject]:
    """Return what to look at again in the annotation, the most suspicious first.

    `reason` is one of `Suspicion`, `rank_value` the suspicion.

    Args:
        objects: Found and true.
        errors: What `tide_errors` said of them.
        score_threshold: From which score a found object is sure.
        limit: How many at most; None for all.
    """
    sure = objects.found.scores >= score_threshold
    suspects = [
        *_missing(objects, errors, sure),
        *_class(objects, errors, sure),
        *_spurious(objects, errors),
        *_outline(objects, errors, sure),
    ]
    suspects.sort(key=lambda one: -one.rank_value)
    return suspects[:limit]


def _missing(objects: FoundAndTrue, errors: TideErrors, sure: np.ndarray) -> list[ListedObject]:
    rows = np.flatnonzero((errors.kinds == _BKG) & ~errors.is_ignored & sure)
    return [
        found_entry(
            objects,
            row,
            reason="missing",
            explanation=f"{_name(objects, row)} found (score {score:.2f}), nothing annotated",
            rank_value=min(score, 1.0),
        )
        for row, score in zip(rows.tolist(), objects.found.scores[rows].tolist(), strict=True)
    ]


def _class(objects: FoundAndTrue, errors: TideErrors, sure: np.ndarray) -> list[ListedObject]:
    rows = np.flatnonzero((errors.kinds == _CLS) & sure)
    rows = rows[np.argsort(-objects.found.scores[rows], kind="stable")]
    # One entry per true object: the surest of what was found there.
    _, first = np.unique(errors.aims[rows], return_index=True)
    whose = owners(errors.partner, len(objects.truth.objects))
    iou = _iou(objects, errors)
    entries = []
    for row in rows[np.sort(first)].tolist():
        true_row, score = int(errors.aims[row]), float(objects.found.scores[row])
        owner = int(whose[true_row])
        if owner >= 0 and objects.found.scores[owner] >= score:
            continue
        entries.append(
            true_entry(
                objects,
                true_row,
                reason="class",
                explanation=f"found as {_name(objects, row)} (score {score:.2f})",
                rank_value=min(score, 1.0),
                found_row=row,
                iou=float(iou[row]),
            )
        )
    return entries


def _spurious(objects: FoundAndTrue, errors: TideErrors) -> list[ListedObject]:
    pairs = objects.pairs
    _, best = strongest(pairs.true, pairs.iou, len(objects.truth.objects))
    rows = np.flatnonzero(objects.is_single & (best <= errors.background_iou))
    recalls = _recall_of_similar(objects, errors)
    return [
        true_entry(
            objects,
            row,
            reason="spurious",
            explanation=f"nothing found; of similar objects {100 * recalls[row]:.0f} % are",
            rank_value=float(recalls[row]),
        )
        for row in rows.tolist()
        if recalls[row] > 0
    ]


def _recall_of_similar(objects: FoundAndTrue, errors: TideErrors) -> Float64[np.ndarray, " g"]:
    """Part of the other objects of the class and of about this size that were found."""
    labels, sides = objects.truth.objects.labels, np.sqrt(objects.true_areas)
    matched = owners(errors.partner, len(labels)) >= 0
    recalls = np.zeros(len(labels))
    for label in np.unique(labels[objects.is_single]).tolist():
        rows = np.flatnonzero(objects.is_single & (labels == label))
        rows = rows[np.argsort(sides[rows], kind="stable")]
        low = np.searchsorted(sides[rows], sides[rows] / _SIMILAR_SIDE, side="left")
        high = np.searchsorted(sides[rows], sides[rows] * _SIMILAR_SIDE, side="right")
        hits = np.concatenate([[0], np.cumsum(matched[rows])])
        others = np.maximum(high - low - 1, 1)
        recalls[rows] = (hits[high] - hits[low] - matched[rows]) / others
    return recalls


def _outline(objects: FoundAndTrue, errors: TideErrors, sure: np.ndarray) -> list[ListedObject]:
    iou = _iou(objects, errors)
    usual, least = _usual_iou(objects, errors, iou)
    labels, scores = objects.found.labels, objects.found.scores
    whose = owners(errors.partner, len(objects.truth.objects))
    on_free = (errors.kinds == _LOC) & (np.append(whose, 0)[errors.aims] < 0)
    chosen = sure & ((errors.partner >= 0) | on_free) & (iou < least[labels])
    rows = np.flatnonzero(chosen)
    rows = rows[np.argsort(-scores[rows], kind="stable")]
    about = np.where(errors.partner >= 0, errors.partner, errors.aims)
    _, first = np.unique(about[rows], return_index=True)
    entries = []
    for row in rows[np.sort(first)].tolist():
        wanted = usual[labels[row]]
        entries.append(
            true_entry(
                objects,
                int(about[row]),
                reason="outline",
                explanation=f"the found outline has IoU {iou[row]:.2f}, usual is {wanted:.2f}",
                rank_value=float(min(scores[row], 1.0) * (1 - iou[row] / wanted)),
                found_row=row,
                iou=float(iou[row]),
            )
        )
    return entries


def _usual_iou(
    objects: FoundAndTrue, errors: TideErrors, iou: np.ndarray
) -> tuple[Float64[np.ndarray, " k"], Float64[np.ndarray, " k"]]:
    """Median IoU of the matches of each class, and what is two deviations below it.

    The deviation is the median one from the median, times 1.4826 as for a normal distribution.
    """
    matched, labels = errors.partner >= 0, objects.found.labels
    k = len(objects.truth.class_names)
    usual, least = np.zeros(k), np.zeros(k)
    for label in range(k):
        values = iou[matched & (labels == label)]
        values = iou[matched] if len(values) < _FEW else values
        if len(values):
            usual[label] = np.median(values)
            deviation = 1.4826 * np.median(np.abs(values - usual[label]))
            least[label] = usual[label] - 2 * deviation
    return usual, least


def _iou(objects: FoundAndTrue, errors: TideErrors) -> Float64[np.ndarray, " n"]:
    """IoU of each found object with the true one it matches or is about, 0 without."""
    about = np.where(errors.partner >= 0, errors.partner, errors.aims)
    return iou_of(objects.pairs, np.arange(len(about)), about)


def _name(objects: FoundAndTrue, row: int) -> str:
    return objects.truth.class_names[int(objects.found.labels[row])]
