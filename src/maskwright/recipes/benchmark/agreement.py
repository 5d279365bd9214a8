"""How far apart the results of two sides are on one picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from maskwright.masks import Masks

__all__ = ["Agreement", "agreement_of", "worst_agreement"]

_SAME_BOX = 2.0
_SAME_SCORE = 0.01
"""Beyond these, pixels and score, two detections are two, not one that was rounded otherwise."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far results are from those of another side.

    Args:
        objects: Detections of this side,
        other_objects: and of the other.
        matched: Of this side's those that the other has, too.
        score: Largest difference of the scores of matched ones.
        box_px: Likewise of a coordinate of their boxes, in pixels.
        mask_pixels: Likewise of their masks, as the share of the picture's pixels.
    """

    objects: int
    other_objects: int
    matched: int
    score: float
    box_px: float
    mask_pixels: float


def agreement_of(ours: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]]) -> Agreement:
    """Match COCO results of one picture by box and score, each once, and compare them."""
    free = list(range(len(theirs)))
    corners, scores = _corners(theirs), np.array([each["score"] for each in theirs])
    score = box = pixels = 0.0
    matched = 0
    for one, own_corners in zip(ours, _corners(ours), strict=True):
        if not free:
            break
        off_box = np.abs(corners[free] - own_corners).max(axis=1)
        off_score = np.abs(scores[free] - one["score"])
        place = int((off_box / _SAME_BOX + off_score / _SAME_SCORE).argmin())
        if off_box[place] > _SAME_BOX or off_score[place] > _SAME_SCORE:
            continue
        other = theirs[free.pop(place)]
        matched += 1
        score, box = max(score, float(off_score[place])), max(box, float(off_box[place]))
        pixels = max(pixels, _mask_difference(one, other))
    return Agreement(
        objects=len(ours),
        other_objects=len(theirs),
        matched=matched,
        score=score,
        box_px=box,
        mask_pixels=pixels,
    )


def worst_agreement(each: Sequence[Agreement]) -> Agreement:
    """Return counts over all pictures, and the largest differences."""
    return Agreement(
        objects=sum(one.objects for one in each),
        other_objects=sum(one.other_objects for one in each),
        matched=sum(one.matched for one in each),
        score=max((one.score for one in each), default=0.0),
        box_px=max((one.box_px for one in each), default=0.0),
        mask_pixels=max((one.mask_pixels for one in each), default=0.0),
    )


def _corners(results: Sequence[dict[str, Any]]) -> np.ndarray:
    boxes = np.array([each["bbox"] for each in results], np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return boxes


def _mask_difference(one: dict[str, Any], other: dict[str, Any]) -> float:
    """Return the share of the picture's pixels in which two masks differ; 0 without masks."""
    if "segmentation" not in one or "segmentation" not in other:
        return 0.0
    height, width = one["segmentation"]["size"]
    if [height, width] != list(other["segmentation"]["size"]):
        return 1.0
    masks = Masks.from_rle([one["segmentation"], other["segmentation"]], (height, width))
    shared = int(masks[:1].intersection(masks[1:]).area[0])
    return float((int(masks.area.sum()) - 2 * shared) / (height * width))
