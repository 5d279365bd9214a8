"""Boundary overlaps: how well the outlines of found and true objects agree.

Cheng et al., Boundary IoU: Improving Object-Centric Image Segmentation Evaluation, CVPR 2021
(arXiv:2103.16562). The boundary of a mask is its pixels within d of its outline, d being 2 % of
the picture's diagonal (section 4; `Masks.boundary`). Boundary AP (section 5) is mask AP with the
smaller of mask IoU and boundary IoU in the place of mask IoU: boundary IoU alone would let a thin
ring pass for a disc. Against a crowd, whose outline means nothing, mask overlap alone counts, as
in the authors' evaluator.

A picture is decoded when it is first asked for and dropped with the next, so memory follows the
busiest picture and not the data set. Boundaries are made only of pairs whose mask IoU reaches
0.5, the lowest threshold of AP: no other pair can match, and most pairs do not get there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64, Int64

from maskwright.evaluation.objects import Objects, decode_masks, picture_groups
from maskwright.evaluation.truth import Truth

if TYPE_CHECKING:
    from maskwright.masks import Masks

__all__ = ["BoundaryOverlaps", "boundary_iou"]

_DILATION_RATIO = 0.02
"""Width of the boundary over the picture's diagonal: section 4 of the paper, for COCO."""

_LOWEST_THRESHOLD = 0.5
"""The lowest IoU at which COCO matches."""


def boundary_iou(found: Masks, true: Masks, is_crowd: np.ndarray) -> Float64[np.ndarray, "d g"]:
    """Return the smaller of mask IoU and boundary IoU of objects of one picture.

    Exact where it is 0.5 or more; pairs below keep their mask IoU if that is below 0.5 too.

    Args:
        found: d masks.
        true: g masks of the same picture.
        is_crowd: (g,) bool, true objects that are crowds: there the share of the found mask
            that lies inside counts.
    """
    overlaps: Float64[np.ndarray, "d g"] = found.iou(true, is_crowd=is_crowd)
    close = (overlaps >= _LOWEST_THRESHOLD) & ~is_crowd
    rows, columns = np.flatnonzero(close.any(axis=1)), np.flatnonzero(close.any(axis=0))
    if len(rows):
        edges, true_edges = (
            masks.boundary(_DILATION_RATIO) for masks in (found[rows], true[columns])
        )
        pairs = np.ix_(rows, columns)
        overlaps[pairs] = np.minimum(overlaps[pairs], edges.iou(true_edges))
    return overlaps


class BoundaryOverlaps:
    """Boundary overlaps of pictures and classes, asked for one at a time.

    Args:
        truth: The true objects, with segmentations.
        detections: The found ones, with segmentations.
        max_detections: Only so many detections of a picture and class, best scores first.
    """

    def __init__(self, truth: Truth, detections: Objects, *, max_detections: int) -> None:
        self._truth = truth
        self._true = _Side(truth.objects)
        self._found = _Side(detections)
        self._max_detections = max_detections

    def __call__(self, picture: int, label: int) -> Float64[np.ndarray, "d g"]:
        """Return the overlaps of one picture and class, quickest picture by picture.

        Rows are detections by falling score, ties in their order; columns the true objects in
        theirs.
        """
        size = self._truth.sizes[picture]
        assert size is not None
        rows, masks = self._found.of_class(picture, label, size)
        best = np.argsort(-self._found.objects.scores[rows], kind="stable")
        true_rows, true_masks = self._true.of_class(picture, label, size)
        return boundary_iou(
            masks[best[: self._max_detections]],
            true_masks,
            self._true.objects.is_crowd[true_rows],
        )


@dataclass
class _Side:
    """True or found objects, with the decoded masks of the picture that was asked for last."""

    objects: Objects

    def __post_init__(self) -> None:
        self._groups = picture_groups(self.objects.images)
        self._picture = -1
        self._rows = np.zeros(0, dtype=np.int64)
        self._masks: Masks | None = None

    def of_class(
        self, picture: int, label: int, size: tuple[int, int]
    ) -> tuple[Int64[np.ndarray, " p"], Masks]:
        """Rows and masks of one class in one picture."""
        if picture != self._picture or self._masks is None:
            assert self.objects.segmentations is not None
            self._picture = picture
            self._rows = self._groups.get(picture, np.zeros(0, dtype=np.int64))
            segmentations = [self.objects.segmentations[row] for row in self._rows]
            self._masks = decode_masks(segmentations, size)
        chosen = np.flatnonzero(self.objects.labels[self._rows] == label)
        return self._rows[chosen], self._masks[chosen]
