"""Masks against masks: intersection areas, IoU, and set operations on runs.

Shapes: n and m objects, r runs.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float64

from maskwright.masks.kernels import kernel
from maskwright.masks.runs import (
    Runs,
    join_runs,
    run_areas,
    run_boxes,
    select_runs,
    sort_and_unite,
)

__all__ = ["difference_runs", "intersect_runs", "overlap_ratios", "take_earlier_out"]


def overlap_ratios(
    found: Runs, true: Runs, is_crowd: Bool[np.ndarray, " m"]
) -> Float64[np.ndarray, "n m"]:
    """Intersection over union; over the area of `found` where the other is a crowd.

    The crowd rule is that of the COCO evaluation (`iscrowd`, maskApi.h). Without a common pixel
    the ratio is 0, also between two empty masks.
    """
    common = _common_areas(*found, run_boxes(*found), *true, run_boxes(*true))
    areas, others = run_areas(*found)[:, None], run_areas(*true)[None, :]
    whole = np.where(is_crowd[None, :], areas, areas + others - common)
    ratios: np.ndarray = common / np.where(common > 0, whole, 1)
    return ratios


def intersect_runs(one: Runs, other: Runs, height: int) -> Runs:
    """Pixels in both, object by object; a single other object is held against each."""
    combined: Runs = _combine(*one, *other, height, True)
    return combined


def difference_runs(one: Runs, other: Runs, height: int) -> Runs:
    """Pixels of `one` that are not in `other`, object by object; or not in the only other."""
    combined: Runs = _combine(*one, *other, height, False)
    return combined


def take_earlier_out(runs: np.ndarray, offsets: np.ndarray, height: int) -> Runs:
    """Each object without the pixels of the objects before it."""
    boxes = run_boxes(runs, offsets)
    parts: list[Runs] = []
    for i in range(len(boxes)):
        one = select_runs(runs, offsets, np.array([i]))
        meet = (boxes[:i, :2] < boxes[i, 2:]).all(axis=1) & (boxes[:i, 2:] > boxes[i, :2]).all(
            axis=1
        )
        if meet.any():
            rivals, _ = select_runs(runs, offsets, np.flatnonzero(meet))
            taken = sort_and_unite(rivals, np.zeros(len(rivals), np.int64), 1)
            one = difference_runs(one, taken, height)
        parts.append(one)
    return join_runs(parts)


@kernel
def _common_areas(
    runs: np.ndarray,
    offsets: np.ndarray,
    boxes: np.ndarray,
    other_runs: np.ndarray,
    other_offsets: np.ndarray,
    other_boxes: np.ndarray,
) -> np.ndarray:
    common = np.zeros((len(boxes), len(other_boxes)), np.int64)
    for i in range(len(boxes)):
        for j in range(len(other_boxes)):
            left = max(boxes[i, 0], other_boxes[j, 0])
            right = min(boxes[i, 2], other_boxes[j, 2])
            top = max(boxes[i, 1], other_boxes[j, 1])
            if left >= right or top >= min(boxes[i, 3], other_boxes[j, 3]):
                continue
            a = _first_at(runs, offsets[i], offsets[i + 1], left)
            b = _first_at(other_runs, other_offsets[j], other_offsets[j + 1], left)
            total = 0
            while a < offsets[i + 1] and b < other_offsets[j + 1]:
                ax, bx = runs[a, 0], other_runs[b, 0]
                if ax >= right or bx >= right:
                    break
                if ax == bx:
                    a_bottom, b_bottom = runs[a, 2], other_runs[b, 2]
                    total += max(
                        min(a_bottom, b_bottom) - max(runs[a, 1], other_runs[b, 1]), np.int32(0)
                    )
                    a, b = (a + 1, b) if a_bottom <= b_bottom else (a, b + 1)
                elif ax < bx:
                    a += 1
                else:
                    b += 1
            common[i, j] = total
    return common


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


@kernel
def _combine(
    runs: np.ndarray,
    offsets: np.ndarray,
    other_runs: np.ndarray,
    other_offsets: np.ndarray,
    height: int,
    wanted: bool,
) -> Runs:
    # The pixels of the runs whose being in the other runs is `wanted`; a single other object is
    # that of every object. A column counts one row more than the picture has, so that runs of
    # neighbouring columns never touch.
    stride = np.int64(height) + 1
    combined = np.empty((len(runs) + len(other_runs) + 16, 3), np.int32)
    combined_offsets = np.zeros(len(offsets), np.int64)
    count = 0
    for owner in range(len(offsets) - 1):
        rival = owner if len(other_offsets) > 2 else 0
        b, b_end = other_offsets[rival], other_offsets[rival + 1]
        if offsets[owner] < offsets[owner + 1]:
            b = _first_at(other_runs, b, b_end, runs[offsets[owner], 0])
        for a in range(offsets[owner], offsets[owner + 1]):
            x = runs[a, 0]
            base = x * stride
            position, end = base + runs[a, 1], base + runs[a, 2]
            while b < b_end and other_runs[b, 0] * stride + other_runs[b, 2] <= position:
                b += 1
            k = b
            while position < end:
                # From here to `edge` the pixels are all in the other runs or all out of them.
                inside, edge = False, end
                if k < b_end:
                    start = other_runs[k, 0] * stride + other_runs[k, 1]
                    inside = start <= position
                    edge = min(
                        end, other_runs[k, 0] * stride + other_runs[k, 2] if inside else start
                    )
                    k += inside
                if inside == wanted:
                    if count == len(combined):
                        grown = np.empty((2 * len(combined), 3), np.int32)
                        grown[:count] = combined
                        combined = grown
                    combined[count, 0] = x
                    combined[count, 1] = position - base
                    combined[count, 2] = edge - base
                    count += 1
                position = edge
        combined_offsets[owner + 1] = count
    return combined[:count].copy(), combined_offsets
