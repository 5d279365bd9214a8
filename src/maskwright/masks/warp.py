"""Masks under an affine map or a homography, sampled at the centres of the target's pixels.

Positions are in pixels with (0, 0) at the outer corner of the first pixel, so pixel (row i, column
j) has its centre at (j + 0.5, i + 0.5). A target pixel is set where the source pixel that its
centre comes from is set.

All objects go through one compiled loop. Maps along the axes (resizes, flips, shifts) turn runs
into runs without a pixel in between; other maps decode one object at a time inside its own box.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64

from maskwright.errors import MaskError
from maskwright.masks.kernels import kernel
from maskwright.masks.runs import Runs, run_boxes

__all__ = ["facing_map", "inverse_map", "warp_runs"]


def facing_map(
    matrix: Float64[np.ndarray, "3 3"], image_size: tuple[int, int]
) -> Float64[np.ndarray, "3 3"]:
    """The same map, scaled so that every point of the picture has a positive third coordinate.

    Raises:
        MaskError: The map sends part of the picture to infinity or behind the viewer.
    """
    height, width = image_size
    depths = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]]) @ matrix[2]
    if (depths > 0).all():
        return matrix
    if (depths < 0).all():
        return -matrix
    raise MaskError(
        f"the horizon of the map crosses the picture of {image_size} (height, width): "
        f"move its corners less, got {matrix.tolist()}"
    )


def inverse_map(matrix: Float64[np.ndarray, "3 3"]) -> Float64[np.ndarray, "3 3"]:
    """The map from target to source of a map from source to target.

    Raises:
        MaskError: A map that cannot be inverted, or that is not finite.
    """
    if not np.isfinite(matrix).all() or np.linalg.det(matrix) == 0:
        raise MaskError(f"the map must be finite and invertible, got {matrix.tolist()}")
    if matrix[2].tolist() != [0, 0, 1]:
        inverse: np.ndarray = np.linalg.inv(matrix)
        return inverse
    # By hand, so that maps along the axes stay so to the last bit.
    linear, shift = matrix[:2, :2], matrix[:2, 2]
    determinant = linear[0, 0] * linear[1, 1] - linear[0, 1] * linear[1, 0]
    back = np.array([[linear[1, 1], -linear[0, 1]], [-linear[1, 0], linear[0, 0]]]) / determinant
    return np.vstack([np.concatenate([back, -back @ shift[:, None]], axis=1), [0, 0, 1]])


def warp_runs(
    runs: np.ndarray,
    offsets: np.ndarray,
    matrix: Float64[np.ndarray, "3 3"],
    image_size: tuple[int, int],
) -> Runs:
    """Runs in the target picture; the map must face the source, see `facing_map`."""
    inverse = inverse_map(matrix)
    boxes = run_boxes(runs, offsets)
    windows = _target_windows(matrix, boxes, image_size)
    along_axes = not (inverse[0, 1] or inverse[1, 0] or inverse[2, 0] or inverse[2, 1])
    warp = _stretch if along_axes else _sample
    warped: Runs = warp(runs, offsets, boxes, windows, inverse)
    return warped


def _target_windows(
    matrix: np.ndarray, boxes: np.ndarray, image_size: tuple[int, int]
) -> Int64[np.ndarray, "n 4"]:
    """The target's columns and rows [left, right) x [top, bottom) that each box can reach."""
    x, y = boxes[:, [0, 2, 0, 2]], boxes[:, [1, 1, 3, 3]]
    reached_x, reached_y, depth = np.moveaxis(
        np.stack([x, y, np.ones_like(x)], -1) @ matrix.T, 2, 0
    )
    if matrix[2].tolist() != [0, 0, 1]:
        reached_x, reached_y = reached_x / depth, reached_y / depth
    height, width = image_size
    windows = np.stack(
        [
            np.clip(np.floor(reached_x.min(axis=1)) - 1, 0, width),
            np.clip(np.floor(reached_y.min(axis=1)) - 1, 0, height),
            np.clip(np.ceil(reached_x.max(axis=1)) + 1, 0, width),
            np.clip(np.ceil(reached_y.max(axis=1)) + 1, 0, height),
        ],
        axis=1,
    )
    return windows.astype(np.int64)


@kernel
def _stretch(
    runs: np.ndarray,
    offsets: np.ndarray,
    boxes: np.ndarray,
    windows: np.ndarray,
    inverse: np.ndarray,
) -> Runs:
    # Every end of a run goes to the first target row whose centre lies beyond it.
    warped = np.empty((2 * len(runs) + 256, 3), np.int32)
    warped_offsets = np.zeros(len(offsets), np.int64)
    count = 0
    for owner in range(len(offsets) - 1):
        x1, y1, x2, y2 = boxes[owner]
        left, top, right, bottom = windows[owner]
        edges = np.empty(y2 - y1 + 1, np.int64)
        _row_edges(edges, inverse[1, 1], inverse[1, 2] - y1, top, bottom)
        firsts = np.empty(x2 - x1 + 1, np.int64)
        _column_starts(firsts, runs, offsets[owner], offsets[owner + 1], x1)
        is_upright = inverse[1, 1] > 0
        for x in range(left, right):
            source_x = inverse[0, 0] * (x + 0.5) + (inverse[0, 2] - x1)
            if not 0 <= source_x < x2 - x1:
                continue
            begin, end = firsts[int(source_x)], firsts[int(source_x) + 1]
            if count + end - begin > len(warped):
                grown = np.empty((2 * len(warped) + end - begin, 3), np.int32)
                grown[:count] = warped[:count]
                warped = grown
            column = count
            for k in range(end - begin):
                run = begin + k if is_upright else end - 1 - k
                first, last = edges[runs[run, 1] - y1], edges[runs[run, 2] - y1]
                if not is_upright:
                    first, last = last, first
                if first >= last:
                    continue
                if count > column and warped[count - 1, 2] == first:
                    warped[count - 1, 2] = last
                    continue
                warped[count, 0] = x
                warped[count, 1] = first
                warped[count, 2] = last
                count += 1
        warped_offsets[owner + 1] = count
    return warped[:count].copy(), warped_offsets


@kernel
def _row_edges(edges: np.ndarray, step: float, base: float, top: int, bottom: int) -> None:
    # edges[e]: the first row of [top, bottom) whose source lies at e or beyond it, going on in
    # the direction of the rows; with a negative step the first whose source lies before e.
    if step > 0:
        y = top
        for e in range(len(edges)):
            while y < bottom and base + step * (y + 0.5) < e:
                y += 1
            edges[e] = y
    else:
        y = bottom
        for e in range(len(edges)):
            while y > top and base + step * (y - 1 + 0.5) < e:
                y -= 1
            edges[e] = y


@kernel
def _column_starts(firsts: np.ndarray, runs: np.ndarray, begin: int, end: int, left: int) -> None:
    # firsts[c]: the first run of the object in column left + c or to the right of it.
    k = begin
    for c in range(len(firsts)):
        while k < end and runs[k, 0] < left + c:
            k += 1
        firsts[c] = k


@kernel
def _sample(
    runs: np.ndarray,
    offsets: np.ndarray,
    boxes: np.ndarray,
    windows: np.ndarray,
    inverse: np.ndarray,
) -> Runs:
    warped = np.empty((2 * len(runs) + 256, 3), np.int32)
    warped_offsets = np.zeros(len(offsets), np.int64)
    is_affine = inverse[2, 0] == 0 and inverse[2, 1] == 0
    count = 0
    for owner in range(len(offsets) - 1):
        x1, y1, x2, y2 = boxes[owner]
        left, top, right, bottom = windows[owner]
        width, height = x2 - x1, y2 - y1
        # Column by column in memory, as runs are and as most maps go through it.
        bitmap = np.zeros((width, height), np.uint8)
        for k in range(offsets[owner], offsets[owner + 1]):
            bitmap[runs[k, 0] - x1, runs[k, 1] - y1 : runs[k, 2] - y1] = 1
        for x in range(left, right):
            base_x = inverse[0, 0] * (x + 0.5) + (inverse[0, 2] - x1 * inverse[2, 2])
            base_y = inverse[1, 0] * (x + 0.5) + (inverse[1, 2] - y1 * inverse[2, 2])
            step_x, step_y = inverse[0, 1], inverse[1, 1]
            depth, depth_step = 1.0, 0.0
            first, last = top, bottom
            if is_affine:
                first, last = _rows_inside(base_x, step_x, width, first, last)
                first, last = _rows_inside(base_y, step_y, height, first, last)
            else:
                base_x -= x1 * inverse[2, 0] * (x + 0.5)
                base_y -= y1 * inverse[2, 0] * (x + 0.5)
                step_x -= x1 * inverse[2, 1]
                step_y -= y1 * inverse[2, 1]
                depth = inverse[2, 0] * (x + 0.5) + inverse[2, 2]
                depth_step = inverse[2, 1]
            if count + (last - first) // 2 + 2 > len(warped):
                grown = np.empty((2 * len(warped) + last - first, 3), np.int32)
                grown[:count] = warped[:count]
                warped = grown
            was_set = False
            for y in range(first, last):
                source_x = base_x + step_x * (y + 0.5)
                source_y = base_y + step_y * (y + 0.5)
                if not is_affine:
                    whole = depth + depth_step * (y + 0.5)
                    source_x, source_y = source_x / whole, source_y / whole
                is_set = False
                if 0 <= source_x < width and 0 <= source_y < height:
                    is_set = bitmap[int(source_x), int(source_y)] != 0
                if is_set and not was_set:
                    warped[count, 0] = x
                    warped[count, 1] = y
                if was_set and not is_set:
                    warped[count, 2] = y
                    count += 1
                was_set = is_set
            if was_set:
                warped[count, 2] = last
                count += 1
        warped_offsets[owner + 1] = count
    return warped[:count].copy(), warped_offsets


@kernel
def _rows_inside(base: float, step: float, limit: int, first: int, last: int) -> tuple[int, int]:
    # The rows of [first, last) whose source coordinate can lie in [0, limit), one more each way.
    if step == 0:
        return (first, last) if 0 <= base < limit else (first, first)
    enter, leave = -base / step, (limit - base) / step
    if enter > leave:
        enter, leave = leave, enter
    begin = int(min(max(enter - 1.5, float(first)), float(last)))
    end = int(min(max(leave + 1.5, float(begin)), float(last)))
    return begin, end
