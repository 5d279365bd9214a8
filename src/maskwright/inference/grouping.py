"""Which detections of several tiles are of one object: pairs joined from the surest down.

Shapes: n detections, p pairs of detections of two tiles.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64

from maskwright.masks.kernels import kernel

__all__ = ["group_detections"]


def group_detections(
    pairs: Int64[np.ndarray, "p 2"],
    common: Int64[np.ndarray, " p"],
    *,
    agreement: Float64[np.ndarray, " p"],
    cover: Float64[np.ndarray, " p"],
    tile: Int64[np.ndarray, " n"],
    same: float,
    covered: float,
) -> Int64[np.ndarray, " n"]:
    """Number the objects that the detections are of, from 0 by first detection.

    First the pairs that agree are joined, best first, as long as no object gets two detections of
    one tile: a tile tells its objects apart itself. Then the pairs of fragments that cover each
    other, where one of them has no counterpart in the other's tile: there the other tile sees as
    one what this one, cut, took for several.

    Args:
        pairs: Detections of two tiles that may be of one object.
        common: Pixels that both of each pair have.
        agreement: Of each pair; joined from `same` up.
        cover: Of each pair, 0 where it is no pair of fragments; joined from `covered` up.
        tile: Which tile saw each detection.
        same: See `agreement`.
        covered: See `cover`.
    """
    agreeing = pairs[_best_first(agreement, common, same)]
    covering = pairs[_best_first(cover, common, covered)]
    roots = _join(agreeing, covering, tile)
    _, first, numbers = np.unique(roots, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    grouped: np.ndarray = rank[numbers]
    return grouped


def _best_first(
    values: Float64[np.ndarray, " p"], common: Int64[np.ndarray, " p"], lowest: float
) -> Int64[np.ndarray, " q"]:
    """The pairs from `lowest` up; of equal ones, those with more evidence come first."""
    chosen = np.flatnonzero(values >= lowest)
    order: np.ndarray = chosen[np.lexsort((-common[chosen], -values[chosen]))]
    return order


@kernel
def _join(agreeing: np.ndarray, covering: np.ndarray, tile: np.ndarray) -> np.ndarray:
    # Union-find; the members of a group also form a ring, so that they can be gone through.
    parent = np.arange(len(tile))
    follower = np.arange(len(tile))
    for k in range(len(agreeing)):
        a, b = _root(parent, agreeing[k, 0]), _root(parent, agreeing[k, 1])
        if a != b and not _share_a_tile(a, b, follower, tile):
            parent[b] = a
            follower[a], follower[b] = follower[b], follower[a]
    for k in range(len(covering)):
        i, j = covering[k, 0], covering[k, 1]
        a, b = _root(parent, i), _root(parent, j)
        if a == b:
            continue
        if not _has_tile(a, tile[j], follower, tile) or not _has_tile(b, tile[i], follower, tile):
            parent[b] = a
            follower[a], follower[b] = follower[b], follower[a]
    for i in range(len(parent)):
        parent[i] = _root(parent, i)
    return parent


@kernel
def _root(parent: np.ndarray, i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@kernel
def _has_tile(member: int, wanted: int, follower: np.ndarray, tile: np.ndarray) -> bool:
    i = member
    while True:
        if tile[i] == wanted:
            return True
        i = follower[i]
        if i == member:
            return False


@kernel
def _share_a_tile(a: int, b: int, follower: np.ndarray, tile: np.ndarray) -> bool:
    i = a
    while True:
        if _has_tile(b, tile[i], follower, tile):
            return True
        i = follower[i]
        if i == a:
            return False
