"""Boundary overlaps: how well the outlines of found and true objects agree.

Cheng et al., Boundary IoU: Improving Object-Centric Image Segmentation Evaluation, CVPR 2021
(arXiv:2103.16562). The boundary of a mask is its pixels within d of its outline, d being 2 % of
the picture's diagonal (section 4; `Masks.boundary`). Boundary AP (section 5) is mask AP with the
smaller of mask IoU and boundary IoU in the place of mask IoU: boundary IoU alone would let a thin
ring pass for a disc. Against a crowd, whose outline means nothing, mask overlap alone counts, as
in the authors' evaluator.

Masks are decoded picture by picture, so memory follows the busiest picture and not the data set.
Boundaries are made only of pairs whose mask IoU reaches 0.5, the lowest threshold of AP: no other
pair can match, and most pairs do not get there.
"""

from __future__ import annotations

import numpy as np

from maskwright.evaluation.closeness import Closeness
from maskwright.evaluation.objects import Objects, decode_masks, picture_groups
from maskwright.evaluation.truth import Truth

__all__ = ["boundary_closeness"]

_DILATION_RATIO = 0.02
"""Width of the boundary over the picture's diagonal: section 4 of the paper, for COCO."""


def boundary_closeness(
    truth: Truth, found: Objects, masks: Closeness, *, lowest: float = 0.5
) -> Closeness:
    """Return the pairs with the smaller of mask IoU and boundary IoU.

    Boundaries are made of pairs only whose mask IoU reaches `lowest`: others cannot match, and
    keep their mask IoU. Crowds keep the share inside.

    Args:
        truth: The true objects, with segmentations.
        found: The found ones, with segmentations.
        masks: What `mask_closeness` gave for the two.
        lowest: The lowest IoU that anybody asks for.
    """
    assert found.segmentations is not None
    assert truth.objects.segmentations is not None
    ratio = masks.ratio.copy()
    close = np.flatnonzero((ratio >= lowest) & ~truth.objects.is_crowd[masks.true])
    for picture, own in picture_groups(found.images[masks.found[close]]).items():
        pairs = close[own]
        size = truth.sizes[picture]
        assert size is not None
        edges = []
        places = []
        for rows, source in (
            (masks.found[pairs], found.segmentations),
            (masks.true[pairs], truth.objects.segmentations),
        ):
            distinct, place = np.unique(rows, return_inverse=True)
            edges.append(
                decode_masks([source[row] for row in distinct], size).boundary(_DILATION_RATIO)
            )
            places.append(place)
        between = edges[0].iou(edges[1])[places[0], places[1]]
        ratio[pairs] = np.minimum(ratio[pairs], between)
    return Closeness(found=masks.found, true=masks.true, ratio=ratio)
