"""How well objects are found by their size and by how crowded they stand.

Recall is that of the true objects in a bin, precision that of the found ones whose own size or
crowding falls in it: a large false object lowers the precision of large objects.

Two objects of one picture are neighbours when their boxes, each grown by a quarter of its width
and height on every side, meet. Overlap is the largest IoU of an object's box with another's on
its own side (true with true, found with found). Classes are not told apart, crowds not looked at.

Shapes: n objects, b bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64, Int64

from maskwright.errors import EvaluationError
from maskwright.evaluation.analysis.pairs import FoundAndTrue
from maskwright.evaluation.objects import picture_groups
from maskwright.masks.pairs import meeting_pairs

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Breakdown", "BreakdownBin", "break_down", "crowding"]

_NEIGHBOUR_EDGES = (0.0, 1.0, 3.0, 6.0, np.inf)
_OVERLAP_EDGES = (0.0, 0.02, 0.1, 0.3, np.inf)
_NUM_SIZES = 5


@dataclass(frozen=True, kw_only=True)
class BreakdownBin:
    """The objects of one bin; -1 stands for undefined.

    Args:
        name: For people, such as "16 to 31 px".
        low: From this value on.
        high: Below this value; None without an upper end.
        num_true: True objects in it, crowds left out.
        num_found: Found objects in it that count.
        recall: Part of the true ones that were found.
        precision: Part of the found ones that are right.
        mean_iou: Of the true ones that were found.
    """

    name: str
    low: float
    high: float | None
    num_true: int
    num_found: int
    recall: float
    precision: float
    mean_iou: float


@dataclass(frozen=True, kw_only=True)
class Breakdown:
    """Recall and precision by size, by number of neighbours and by overlap.

    Args:
        by_size: Size is the square root of the area, in pixels.
        by_neighbours: Number of neighbours.
        by_overlap: Largest IoU of boxes with another object.
        iou_threshold: From which IoU a found object is right.
        score_threshold: Found objects below it take no part.
    """

    by_size: tuple[BreakdownBin, ...]
    by_neighbours: tuple[BreakdownBin, ...]
    by_overlap: tuple[BreakdownBin, ...]
    iou_threshold: float
    score_threshold: float

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for json."""
        return asdict(self)

    def to_dataframe(self) -> pd.DataFrame:
        """Return a row per bin; the column `by` says of which division."""
        import pandas as pd

        divisions = {
            "size": self.by_size,
            "neighbours": self.by_neighbours,
            "overlap": self.by_overlap,
        }
        return pd.DataFrame(
            [{"by": name} | asdict(one) for name, bins in divisions.items() for one in bins]
        )


def break_down(
    objects: FoundAndTrue,
    partner: Int64[np.ndarray, " n"],
    counted: np.ndarray,
    *,
    iou_threshold: float,
    score_threshold: float,
    size_edges: Sequence[float] | None = None,
) -> Breakdown:
    """Count by size, neighbours and overlap.

    Args:
        objects: Found and true.
        partner: (n,) true object of each found one, -1 without; -1 also below the score threshold.
        counted: (n,) which found objects count.
        iou_threshold: That `partner` was made with, to be stated.
        score_threshold: That `counted` was made with, to be stated.
        size_edges: Inner edges of the size bins, ascending, in pixels of side; (32, 96) are
            COCO's. None: five bins that hold equally many true objects, in whole pixels.

    Raises:
        EvaluationError: Edges that do not ascend.
    """
    counter = _Counter(objects, partner, counted)
    true, found = objects.truth.objects, objects.found
    sizes, found_sizes = np.sqrt(objects.true_areas), np.sqrt(objects.found_areas)
    inner = _equal_parts(sizes[objects.is_single]) if size_edges is None else list(size_edges)
    if any(b <= a for a, b in pairwise([0.0, *inner])):
        raise EvaluationError(f"size_edges must be above 0 and ascend, got {list(inner)}")
    chosen = objects.is_single, counted
    near = [np.zeros(len(true)), np.zeros(len(found))]
    overlap = [np.zeros(len(true)), np.zeros(len(found))]
    for side, (each, rows) in enumerate(zip((true, found), chosen, strict=True)):
        near[side][rows], overlap[side][rows] = crowding(each.images[rows], each.boxes[rows])
    return Breakdown(
        by_size=counter.bins(sizes, found_sizes, (0.0, *inner, np.inf), "px"),
        by_neighbours=counter.bins(near[0], near[1], _NEIGHBOUR_EDGES, ""),
        by_overlap=counter.bins(overlap[0], overlap[1], _OVERLAP_EDGES, "IoU"),
        iou_threshold=iou_threshold,
        score_threshold=score_threshold,
    )


def crowding(
    images: Int64[np.ndarray, " n"], boxes: Float64[np.ndarray, "n 4"]
) -> tuple[Int64[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
    """Return the number of neighbours of each object, and its largest IoU of boxes with one.

    Args:
        images: Picture of each.
        boxes: x, y, width, height.
    """
    near, overlap = np.zeros(len(images), np.int64), np.zeros(len(images))
    corners = np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])
    grown = corners + np.hstack([-boxes[:, 2:], boxes[:, 2:]]) / 4
    grown = np.hstack([np.floor(grown[:, :2]), np.ceil(grown[:, 2:])]).astype(np.int32)
    for rows in picture_groups(images).values():
        pairs = rows[meeting_pairs(grown[rows])]
        i, j = pairs[:, 0], pairs[:, 1]
        sides = np.minimum(corners[i, 2:], corners[j, 2:]) - np.maximum(
            corners[i, :2], corners[j, :2]
        )
        common = sides.clip(min=0).prod(axis=1)
        united = boxes[i, 2:].prod(axis=1) + boxes[j, 2:].prod(axis=1) - common
        ratio = common / np.where(united > 0, united, 1.0)
        for side in (i, j):
            np.add.at(near, side, 1)
            np.maximum.at(overlap, side, ratio)
    return near, overlap


class _Counter:
    """Counts true and found objects by any value of theirs."""

    def __init__(self, objects: FoundAndTrue, partner: np.ndarray, counted: np.ndarray) -> None:
        self._single, self._counted, self._right = objects.is_single, counted, partner >= 0
        self._iou = np.zeros(len(objects.is_single))
        self._is_matched = np.zeros(len(objects.is_single), bool)
        pairs = objects.pairs
        own = pairs[partner[pairs.found] == pairs.true]
        self._iou[own.true] = own.iou
        self._is_matched[own.true] = True

    def bins(
        self,
        of_true: np.ndarray,
        of_found: np.ndarray,
        edges: Sequence[float],
        unit: str,
    ) -> tuple[BreakdownBin, ...]:
        made = []
        for low, high in pairwise(edges):
            true = self._single & (of_true >= low) & (of_true < high)
            found = self._counted & (of_found >= low) & (of_found < high)
            matched = true & self._is_matched
            made.append(
                BreakdownBin(
                    name=_name(low, high, unit),
                    low=float(low),
                    high=float(high) if np.isfinite(high) else None,
                    num_true=int(true.sum()),
                    num_found=int(found.sum()),
                    recall=_ratio(matched.sum(), true.sum()),
                    precision=_ratio((found & self._right).sum(), found.sum()),
                    mean_iou=_ratio(self._iou[matched].sum(), matched.sum()),
                )
            )
        return tuple(made)


def _equal_parts(sizes: np.ndarray) -> list[float]:
    """Inner edges, in whole pixels, of bins that hold about equally many; fewer where they tie."""
    if not len(sizes):
        return []
    inner = np.quantile(sizes, np.arange(1, _NUM_SIZES) / _NUM_SIZES).round()
    return [float(edge) for edge in np.unique(inner) if sizes.min() < edge and edge > 0]


def _name(low: float, high: float, unit: str) -> str:
    if unit == "":
        last = int(high) - 1 if np.isfinite(high) else None
        if last is None:
            return f"{int(low)} or more"
        return str(int(low)) if last == low else f"{int(low)} to {last}"
    if not np.isfinite(high):
        return f"{low:g} {unit} or more"
    return f"below {high:g} {unit}" if low == 0 else f"{low:g} to {high:g} {unit}"


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else -1.0
