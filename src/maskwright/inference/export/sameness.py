"""Whether two results of a picture are the same objects, but for rounding.

Shapes: n objects found, m expected, k classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from maskwright.structures import Instances

__all__ = ["Selection", "count_differing"]

_BOX = 1e-2
"""Pixels that a border may be off, in pictures of up to `_SIDE` pixels."""

_SIDE = 1000.0
"""float32 has seven digits, so in larger pictures borders may be off in proportion."""

_SCORE = 1e-4
_MASK = 1e-4
"""Part of the picture's pixels that a mask may differ in."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Selection:
    """Which objects a result has at all.

    Args:
        thresholds: (k) what objects score above, by label; NaN where it is not one number.
        most: A picture's best so many are kept.
    """

    thresholds: Float64[np.ndarray, " k"]
    most: int


def count_differing(found: Instances, expected: Instances, selection: Selection) -> int:
    """Return how many objects of either result the other lacks.

    Boxes may differ by 0.01 px, scores by 0.0001 and masks by one pixel of 10,000. An object that
    is missing is not counted where rounding decides whether it is there: its score is as near as
    that to the threshold, or to the lowest score of a result that was cut to the best so many.

    Args:
        found: Of one picture.
        expected: Of the same picture.
        selection: Of both.
    """
    same = _same(found, expected)
    cuts = [
        float(_scores(each).min()) if len(each) == selection.most else np.nan
        for each in (found, expected)
    ]
    count = 0
    for instances, matched in ((found, same.any(axis=1)), (expected, same.any(axis=0))):
        lacking = instances[np.flatnonzero(~matched)]
        scores = _scores(lacking)
        edges = [selection.thresholds[lacking.labels.cpu().numpy()], *cuts]
        near = [np.abs(scores - edge) <= _SCORE for edge in edges]
        count += int((~np.any(near, axis=0)).sum())
    return count


def _same(found: Instances, expected: Instances) -> Bool[np.ndarray, "n m"]:
    """Return which of the found objects is which of the expected ones; each is one at most."""
    matrix = np.zeros((len(found), len(expected)), np.bool_)
    if not matrix.size:
        return matrix
    tolerance = _BOX * max(1.0, max(expected.image_size) / _SIDE)
    ours, theirs = (each.boxes.cpu().double().numpy() for each in (found, expected))
    distance = np.abs(ours[:, None] - theirs[None]).max(axis=2)
    close = distance <= tolerance
    close &= (found.labels[:, None] == expected.labels[None]).cpu().numpy()
    close &= np.abs(_scores(found)[:, None] - _scores(expected)[None]) <= _SCORE
    close &= _masks_agree(found, expected)
    taken: set[int] = set()
    for j in range(len(expected)):
        order = np.argsort(np.where(close[:, j], distance[:, j], np.inf), kind="stable")
        free = [i for i in order.tolist() if close[i, j] and i not in taken]
        if free:
            matrix[free[0], j] = True
            taken.add(free[0])
    return matrix


def _masks_agree(found: Instances, expected: Instances) -> Bool[np.ndarray, "n m"]:
    if found.masks is None or expected.masks is None:
        same_kind = (found.masks is None) == (expected.masks is None)
        return np.full((len(found), len(expected)), same_kind)
    iou = found.masks.iou(expected.masks)
    together = _areas(found)[:, None] + _areas(expected)[None]
    differing = together * (1 - iou) / (1 + iou)  # pixels of one alone, from IoU and both areas
    height, width = expected.image_size
    agree: np.ndarray = np.round(differing) <= max(1.0, _MASK * height * width)
    return agree


def _areas(instances: Instances) -> Int64[np.ndarray, " n"]:
    assert instances.masks is not None
    return instances.masks.area


def _scores(instances: Instances) -> np.ndarray:
    assert instances.scores is not None
    return instances.scores.detach().cpu().double().numpy()
