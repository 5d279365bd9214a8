"""COCO polygons rasterised exactly as pycocotools does.

The rule (Dollar and Lin, maskApi.c of the COCO API, `rleFrPoly`): corners are rounded to a grid of
fifths of a pixel; every edge is walked on that grid in steps of one along its longer side; where
the walk passes from the third to the fourth fifth of a picture column (its centre), the smaller
row of the two steps, rounded up to a whole row, toggles the pixels that follow. Columns are found
here directly instead of by walking, so the cost follows the columns a polygon crosses and not the
length of its outline; integer arithmetic replaces the divisions by five, which are exact there.

Shapes: n objects, g rings, p points.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from maskwright.errors import MaskError
from maskwright.masks.kernels import kernel
from maskwright.masks.runs import Runs, offsets_of, sort_and_unite, toggles_to_runs

__all__ = ["checked_ring", "rasterise_polygons"]

_LARGEST = 2.0**28  # five times this still fits the 32 bit integers of the rule


def rasterise_polygons(objects: Sequence[Sequence[Any]], image_size: tuple[int, int]) -> Runs:
    """Runs of objects given as lists of flat [x, y, ...] or (p, 2) rings, united per object.

    Raises:
        MaskError: An odd number of coordinates, fewer than three points, or coordinates that are
            not finite; it names the index of the object.
    """
    height, width = image_size
    rings = [checked_ring(ring, index) for index, rings in enumerate(objects) for ring in rings]
    owners = np.repeat(np.arange(len(objects)), [len(rings) for rings in objects])
    points = np.concatenate([np.zeros((0, 2)), *rings])
    # Adding 0.5 and cutting off the fraction is COCO's rounding, also below zero.
    corners = (5.0 * points + 0.5).astype(np.int64)
    ring_offsets = offsets_of(np.array([len(ring) for ring in rings], np.int64))
    toggles, toggle_offsets = _column_toggles(corners, ring_offsets, height, width)
    runs, run_offsets = toggles_to_runs(toggles, toggle_offsets, height, height * width)
    return sort_and_unite(runs, np.repeat(owners, np.diff(run_offsets)), len(objects))


def checked_ring(ring: Any, index: int) -> np.ndarray:
    """A ring of object `index` as (p, 2) float64 xy points, three or more."""
    try:
        flat = np.asarray(ring, np.float64)
    except (TypeError, ValueError):
        raise MaskError(
            f"polygon of object {index} must be numbers [x, y, x, y, ...], got {ring!r:.80}"
        ) from None
    if flat.ndim == 2 and flat.shape[1] == 2:
        flat = flat.reshape(-1)
    if flat.ndim != 1:
        raise MaskError(
            f"polygon of object {index} must be [x, y, x, y, ...] or (p, 2), got {flat.shape}"
        )
    if len(flat) % 2:
        raise MaskError(
            f"polygon of object {index} has an odd number of coordinates ({len(flat)}): x without y"
        )
    if len(flat) < 6:
        raise MaskError(f"polygon of object {index} has {len(flat) // 2} points, wanted at least 3")
    if not (np.abs(flat) < _LARGEST).all():
        raise MaskError(f"polygon of object {index} has NaN, infinite or huge coordinates")
    return flat.reshape(-1, 2)


@kernel
def _column_toggles(
    corners: np.ndarray, ring_offsets: np.ndarray, height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    toggles = np.empty(1024, np.int64)
    offsets = np.zeros(len(ring_offsets), np.int64)
    count = 0
    for ring in range(len(ring_offsets) - 1):
        begin, end = ring_offsets[ring], ring_offsets[ring + 1]
        for k in range(begin, end):
            after = k + 1 if k + 1 < end else begin
            xs, ys, xe, ye = corners[k, 0], corners[k, 1], corners[after, 0], corners[after, 1]
            # Columns whose centre, between fifths 5 x + 2 and 5 x + 3, lies on the edge.
            first = max((min(xs, xe) + 2) // 5, 0)
            last = min((max(xs, xe) - 3) // 5, width - 1)
            if count + last - first + 1 > len(toggles):
                grown = np.empty(2 * len(toggles) + last - first + 1, np.int64)
                grown[:count] = toggles[:count]
                toggles = grown
            for x in range(first, last + 1):
                row = (_lower_step(xs, ys, xe, ye, 5 * x + 2) + 2) // 5
                toggles[count] = x * height + min(max(row, 0), height)
                count += 1
        offsets[ring + 1] = count
    return toggles[:count], offsets


@kernel
def _lower_step(xs: int, ys: int, xe: int, ye: int, fifth: int) -> int:
    # The smaller row, in fifths, of the two steps of the walk at `fifth` and `fifth` + 1.
    dx, dy = abs(xe - xs), abs(ye - ys)
    if dx >= dy:
        if xs > xe:
            xs, ys, xe, ye = xe, ye, xs, ys
        slope = (ye - ys) / dx
        t = fifth - xs
        return min(int(ys + slope * t + 0.5), int(ys + slope * (t + 1) + 0.5))
    if ys > ye:
        xs, ys, xe, ye = xe, ye, xs, ys
    slope = (xe - xs) / dy
    # The last step before the walk leaves its side of the column's centre: guessed, then exact.
    t = min(max(int((fifth + 0.5 - xs) / slope), 0), dy - 1)
    rising = slope > 0
    while t > 0 and (int(xs + slope * t + 0.5) > fifth) == rising:
        t -= 1
    while (int(xs + slope * (t + 1) + 0.5) > fifth) != rising:
        t += 1
    return ys + t
