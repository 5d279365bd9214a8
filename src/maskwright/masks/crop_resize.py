"""Masks cut out of boxes and averaged to a small square: the targets of a mask head.

RoIAlign (He et al., Mask R-CNN, 2017, section 3) as torchvision's `roi_align` computes it with
`aligned=False`, `sampling_ratio=-1` and `spatial_scale=1`: each cell of the square is the mean of
ceil(side / size) samples each way, each read bilinearly from the four pixels around it; sums are
float32 in torchvision's order, so that results are equal to the last bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from maskwright.masks.kernels import kernel
from maskwright.masks.runs import run_boxes, runs_to_bitmap

__all__ = ["crop_and_resize"]


def crop_and_resize(
    runs: np.ndarray,
    offsets: np.ndarray,
    image_size: tuple[int, int],
    boxes: Float32[np.ndarray, "m 4"],
    indices: Int64[np.ndarray, " m"],
    size: int,
) -> Float32[np.ndarray, "m s s"]:
    """Crop mask indices[k] to boxes[k]; one mask is decoded at a time, inside its own box."""
    crops = np.zeros((len(boxes), size, size), np.float32)
    tight = run_boxes(runs, offsets)
    for index in np.unique(indices):
        x1, y1, x2, y2 = tight[index].tolist()
        one = runs[offsets[index] : offsets[index + 1]]
        bitmap = runs_to_bitmap(one, x1, y1, y2 - y1, x2 - x1)
        for k in np.flatnonzero(indices == index):
            _align(bitmap, x1, y1, *image_size, boxes[k], crops[k])
    return crops


@kernel
def _align(
    bitmap: np.ndarray,
    left: int,
    top: int,
    height: int,
    width: int,
    box: np.ndarray,
    crop: np.ndarray,
) -> None:
    size = len(crop)
    one = np.float32(1)
    box_width, box_height = max(box[2] - box[0], one), max(box[3] - box[1], one)
    cell_width, cell_height = box_width / np.float32(size), box_height / np.float32(size)
    across, down = int(np.ceil(cell_width)), int(np.ceil(cell_height))
    xs = _samples(box[0], cell_width, size, across, width)
    ys = _samples(box[1], cell_height, size, down, height)
    for i in range(size):
        for j in range(size):
            total = np.float32(0)
            for y in range(i * down, (i + 1) * down):
                if ys[0][y] < 0:
                    continue
                for x in range(j * across, (j + 1) * across):
                    if xs[0][x] < 0:
                        continue
                    x0, y0 = xs[0][x] - left, ys[0][y] - top
                    x1, y1 = xs[1][x] - left, ys[1][y] - top
                    far_x, far_y = xs[2][x], ys[2][y]
                    near_x, near_y = one - far_x, one - far_y
                    value = near_y * near_x * _pixel(bitmap, y0, x0)
                    value += near_y * far_x * _pixel(bitmap, y0, x1)
                    value += far_y * near_x * _pixel(bitmap, y1, x0)
                    value += far_y * far_x * _pixel(bitmap, y1, x1)
                    total += value
            crop[i, j] = total / np.float32(max(across * down, 1))


@kernel
def _samples(
    start: float, cell: float, size: int, per_cell: int, limit: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    # Lower pixel, upper pixel and weight of the upper one, for each sample along one side; the
    # lower pixel is -1 for a sample beyond the picture, which counts as 0.
    lower = np.full(size * per_cell, -1, np.int64)
    upper = np.full(size * per_cell, -1, np.int64)
    weight = np.zeros(size * per_cell, np.float32)
    half = np.float32(0.5)
    for k in range(size * per_cell):
        within = (np.float32(k % per_cell) + half) * cell / np.float32(per_cell)
        position = start + np.float32(k // per_cell) * cell + within
        if not (position >= -1 and position <= limit):
            continue
        position = max(position, np.float32(0))
        lower[k] = min(int(position), limit - 1)
        upper[k] = min(lower[k] + 1, limit - 1)
        if lower[k] < limit - 1:
            weight[k] = position - np.float32(lower[k])
    return lower, upper, weight


@kernel
def _pixel(bitmap: np.ndarray, y: int, x: int) -> Any:
    inside = 0 <= y < bitmap.shape[0] and 0 <= x < bitmap.shape[1]
    return np.float32(bitmap[y, x]) if inside else np.float32(0)
