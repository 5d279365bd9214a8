"""Boundary overlaps: how well the outlines of found and true objects agree.

Cheng et al., Boundary IoU: Improving Object-Centric Image Segmentation Evaluation, CVPR 2021
(arXiv:2103.16562). The boundary of a mask is its pixels within d of its outline, d being 2 % of
the picture's diagonal (section 4; `Masks.boundary`). Boundary AP (section 5) is mask AP with the
smaller of mask IoU and boundary IoU in the place of mask IoU: boundary IoU alone would let a thin
ring pass for a disc. Against a crowd, whose outline means nothing, mask overlap alone counts, as
in the authors' evaluator.

Each picture is decoded when it is asked for and dropped with the next, so memory follows the
busiest picture and not the data set.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64, Int64

from maskwright.evaluation.objects import Objects, decode_masks, picture_groups
from maskwright.evaluation.truth import Truth

__all__ = ["boundary_overlaps"]

_DILATION_RATIO = 0.02
"""Width of the boundary over the picture's diagonal: section 4 of the paper, for COCO."""


def boundary_overlaps(
    truth: Truth, detections: Objects, *, max_detections: int
) -> Callable[[int, int], Float64[np.ndarray, "d g"]]:
    """Return a function that gives min(mask IoU, boundary IoU) of one picture and class.

    Args:
        truth: The true objects, with segmentations.
        detections: The found ones, with segmentations.
        max_detections: Only so many detections of a picture and class, best scores first.

    Returns:
        (picture, label) -> (d, g) overlaps: rows are detections by falling score, ties in their
        order, columns the true objects in theirs. Best asked picture by picture.
    """
    true_rows = picture_groups(truth.objects.images)
    found_rows = picture_groups(detections.images)
    nothing = np.zeros(0, dtype=np.int64)

    def overlaps(picture: int, label: int) -> Float64[np.ndarray, "d g"]:
        found, true = rows_of(picture, label)
        crowd = truth.objects.is_crowd[true]
        size = truth.sizes[picture]
        assert size is not None
        assert detections.segmentations is not None
        assert truth.objects.segmentations is not None
        found_masks = decode_masks([detections.segmentations[row] for row in found], size)
        true_masks = decode_masks([truth.objects.segmentations[row] for row in true], size)
        by_mask = found_masks.iou(true_masks, is_crowd=crowd)
        by_boundary = found_masks.boundary(_DILATION_RATIO).iou(
            true_masks.boundary(_DILATION_RATIO)
        )
        smaller: Float64[np.ndarray, "d g"] = np.minimum(by_mask, by_boundary)
        smaller[:, crowd] = by_mask[:, crowd]
        return smaller

    def rows_of(
        picture: int, label: int
    ) -> tuple[Int64[np.ndarray, " d"], Int64[np.ndarray, " g"]]:
        true = true_rows.get(picture, nothing)
        found = found_rows.get(picture, nothing)
        found = found[detections.labels[found] == label]
        best = np.argsort(-detections.scores[found], kind="stable")[:max_detections]
        return found[best], true[truth.objects.labels[true] == label]

    return overlaps
