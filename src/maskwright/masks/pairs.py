"""Which masks of one picture meet, found without comparing each with each.

Shapes: n objects in t groups, p pairs, r runs. Boxes are integer xyxy, ends exclusive; four zeros
are the box of an object without pixels, which meets nothing.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int32, Int64

from maskwright.masks.kernels import kernel

__all__ = ["common_areas", "meeting_pairs", "meeting_pairs_of_groups", "window_areas"]


def meeting_pairs(boxes: Int32[np.ndarray, "n 4"]) -> Int64[np.ndarray, "p 2"]:
    """Return the pairs (i, j), i < j, of objects whose boxes share a pixel, sorted."""
    order = np.argsort(boxes[:, 0], kind="stable")
    pairs = np.sort(order[_sweep(boxes[order])], axis=1)
    sorted_pairs: np.ndarray = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    return sorted_pairs


def meeting_pairs_of_groups(
    boxes: Int32[np.ndarray, "n 4"],
    offsets: Int64[np.ndarray, " t+1"],
    windows: Int32[np.ndarray, "t 4"],
) -> Int64[np.ndarray, "p 2"]:
    """Return the pairs of objects of two groups whose boxes share a pixel.

    Time grows with the objects of neighbouring groups, so it is linear in the number of groups.

    Args:
        boxes: Group after group, sorted by x1 within a group; each inside its group's window.
        offsets: Group i has boxes[offsets[i]:offsets[i + 1]].
        windows: Box of each group, sorted by y1.

    Returns:
        (i, j) with the group of i before that of j.
    """
    pairs: np.ndarray = _sweep_groups(boxes, offsets, windows)
    return pairs


def common_areas(
    runs: Int32[np.ndarray, "r 3"],
    offsets: Int64[np.ndarray, " n+1"],
    pairs: Int64[np.ndarray, "p 2"],
) -> Int64[np.ndarray, " p"]:
    """Return the pixels that both objects of each pair have."""
    areas: np.ndarray = _common_areas(runs, offsets, pairs)
    return areas


def window_areas(
    runs: Int32[np.ndarray, "r 3"],
    offsets: Int64[np.ndarray, " n+1"],
    indices: Int64[np.ndarray, " p"],
    windows: Int32[np.ndarray, "p 4"],
) -> Int64[np.ndarray, " p"]:
    """Return the pixels of object `indices[k]` that lie inside `windows[k]`."""
    areas: np.ndarray = _window_areas(runs, offsets, indices, windows)
    return areas


@kernel
def _sweep(boxes: np.ndarray) -> np.ndarray:
    # Sorted by x1: who begins before an object ends may meet it, nobody after. Counted first.
    n = len(boxes)
    pairs = np.empty((0, 2), np.int64)
    for is_writing in range(2):
        count = 0
        for i in range(n):
            for j in range(i + 1, n):
                if boxes[j, 0] >= boxes[i, 2]:
                    break
                if boxes[j, 1] < boxes[i, 3] and boxes[i, 1] < boxes[j, 3]:
                    if is_writing:
                        pairs[count, 0] = i
                        pairs[count, 1] = j
                    count += 1
        if not is_writing:
            pairs = np.empty((count, 2), np.int64)
    return pairs


@kernel
def _sweep_groups(boxes: np.ndarray, offsets: np.ndarray, windows: np.ndarray) -> np.ndarray:
    num_groups = len(windows)
    widest = np.zeros(num_groups, np.int64)
    for g in range(num_groups):
        for i in range(offsets[g], offsets[g + 1]):
            widest[g] = max(widest[g], boxes[i, 2] - boxes[i, 0])
    pairs = np.empty((0, 2), np.int64)
    for is_writing in range(2):
        count = 0
        for g in range(num_groups):
            for h in range(g + 1, num_groups):
                if windows[h, 1] >= windows[g, 3]:
                    break
                left, right = max(windows[g, 0], windows[h, 0]), min(windows[g, 2], windows[h, 2])
                if left >= right:
                    continue
                begin = offsets[h]
                for i in range(offsets[g], offsets[g + 1]):
                    if boxes[i, 2] <= left or boxes[i, 3] <= windows[h, 1]:
                        continue
                    if boxes[i, 0] >= right:
                        break
                    # Group g's objects come by growing x1, so what lies too far left stays so.
                    while begin < offsets[h + 1] and boxes[begin, 0] <= boxes[i, 0] - widest[h]:
                        begin += 1
                    for j in range(begin, offsets[h + 1]):
                        if boxes[j, 0] >= boxes[i, 2]:
                            break
                        is_apart = (
                            boxes[j, 2] <= boxes[i, 0]
                            or boxes[j, 1] >= boxes[i, 3]
                            or boxes[j, 3] <= boxes[i, 1]
                        )
                        if is_apart:
                            continue
                        if is_writing:
                            pairs[count, 0] = i
                            pairs[count, 1] = j
                        count += 1
        if not is_writing:
            pairs = np.empty((count, 2), np.int64)
    return pairs


@kernel
def _common_areas(runs: np.ndarray, offsets: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    common = np.zeros(len(pairs), np.int64)
    for k in range(len(pairs)):
        a, a_end = offsets[pairs[k, 0]], offsets[pairs[k, 0] + 1]
        b, b_end = offsets[pairs[k, 1]], offsets[pairs[k, 1] + 1]
        if a == a_end or b == b_end:
            continue
        a = _first_at(runs, a, a_end, runs[b, 0])
        b = _first_at(runs, b, b_end, runs[min(a, a_end - 1), 0])
        while a < a_end and b < b_end:
            if runs[a, 0] == runs[b, 0]:
                shared = min(runs[a, 2], runs[b, 2]) - max(runs[a, 1], runs[b, 1])
                if shared > 0:
                    common[k] += shared
                if runs[a, 2] <= runs[b, 2]:
                    a += 1
                else:
                    b += 1
            elif runs[a, 0] < runs[b, 0]:
                a += 1
            else:
                b += 1
    return common


@kernel
def _window_areas(
    runs: np.ndarray, offsets: np.ndarray, indices: np.ndarray, windows: np.ndarray
) -> np.ndarray:
    areas = np.zeros(len(indices), np.int64)
    for k in range(len(indices)):
        end = offsets[indices[k] + 1]
        first = _first_at(runs, offsets[indices[k]], end, windows[k, 0])
        for a in range(first, end):
            if runs[a, 0] >= windows[k, 2]:
                break
            height = min(runs[a, 2], windows[k, 3]) - max(runs[a, 1], windows[k, 1])
            if height > 0:
                areas[k] += height
    return areas


@kernel
def _first_at(runs: np.ndarray, begin: int, end: int, x: int) -> int:
    # The first run of an object in column x or to the right of it.
    while begin < end:
        middle = (begin + end) // 2
        if runs[middle, 0] < x:
            begin = middle + 1
        else:
            end = middle
    return begin
