"""Masks under an affine map, sampled at the centres of the target's pixels.

Positions are in pixels with (0, 0) at the outer corner of the first pixel, so pixel (row i, column
j) has its centre at (j + 0.5, i + 0.5). A target pixel is set where the source pixel that its
centre comes from is set.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from maskwright.errors import MaskError
from maskwright.masks.kernels import kernel
from maskwright.masks.runs import Runs, join_runs, run_boxes, runs_to_bitmap

__all__ = ["inverse_map", "warp_runs"]


def inverse_map(matrix: Float64[np.ndarray, "2 3"]) -> Float64[np.ndarray, "2 3"]:
    """The map from target to source of a map from source to target.

    Raises:
        MaskError: A map that cannot be inverted, or that is not finite.
    """
    linear, shift = matrix[:, :2], matrix[:, 2]
    determinant = linear[0, 0] * linear[1, 1] - linear[0, 1] * linear[1, 0]
    if not np.isfinite(matrix).all() or determinant == 0:
        raise MaskError(f"the affine map must be finite and invertible, got {matrix.tolist()}")
    inverse = np.array([[linear[1, 1], -linear[0, 1]], [-linear[1, 0], linear[0, 0]]]) / determinant
    return np.concatenate([inverse, -inverse @ shift[:, None]], axis=1)


def warp_runs(
    runs: np.ndarray,
    offsets: np.ndarray,
    matrix: Float64[np.ndarray, "2 3"],
    image_size: tuple[int, int],
) -> Runs:
    """Runs in the target picture; one mask is decoded at a time, inside its own box."""
    inverse = inverse_map(matrix)
    parts: list[Runs] = []
    for i, (x1, y1, x2, y2) in enumerate(run_boxes(runs, offsets).tolist()):
        bitmap = runs_to_bitmap(runs[offsets[i] : offsets[i + 1]], x1, y1, y2 - y1, x2 - x1)
        window = _target_window(matrix, (x1, y1, x2, y2), image_size)
        local = inverse - np.array([[0, 0, x1], [0, 0, y1]])
        warped = _warp(bitmap, local, *window)
        parts.append((warped, np.array([0, len(warped)])))
    return join_runs(parts)


def _target_window(
    matrix: np.ndarray, box: tuple[int, int, int, int], image_size: tuple[int, int]
) -> tuple[int, int, int, int]:
    """The target's columns and rows [left, right) x [top, bottom) that a box can reach."""
    x1, y1, x2, y2 = box
    corners = np.array([[x1, x2, x1, x2], [y1, y1, y2, y2], [1, 1, 1, 1]])
    reached = matrix @ corners
    limits = np.array(image_size[::-1])
    first = np.clip(np.floor(reached.min(axis=1)) - 1, 0, limits).astype(int)
    last = np.clip(np.ceil(reached.max(axis=1)) + 1, 0, limits).astype(int)
    return int(first[0]), int(first[1]), int(last[0]), int(last[1])


@kernel
def _warp(
    bitmap: np.ndarray, inverse: np.ndarray, left: int, top: int, right: int, bottom: int
) -> np.ndarray:
    height, width = bitmap.shape
    runs = np.empty((256, 3), np.int32)
    count = 0
    for x in range(left, right):
        base_x = inverse[0, 0] * (x + 0.5) + inverse[0, 2]
        base_y = inverse[1, 0] * (x + 0.5) + inverse[1, 2]
        first, last = _rows_inside(base_x, inverse[0, 1], width, top, bottom)
        first, last = _rows_inside(base_y, inverse[1, 1], height, first, last)
        if count + (last - first) // 2 + 2 > len(runs):
            grown = np.empty((2 * len(runs) + last - first, 3), np.int32)
            grown[:count] = runs[:count]
            runs = grown
        was_set = False
        for y in range(first, last):
            source_x = base_x + inverse[0, 1] * (y + 0.5)
            source_y = base_y + inverse[1, 1] * (y + 0.5)
            is_set = False
            if 0 <= source_x < width and 0 <= source_y < height:
                is_set = bitmap[int(source_y), int(source_x)] != 0
            if is_set and not was_set:
                runs[count, 0] = x
                runs[count, 1] = y
            if was_set and not is_set:
                runs[count, 2] = y
                count += 1
            was_set = is_set
        if was_set:
            runs[count, 2] = last
            count += 1
    return runs[:count].copy()


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
