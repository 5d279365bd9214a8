"""The mask overlaps of a data set, computed once for every metric that matches objects.

Only pairs that share a pixel are kept, so memory follows the objects and not their product.

Shapes: n found objects, g true objects, p pairs of one picture that share a pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from maskwright.evaluation.objects import Objects, decode_masks, picture_groups
from maskwright.evaluation.truth import Truth

__all__ = ["Overlaps", "measure_overlaps"]

_NONE = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Overlaps:
    """Pairs of a found and a true mask that share a pixel, crowds included.

    Args:
        found: (p,) row of the found object.
        true: (p,) row of the true object.
        common: (p,) pixels in both.
        found_areas: (n,) pixels of every found mask.
        true_areas: (g,) pixels of every true mask.
    """

    found: Int64[np.ndarray, " p"]
    true: Int64[np.ndarray, " p"]
    common: Int64[np.ndarray, " p"]
    found_areas: Int64[np.ndarray, " n"]
    true_areas: Int64[np.ndarray, " g"]

    def keep(self, rows: Int64[np.ndarray, " r"]) -> Overlaps:
        """Return the overlaps of these found objects, in rising order of their rows."""
        place = np.full(len(self.found_areas), -1)
        place[rows] = np.arange(len(rows))
        kept = place[self.found] >= 0
        return Overlaps(
            found=place[self.found[kept]],
            true=self.true[kept],
            common=self.common[kept],
            found_areas=self.found_areas[rows],
            true_areas=self.true_areas,
        )

    @property
    def iou(self) -> Float64[np.ndarray, " p"]:
        """Intersection over union of each pair, in (0, 1]."""
        ratios: np.ndarray = self.common / self.union
        return ratios

    @property
    def union(self) -> Int64[np.ndarray, " p"]:
        """Pixels in either mask of each pair."""
        areas = self.found_areas[self.found] + self.true_areas[self.true]
        either: np.ndarray = areas - self.common
        return either


def measure_overlaps(truth: Truth, found: Objects) -> Overlaps:
    """Decode the masks picture by picture and measure every pair, classes not looked at.

    Args:
        truth: The true objects, with segmentations.
        found: The found ones, with segmentations.
    """
    true = truth.objects
    found_areas, true_areas = np.zeros(len(found), np.int64), np.zeros(len(true), np.int64)
    found_groups, true_groups = picture_groups(found.images), picture_groups(true.images)
    pairs = [np.zeros((0, 3), np.int64)]
    for picture in sorted(found_groups.keys() | true_groups.keys()):
        rows, true_rows = found_groups.get(picture, _NONE), true_groups.get(picture, _NONE)
        size = truth.sizes[picture]
        assert size is not None
        masks, true_masks = (
            decode_masks([each.segmentations[row] for row in own], size)  # type: ignore[index]
            for each, own in ((found, rows), (true, true_rows))
        )
        found_areas[rows], true_areas[true_rows] = masks.area, true_masks.area
        ratios = masks.iou(true_masks)
        i, j = np.nonzero(ratios)
        # From IoU back to pixels: c = r (a + b) / (1 + r), whole up to rounding in float64.
        areas = found_areas[rows[i]] + true_areas[true_rows[j]]
        common = np.rint(ratios[i, j] * areas / (1 + ratios[i, j])).astype(np.int64)
        pairs.append(np.column_stack([rows[i], true_rows[j], common]))
    columns = np.concatenate(pairs)
    return Overlaps(
        found=columns[:, 0],
        true=columns[:, 1],
        common=columns[:, 2],
        found_areas=found_areas,
        true_areas=true_areas,
    )
