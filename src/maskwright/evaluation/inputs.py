"""Truth and predictions, read once for every metric, and what is measured of the two, once."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from jaxtyping import Int64

from maskwright.evaluation.boundary import boundary_closeness
from maskwright.evaluation.closeness import Closeness, box_closeness, mask_closeness
from maskwright.evaluation.counting import Kind
from maskwright.evaluation.objects import Objects
from maskwright.evaluation.overlaps import Overlaps, measure_overlaps
from maskwright.evaluation.truth import Truth

__all__ = ["Inputs", "above"]


class Inputs:
    """The true and the found objects of a set of pictures; overlaps are measured when asked for.

    Args:
        true: The truth.
        found: The predictions.
    """

    def __init__(self, true: Truth, found: Objects) -> None:
        self.true = true
        self.found = found
        self._boundaries: dict[float, Closeness] = {}

    @property
    def num_images(self) -> int:
        """Pictures of the truth."""
        return len(self.true.image_ids)

    def keep(self, rows: Int64[np.ndarray, " r"]) -> Inputs:
        """Return inputs with these found objects; overlaps that were measured are kept.

        Args:
            rows: In rising order.
        """
        kept = Inputs(self.true, self.found.take(rows))
        if "overlaps" in self.__dict__:
            kept.__dict__["overlaps"] = self.overlaps.keep(rows)
        return kept

    def overlaps_of(self, other: Inputs) -> None:
        """Take the overlaps of inputs with the same masks, if they have been measured there."""
        if "overlaps" in other.__dict__:
            self.__dict__["overlaps"] = other.overlaps

    @cached_property
    def overlaps(self) -> Overlaps:
        """Every pair of masks that share a pixel, of whatever class."""
        return measure_overlaps(self.true, self.found)

    @cached_property
    def _boxes(self) -> Closeness:
        return box_closeness(self.true, self.found)

    @cached_property
    def _masks(self) -> Closeness:
        return mask_closeness(self.true, self.found, self.overlaps)

    def closeness(self, kind: Kind, *, lowest: float = 0.5) -> Closeness:
        """Return how close the objects of one class are.

        Args:
            kind: Boxes, masks or boundaries.
            lowest: The lowest IoU that matters, which bounds the work for boundaries.
        """
        if kind == "bbox":
            return self._boxes
        if kind == "segm":
            return self._masks
        lowest = min(lowest, 0.5)
        if lowest not in self._boundaries:
            self._boundaries[lowest] = boundary_closeness(
                self.true, self.found, self._masks, lowest=lowest
            )
        return self._boundaries[lowest]


def above(found: Objects, score_threshold: float) -> Objects:
    """Return the objects that score at least so much, in their order."""
    return found.take(np.flatnonzero(found.scores >= score_threshold))
