"""Which class is taken for which, and what is taken for nothing.

Shapes: n found objects, k classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float64, Int64

from maskwright.errors import EvaluationError
from maskwright.evaluation.analysis.matching import lies_in_crowd, match_across_classes, owners
from maskwright.evaluation.analysis.pairs import FoundAndTrue

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BACKGROUND", "ConfusionMatrix", "confusion_matrix"]

BACKGROUND = "(background)"
"""Name of the last row and column: nothing true there, or nothing found."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ConfusionMatrix:
    """Counts of true against found classes.

    Args:
        counts: (k + 1, k + 1) true class by row, found class by column. The last row holds what
            was found where nothing is true, the last column what is true and was not found; the
            corner is 0, since there is no count of nothing found on nothing.
        class_names: The k names, without the background.
        iou_threshold: IoU from which two objects are one, whatever their classes.
        score_threshold: Found objects below it take no part.
    """

    counts: Int64[np.ndarray, "k+1 k+1"]
    class_names: tuple[str, ...]
    iou_threshold: float
    score_threshold: float

    def shares(self, of: Literal["true", "found"] = "true") -> Float64[np.ndarray, "k+1 k+1"]:
        """Return the counts as parts of their true class's row or found class's column.

        Rows or columns without any object are 0.
        """
        sums = self.counts.sum(axis=1 if of == "true" else 0, keepdims=True)
        sums = sums if of == "true" else sums.reshape(1, -1)
        parts: np.ndarray = self.counts / np.maximum(sums, 1)
        return parts

    def most_confused(self, limit: int = 10) -> list[tuple[str, str, int]]:
        """Return (true class, found class, count) of the largest counts off the diagonal.

        The background is left out: what is missed or made up is no confusion of two classes.
        """
        between = self.counts[:-1, :-1] - np.diag(np.diag(self.counts[:-1, :-1]))
        order = np.argsort(-between, axis=None, kind="stable")[:limit]
        rows, columns = np.unravel_index(order, between.shape)
        return [
            (self.class_names[i], self.class_names[j], int(between[i, j]))
            for i, j in zip(rows.tolist(), columns.tolist(), strict=True)
            if between[i, j]
        ]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for json."""
        return {
            "names": [*self.class_names, BACKGROUND],
            "counts": self.counts.tolist(),
            "iou_threshold": self.iou_threshold,
            "score_threshold": self.score_threshold,
        }

    def to_dataframe(self) -> pd.DataFrame:
        """Return the counts with names: true classes down, found classes across."""
        import pandas as pd

        names = [*self.class_names, BACKGROUND]
        index, columns = pd.Index(names, name="true"), pd.Index(names, name="found")
        return pd.DataFrame(self.counts, index=index, columns=columns)


def confusion_matrix(
    objects: FoundAndTrue, *, iou_threshold: float = 0.5, score_threshold: float = 0.5
) -> ConfusionMatrix:
    """Pair objects by their masks (or boxes), whatever their class, and count who met whom.

    Pairs are taken by falling IoU, each object once (`match_across_classes`). A found object in a
    crowd of its class that met nobody is not counted.

    Args:
        objects: Found and true.
        iou_threshold: IoU that a pair must reach, above 0.
        score_threshold: Found objects below it take no part.

    Raises:
        EvaluationError: A threshold out of range.
    """
    if not 0 < iou_threshold <= 1 or not np.isfinite(score_threshold):
        raise EvaluationError(
            "iou_threshold must be above 0 and at most 1 and score_threshold finite, got "
            f"{iou_threshold} and {score_threshold}"
        )
    k = len(objects.truth.class_names)
    kept = objects.found.scores >= score_threshold
    partner = match_across_classes(objects, iou_threshold, kept)
    met = partner >= 0
    ignored = lies_in_crowd(objects, partner, iou_threshold)
    true_labels, found_labels = objects.truth.objects.labels, objects.found.labels
    counts = np.zeros((k + 1, k + 1), np.int64)
    np.add.at(counts, (true_labels[partner[met]], found_labels[met]), 1)
    np.add.at(counts[k], found_labels[kept & ~met & ~ignored], 1)
    missed = objects.is_single & (owners(partner, len(true_labels)) < 0)
    np.add.at(counts[:, k], true_labels[missed], 1)
    return ConfusionMatrix(
        counts=counts,
        class_names=objects.truth.class_names,
        iou_threshold=iou_threshold,
        score_threshold=score_threshold,
    )
