"""Pairing found and true objects greedily, and the best partner of each by any standard.

Shapes: n found objects, g true objects, p pairs.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float64, Int64

from maskwright.evaluation.analysis.pairs import FoundAndTrue, Pairs

__all__ = [
    "best_true",
    "iou_of",
    "lies_in_crowd",
    "match_across_classes",
    "match_in_class",
    "owners",
    "strongest",
]


def match_in_class(objects: FoundAndTrue, iou_threshold: float) -> Int64[np.ndarray, " n"]:
    """Return the true object of each found one, -1 without: COCO's way, as tidecv does it.

    In the order of their scores, found objects take the free true object of their class with the
    highest IoU, if it reaches the threshold. Crowds take no part. (Of equal IoUs the first true
    object is taken; pycocotools takes the last.)
    """
    pairs = objects.pairs
    kept = pairs[objects.same_class(pairs) & (pairs.iou >= iou_threshold)]
    order = np.lexsort((kept.true, -kept.iou, objects.ranks()[kept.found]))
    return _take_in_order(kept, order, len(objects.found))


def match_across_classes(
    objects: FoundAndTrue, iou_threshold: float, kept: Bool[np.ndarray, " n"]
) -> Int64[np.ndarray, " n"]:
    """Return the true object of each found one, -1 without, classes not looked at.

    The pair of highest IoU is taken first, then the next whose two are both free, as confusion
    matrices of detectors are made; of equal IoUs one of the right class, then the surer.

    Args:
        objects: Found and true.
        iou_threshold: IoU that a pair must reach.
        kept: (n,) which found objects take part.
    """
    pairs = objects.pairs
    pairs = pairs[(pairs.iou >= iou_threshold) & kept[pairs.found]]
    right = objects.same_class(pairs)
    order = np.lexsort((objects.ranks()[pairs.found], ~right, -pairs.iou))
    return _take_in_order(pairs, order, len(objects.found))


def owners(partner: Int64[np.ndarray, " n"], num_true: int) -> Int64[np.ndarray, " g"]:
    """Return the found object of each true one, -1 without: the pairing from the other side."""
    found = np.full(num_true, -1, np.int64)
    matched = np.flatnonzero(partner >= 0)
    found[partner[matched]] = matched
    return found


def strongest(
    of: Int64[np.ndarray, " p"], values: Float64[np.ndarray, " p"], size: int
) -> tuple[Int64[np.ndarray, " size"], Float64[np.ndarray, " size"]]:
    """Return per object the pair of the highest value, the first of equals, and that value.

    Args:
        of: (p,) row of the object of each pair.
        values: (p,) what to compare, above 0.
        size: Number of objects.

    Returns:
        Index of the pair, -1 without; its value, 0 without.

    >>> strongest(np.array([0, 0, 2]), np.array([0.2, 0.5, 0.1]), 3)
    (array([ 1, -1,  2]), array([0.5, 0. , 0.1]))
    """
    index, value = np.full(size, -1, np.int64), np.zeros(size)
    # Weakest first and later pairs before earlier ones: the last write is the one to keep.
    order = np.lexsort((-np.arange(len(of)), values))
    index[of[order]] = order
    found = index >= 0
    value[found] = values[index[found]]
    return index, value


def best_true(
    pairs: Pairs, num_found: int
) -> tuple[Int64[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
    """Return per found object the true one of the highest IoU, -1 without, and that IoU."""
    index, iou = strongest(pairs.found, pairs.iou, num_found)
    return np.where(index >= 0, np.append(pairs.true, -1)[index], -1), iou


def iou_of(
    pairs: Pairs, found: Int64[np.ndarray, " q"], true: Int64[np.ndarray, " q"]
) -> Float64[np.ndarray, " q"]:
    """Return the IoU of given pairs, 0 where they do not meet or either row is -1."""
    if not len(pairs):
        return np.zeros(len(found))
    width = int(pairs.true.max()) + 2
    keys = pairs.found * width + pairs.true
    order = np.argsort(keys)
    # A true row beyond those that meet anything would be taken for another found row's.
    known = (found >= 0) & (true >= 0) & (true < width - 1)
    wanted = np.where(known, found * width + true, -1)
    at = np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)
    met = keys[order[at]] == wanted
    return np.where(met, pairs.iou[order[at]], 0.0)


def lies_in_crowd(
    objects: FoundAndTrue, partner: Int64[np.ndarray, " n"], iou_threshold: float
) -> Bool[np.ndarray, " n"]:
    """Which found objects count neither way: matched by nobody, and in a crowd of their class.

    "In" is with more than `iou_threshold` of their area in one crowd, as COCO has it.
    """
    pairs = objects.crowd_pairs
    inside = objects.same_class(pairs) & (pairs.share > iou_threshold)
    ignored = np.zeros(len(objects.found), bool)
    ignored[pairs.found[inside]] = True
    return ignored & (partner < 0)


def _take_in_order(pairs: Pairs, order: np.ndarray, num_found: int) -> np.ndarray:
    partner = np.full(num_found, -1, np.int64)
    taken: set[int] = set()
    for row, true in zip(pairs.found[order].tolist(), pairs.true[order].tolist(), strict=True):
        if partner[row] < 0 and true not in taken:
            partner[row] = true
            taken.add(true)
    return partner
