"""What AP would be if one kind of mistake were mended: the counting behind `tide.py`.

Shapes: n found objects, g true objects, k classes.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float64

from maskwright.evaluation.analysis.pairs import FoundAndTrue

__all__ = ["BKG", "BOTH", "CLS", "DUPE", "LOC", "Mended"]

CLS, LOC, BOTH, DUPE, BKG = range(5)
"""Kinds of mistakes of found objects: places in `tide.ERROR_KINDS`."""

_RECALLS = np.array([step / 100 for step in range(101)])


class Mended:
    """The AP of each class as things are and with one kind of mistake mended."""

    def __init__(
        self,
        objects: FoundAndTrue,
        partner: np.ndarray,
        kinds: np.ndarray,
        aims: np.ndarray,
        is_free: np.ndarray,
        is_missed: np.ndarray,
        is_ignored: np.ndarray,
    ) -> None:
        self.class_names = objects.truth.class_names
        self.labels, self.scores = objects.found.labels, objects.found.scores
        self.true_labels = objects.truth.objects.labels
        self.kinds, self.is_ignored, self.is_missed = kinds, is_ignored, is_missed
        self.is_free, self.is_right = is_free, partner >= 0
        # Picture by picture and by score within: tidecv's order of objects of equal score.
        self.place = np.empty(len(partner), np.int64)
        self.place[np.lexsort((objects.ranks(), objects.found.images))] = np.arange(len(partner))
        self.num_true = self.per_class(objects.is_single)
        self.aimed_label = np.where(aims >= 0, np.append(self.true_labels, -1)[aims], -1)
        self.is_mendable = self._surest(aims)

    def per_class(self, chosen: np.ndarray) -> np.ndarray:
        """Return how many of the chosen true objects each class has."""
        return np.bincount(self.true_labels[chosen], minlength=len(self.class_names))

    def _surest(self, aims: np.ndarray) -> np.ndarray:
        """Of the Loc and Cls errors that aim at one free object, the surest."""
        rows = np.flatnonzero(np.isin(self.kinds, (LOC, CLS)))
        rows = rows[self.is_free[aims[rows]]]
        order = rows[np.lexsort((self.place[rows], -self.scores[rows]))]
        _, first = np.unique(aims[order], return_index=True)
        surest = np.zeros(len(aims), bool)
        surest[order[first]] = True
        return surest

    def as_is(self) -> np.ndarray:
        """Return the AP of each class with every mistake."""
        counted = self.is_right | ~self.is_ignored
        return self._ap(self.labels, self.is_right, counted, self.scores, mended=False)

    def without(self, kind: int) -> np.ndarray:
        """AP by class with this kind of found object mended."""
        chosen = self.kinds == kind
        labels = np.where(chosen & (kind == CLS), self.aimed_label, self.labels)
        won = chosen & self.is_mendable
        counted = self.is_right | won | (~chosen & ~self.is_ignored)
        return self._ap(labels, self.is_right | won, counted, self.scores)

    def without_false(self) -> np.ndarray:
        """Return the AP of each class with every wrong object ranked below every right one."""
        counted = self.is_right | ~self.is_ignored
        return self._ap(self.labels, self.is_right, counted, self.is_right.astype(np.float64))

    def without_unmatched(self, unmatched: np.ndarray) -> np.ndarray:
        """AP by class with these true objects taken out."""
        counted = self.is_right | ~self.is_ignored
        num_true = self.num_true - self.per_class(unmatched)
        return self._ap(self.labels, self.is_right, counted, self.scores, num_true=num_true)

    def _ap(
        self,
        labels: np.ndarray,
        is_right: np.ndarray,
        counted: np.ndarray,
        scores: np.ndarray,
        *,
        num_true: np.ndarray | None = None,
        mended: bool = True,
    ) -> Float64[np.ndarray, " k"]:
        """AP of each class; NaN where there is neither a true nor a counted found object."""
        num_true = self.num_true if num_true is None else num_true
        rows = np.flatnonzero(counted)
        # tidecv puts the objects that were right from the start behind the mended ones.
        late = self.is_right[rows] & mended
        rows = rows[np.lexsort((self.place[rows], late, -scores[rows], labels[rows]))]
        ends = np.searchsorted(labels[rows], np.arange(len(num_true) + 1))
        return np.array(
            [
                _average_precision(is_right[rows[ends[k] : ends[k + 1]]], int(num_true[k]))
                for k in range(len(num_true))
            ]
        )


def _average_precision(is_right: Bool[np.ndarray, " d"], num_true: int) -> float:
    """Mean of the precision at 101 recalls, each the best at that recall or a higher one."""
    if not num_true:
        return 0.0 if len(is_right) else np.nan
    hits = np.cumsum(is_right)
    precision = hits / np.arange(1, len(hits) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(hits / num_true, _RECALLS, side="left")
    return float(np.append(best, 0.0)[at].sum() / len(_RECALLS))
