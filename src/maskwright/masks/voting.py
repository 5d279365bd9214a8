"""One mask from several: the pixels that have enough votes, found in runs.

Shapes: n masks with r runs in g groups.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int32, Int64

from maskwright.masks.kernels import kernel
from maskwright.masks.runs import Runs

__all__ = ["vote_runs"]


def vote_runs(
    runs: Int32[np.ndarray, "r 3"],
    offsets: Int64[np.ndarray, " n+1"],
    groups: Int64[np.ndarray, " n"],
    votes: Int64[np.ndarray, " n"],
    needed: Int64[np.ndarray, " g"],
) -> Runs:
    """Return a mask per group: where the votes of its masks that are set sum to what is needed.

    Where runs begin and end, the sum changes; the ends of a group are sorted by column and row and
    gone through once. Time is r log r, memory a few numbers a run, whatever the picture's size.

    Args:
        runs: Of all masks.
        offsets: Mask i has runs[offsets[i]:offsets[i + 1]].
        groups: The group of each mask, 0 to g - 1; a group may have none.
        votes: Of each mask, 1 or more: whole numbers, so that sums are exact.
        needed: Votes that a pixel of each group needs, 1 or more.
    """
    counts = np.diff(offsets)
    owners, weights = np.repeat(groups, counts), np.repeat(votes, counts)
    column = np.concatenate([runs[:, 0], runs[:, 0]])
    row = np.concatenate([runs[:, 1], runs[:, 2]])
    group = np.concatenate([owners, owners])
    order = np.lexsort((row, column, group))
    change = np.concatenate([weights, -weights])[order]
    voted: Runs = _sweep(group[order], column[order], row[order], change, needed)
    return voted


@kernel
def _sweep(
    group: np.ndarray, column: np.ndarray, row: np.ndarray, change: np.ndarray, needed: np.ndarray
) -> Runs:
    found = np.empty((len(group) // 2, 3), np.int32)
    offsets = np.zeros(len(needed) + 1, np.int64)
    count, total, is_set = 0, np.int64(0), False
    for k in range(len(group)):
        total += change[k]
        is_last_here = (
            k + 1 == len(group)
            or group[k + 1] != group[k]
            or column[k + 1] != column[k]
            or row[k + 1] != row[k]
        )
        if not is_last_here:
            continue
        # Every run of a column ends in it, so the sum is 0 when the next column begins.
        has_enough = total >= needed[group[k]]
        if has_enough and not is_set:
            found[count, 0] = column[k]
            found[count, 1] = row[k]
        elif is_set and not has_enough:
            found[count, 2] = row[k]
            count += 1
            offsets[group[k] + 1] += 1
        is_set = has_enough
    return found[:count].copy(), np.cumsum(offsets)
