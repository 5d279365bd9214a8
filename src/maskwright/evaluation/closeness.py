"""How close found and true objects are, by boxes or masks: one number per pair.

Only pairs of one class that share something are kept, so memory follows the objects and not
their product. Against a crowd the number is the share of the found object that lies inside, as
in COCO's evaluation. The arithmetic is pycocotools' (maskApi.c), so numbers are its to the bit.

Shapes: p pairs; a and b objects of one picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64, Int64

from maskwright.evaluation.objects import Objects, picture_groups
from maskwright.evaluation.truth import Truth

if TYPE_CHECKING:
    from maskwright.evaluation.overlaps import Overlaps

__all__ = ["Closeness", "ClosenessTables", "box_closeness", "mask_closeness"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Closeness:
    """Pairs of a found and a true object of one picture and class.

    Args:
        found: (p,) row of the found object.
        true: (p,) row of the true object.
        ratio: (p,) IoU, or the share inside a crowd, in (0, 1].
    """

    found: Int64[np.ndarray, " p"]
    true: Int64[np.ndarray, " p"]
    ratio: Float64[np.ndarray, " p"]


def box_closeness(truth: Truth, found: Objects) -> Closeness:
    """Return the pairs whose boxes share an area."""
    true = truth.objects
    true_groups = picture_groups(true.images)
    parts = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    for picture, rows in picture_groups(found.images).items():
        true_rows = true_groups.get(picture)
        if true_rows is None:
            continue
        ratios = _box_ratios(found.boxes[rows], true.boxes[true_rows], true.is_crowd[true_rows])
        same = found.labels[rows][:, None] == true.labels[true_rows]
        i, j = np.nonzero((ratios > 0) & same)
        parts.append((rows[i], true_rows[j], ratios[i, j]))
    rows, true_rows, ratio = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Closeness(found=rows, true=true_rows, ratio=ratio)


def mask_closeness(truth: Truth, found: Objects, overlaps: Overlaps) -> Closeness:
    """Return the pairs whose masks share a pixel.

    Args:
        truth: The true objects.
        found: The found ones.
        overlaps: What `measure_overlaps` gave for the two.
    """
    same = found.labels[overlaps.found] == truth.objects.labels[overlaps.true]
    rows, true_rows, common = (
        column[same] for column in (overlaps.found, overlaps.true, overlaps.common)
    )
    areas = overlaps.found_areas[rows]
    whole = areas + overlaps.true_areas[true_rows] - common
    ratio = common / np.where(truth.objects.is_crowd[true_rows], areas, whole)
    return Closeness(found=rows, true=true_rows, ratio=ratio)


class ClosenessTables:
    """One table per picture and class: detections by falling score, true objects in their order.

    Only pictures and classes with an object have a table: LVIS has 24 million of them in all.

    Shapes: n detections within the limit, g true objects, c tables, v values.

    Args:
        closeness: Of the two sides.
        truth: The true objects.
        found: The found ones.
        limit: How many detections of a picture and class are in its table.

    Attributes:
        rows: (n,) row of each detection, by picture and class; ties in their order.
        ranks: (n,) its place in its table.
        true_rows: (g,) row of each true object, by picture and class.
        starts: (c + 1,) where each table's detections start.
        true_starts: (c + 1,) where its true objects start.
        values: (v,) all tables, row by row; 0 where nothing is shared.
        offsets: (c + 1,) where each table starts in them.
    """

    def __init__(self, closeness: Closeness, truth: Truth, found: Objects, limit: int) -> None:
        self._num_classes = k = len(truth.class_names)
        keys = found.images * k + found.labels
        true_keys = truth.objects.images * k + truth.objects.labels
        order = np.lexsort((-found.scores, keys))
        ranks = np.arange(len(keys)) - np.searchsorted(keys[order], keys[order])
        self.rows, self.ranks = order[ranks < limit], ranks[ranks < limit]
        self.true_rows = np.argsort(true_keys, kind="stable")
        self._keys = np.union1d(keys, true_keys)
        ends = np.append(self._keys, len(truth.image_ids) * k)
        self.starts = np.searchsorted(keys[self.rows], ends)
        self.true_starts = np.searchsorted(true_keys[self.true_rows], ends)
        self.offsets = np.concatenate(
            [[0], np.cumsum(np.diff(self.starts) * np.diff(self.true_starts))]
        )
        self.values = self._fill(closeness, len(found))

    def __call__(self, picture: int, label: int) -> Float64[np.ndarray, "d g"]:
        """Return the table of one picture and class that has an object."""
        c = int(np.searchsorted(self._keys, picture * self._num_classes + label))
        width = self.true_starts[c + 1] - self.true_starts[c]
        table = self.values[self.offsets[c] : self.offsets[c + 1]]
        return table.reshape(self.starts[c + 1] - self.starts[c], width)

    def _fill(self, closeness: Closeness, num_found: int) -> Float64[np.ndarray, " v"]:
        place = np.full(num_found, -1)
        place[self.rows] = np.arange(len(self.rows))
        true_place = np.empty(len(self.true_rows), np.int64)
        true_place[self.true_rows] = np.arange(len(self.true_rows))
        kept = place[closeness.found] >= 0
        i, j = place[closeness.found[kept]], true_place[closeness.true[kept]]
        c = np.searchsorted(self.starts, i, side="right") - 1
        width = np.diff(self.true_starts)[c]
        values = np.zeros(self.offsets[-1])
        cells = self.offsets[c] + (i - self.starts[c]) * width + j - self.true_starts[c]
        values[cells] = closeness.ratio[kept]
        return values


def _box_ratios(
    found: Float64[np.ndarray, "a 4"], true: Float64[np.ndarray, "b 4"], is_crowd: np.ndarray
) -> Float64[np.ndarray, "a b"]:
    """IoU of (x, y, width, height) boxes, in the order of operations of maskApi.c's bbIou."""
    ends, true_ends = found[:, :2] + found[:, 2:], true[:, :2] + true[:, 2:]
    shared = np.minimum(ends[:, None], true_ends) - np.maximum(found[:, None, :2], true[:, :2])
    common = np.where((shared > 0).all(axis=2), shared[..., 0] * shared[..., 1], 0.0)
    areas = (found[:, 2] * found[:, 3])[:, None]
    whole = np.where(is_crowd, areas, areas + true[:, 2] * true[:, 3] - common)
    ratios: np.ndarray = common / np.where(common > 0, whole, 1.0)
    return ratios
