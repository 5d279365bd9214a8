"""Crops of probabilities pasted into their boxes, straight to runs.

The same masks, bit for bit, as torchvision's `paste_masks_in_image` (He et al., Mask R-CNN, 2017,
section 3.1, "resized to the RoI size, and binarized") followed by `> threshold`, without a
picture-sized array. A crop is padded by one pixel of zeros, its box is grown in proportion and cut
to integers, and the crop is resized bilinearly (`align_corners=False`) to the box.

Inside one cell of the crop's grid the value along a column of the picture is linear, so it is
compared with the threshold only near the one place where it can cross it, and a cell whose four
corners lie clearly on one side is not looked at again for any column.

The last bit follows torch's own float32 arithmetic, measured on torch 2.14 against all three of
its x86 code paths: AVX2 and AVX512 fuse multiply and add (`fma`), the default path does not; and
pictures of at most 128 pixels of height plus width go through a kernel that weighs the four
corners at once, larger ones interpolate across, then down.

Shapes: n crops of (s, s); a grid is a padded crop (s + 2, s + 2), indexed [x, y].
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from jaxtyping import Float32

from maskwright.masks.kernels import intrinsic, kernel
from maskwright.masks.runs import Runs

__all__ = ["grown_boxes", "paste_runs", "torch_fuses"]

_Taps = tuple[np.ndarray, np.ndarray]  # lower entry (k,), weights of it and the next (2, k)

_FOUR_CORNERS_BELOW = 128  # ATen, UpSampleKernel.cpp, _use_vectorized_kernel_cond_2d
# Rounding moves a value by less than 12 units of 2^-24 of the greatest entry of the crop (four
# weights, four products, three sums); beyond twice that no later row can be on the other side.
_MARGIN = 32 * 2.0**-24


def paste_runs(
    crops: Float32[np.ndarray, "n s s"],
    boxes: Float32[np.ndarray, "n 4"],
    image_size: tuple[int, int],
    threshold: float,
) -> Runs:
    """Runs of the pixels where the pasted crop is greater than `threshold` (0 to 1)."""
    corners = grown_boxes(boxes, crops.shape[1])
    pasted: Runs = _paste(crops, corners, *image_size, np.float32(threshold), torch_fuses())
    return pasted


def grown_boxes(boxes: Float32[np.ndarray, "n 4"], size: int) -> np.ndarray:
    """Integer boxes (n, 4), both corners inclusive, that hold the padded crops of this size."""
    scale = np.float32((size + 2) / size)
    half = (boxes[:, 2:] - boxes[:, :2]) * np.float32(0.5) * scale
    centre = (boxes[:, 2:] + boxes[:, :2]) * np.float32(0.5)
    return np.concatenate([centre - half, centre + half], axis=1).astype(np.int64)


def torch_fuses() -> bool:
    """Whether torch's kernels fuse multiply and add on this processor.

    torch takes its AVX2 or AVX512 kernels where the processor has them, unless the environment
    variable ATEN_CPU_CAPABILITY says `default`. On 64-bit ARM the compiler fuses as well.
    """
    from llvmlite.binding import get_host_cpu_features, get_process_triple

    if not get_process_triple().startswith(("x86", "i686", "amd64")):
        return True
    if os.environ.get("ATEN_CPU_CAPABILITY", "").lower() == "default":
        return False
    features = get_host_cpu_features()
    return bool(features.get("avx2") and features.get("fma"))


@intrinsic
def _fma(typing_context: Any, a: Any, b: Any, c: Any) -> Any:  # noqa: ARG001
    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return builder.fma(*arguments)

    return a(a, a, a), build


@kernel
def _paste(
    crops: np.ndarray, boxes: np.ndarray, height: int, width: int, threshold: Any, fused: bool
) -> Runs:
    side = crops.shape[1] + 2
    grid = np.zeros((side, side), np.float32)
    offsets = np.zeros(len(crops) + 1, np.int64)
    runs = np.empty((1024, 3), np.int32)
    count = 0
    for i in range(len(crops)):
        x1, y1, x2, y2 = boxes[i, 0], boxes[i, 1], boxes[i, 2], boxes[i, 3]
        left, right = max(x1, 0), min(x2 + 1, width)
        top, bottom = max(y1, 0), min(y2 + 1, height)
        if left < right and top < bottom:
            grid[1:-1, 1:-1] = crops[i].T
            margin = np.float32(_MARGIN) * np.abs(crops[i]).max()
            four = (x2 - x1 + 1) + (y2 - y1 + 1) <= _FOUR_CORNERS_BELOW
            columns = _taps(side, x2 - x1 + 1, left - x1, right - x1, fused)
            rows = _taps(side, y2 - y1 + 1, top - y1, bottom - y1, fused)
            runs, count = _paste_one(
                grid, columns, rows, left, top, threshold, margin, four, fused, runs, count
            )
        offsets[i + 1] = count
    return runs[:count].copy(), offsets


@kernel
def _taps(size: int, resized: int, first: int, last: int, fused: bool) -> _Taps:
    # The lower of the two entries each position reads, and the weights of both.
    lower = np.empty(last - first, np.int64)
    weights = np.empty((2, last - first), np.float32)
    scale = np.float32(size) / np.float32(resized)
    half = np.float32(0.5)
    for k in range(last - first):
        position = np.float32(first + k)
        if size != resized:
            if fused:
                position = _fma(scale, position + half, -half)
            else:
                position = scale * (position + half) - half
        position = max(position, np.float32(0))
        lower[k] = min(np.int64(position), size - 1)
        share = min(position - np.float32(lower[k]), np.float32(1))
        weights[0, k] = np.float32(1) - share
        weights[1, k] = share
    return lower, weights


@kernel
def _paste_one(
    grid: np.ndarray,
    columns: _Taps,
    rows: _Taps,
    left: int,
    top: int,
    threshold: Any,
    margin: Any,
    four: bool,
    fused: bool,
    runs: np.ndarray,
    count: int,
) -> tuple[np.ndarray, int]:
    side = len(grid)
    sources, across = columns
    _, down = rows
    firsts = _first_rows(rows[0], side)
    low, high = threshold - margin, threshold + margin
    bands = np.empty((side, 3), np.int64)  # (cell row or -1 where all is set, first row, last row)
    num_bands, source = 0, -1
    for k in range(len(sources)):
        if sources[k] != source:
            source = sources[k]
            here, beside = grid[source], grid[min(source + 1, side - 1)]
            num_bands = _find_bands(here, beside, firsts, low, high, bands)
        if count + down.shape[1] // 2 + 2 > len(runs):
            grown = np.empty((2 * len(runs) + down.shape[1], 3), np.int32)
            grown[:count] = runs[:count]
            runs = grown
        begin = count
        for band in range(num_bands):
            cell, first, last = bands[band, 0], bands[band, 1], bands[band, 2]
            if cell < 0:
                count = _add(runs, begin, count, left + k, top + first, top + last)
                continue
            next_cell = min(cell + 1, side - 1)
            corners = (here[cell], beside[cell], here[next_cell], beside[next_cell])
            weights = (across[0, k], across[1, k])
            upper = _blend(corners[0], weights[0], corners[1], weights[1], fused)
            lower = _blend(corners[2], weights[0], corners[3], weights[1], fused)
            if upper > high and lower > high:
                count = _add(runs, begin, count, left + k, top + first, top + last)
                continue
            if upper < low and lower < low:
                continue
            # Walk away from the crossing until the value is clearly on the side of either end.
            share = (threshold - upper) / (lower - upper) if lower != upper else np.float32(0)
            start = _guess(share, down[1], first, last)
            falling = lower < upper
            early = start
            while early > first:
                value = _value(corners, weights, upper, lower, down, early - 1, four, fused)
                if (value > high) if falling else (value < low):
                    break
                early -= 1
            late = start
            while late < last:
                value = _value(corners, weights, upper, lower, down, late, four, fused)
                if (value < low) if falling else (value > high):
                    break
                late += 1
            if falling and early > first:
                count = _add(runs, begin, count, left + k, top + first, top + early)
            for row in range(early, late):
                if _value(corners, weights, upper, lower, down, row, four, fused) > threshold:
                    count = _add(runs, begin, count, left + k, top + row, top + row + 1)
            if not falling and late < last:
                count = _add(runs, begin, count, left + k, top + late, top + last)
    return runs, count


@kernel
def _first_rows(lower: np.ndarray, side: int) -> np.ndarray:
    # firsts[j]:firsts[j + 1] are the rows that lie between entries j and j + 1 of the grid.
    firsts = np.full(side + 1, len(lower), np.int64)
    for row in range(len(lower) - 1, -1, -1):
        firsts[lower[row]] = row
    for j in range(side - 1, -1, -1):
        firsts[j] = min(firsts[j], firsts[j + 1])
    return firsts


@kernel
def _find_bands(
    here: np.ndarray, beside: np.ndarray, firsts: np.ndarray, low: Any, high: Any, bands: np.ndarray
) -> int:
    # The rows of one column of cells that are set for sure, merged, and those that may be.
    side = len(here)
    count = 0
    for j in range(side):
        if firsts[j] == firsts[j + 1]:
            continue
        below = min(j + 1, side - 1)
        least = min(here[j], beside[j], here[below], beside[below])
        most = max(here[j], beside[j], here[below], beside[below])
        if most < low:
            continue
        surely = least > high
        if surely and count and bands[count - 1, 0] < 0 and bands[count - 1, 2] == firsts[j]:
            bands[count - 1, 2] = firsts[j + 1]
            continue
        bands[count, 0] = -1 if surely else j
        bands[count, 1] = firsts[j]
        bands[count, 2] = firsts[j + 1]
        count += 1
    return count


@kernel
def _blend(a: Any, a_weight: Any, b: Any, b_weight: Any, fused: bool) -> Any:
    return _fma(a, a_weight, b * b_weight) if fused else a * a_weight + b * b_weight


@kernel
def _value(
    corners: Any,
    weights: Any,
    upper: Any,
    lower: Any,
    down: np.ndarray,
    row: int,
    four: bool,
    fused: bool,
) -> Any:
    if not four:
        return _blend(upper, down[0, row], lower, down[1, row], fused)
    a, b = down[0, row] * weights[0], down[0, row] * weights[1]
    c, d = down[1, row] * weights[0], down[1, row] * weights[1]
    if fused:
        pair = _fma(a, corners[0], b * corners[1])
        return _fma(d, corners[3], _fma(c, corners[2], pair))
    return a * corners[0] + b * corners[1] + c * corners[2] + d * corners[3]


@kernel
def _guess(share: Any, shares: np.ndarray, first: int, last: int) -> int:
    # The row nearest to where the share of the lower end is `share`; a guess costs time if it is
    # wrong, never a pixel.
    if last - first < 2:
        return first
    step = shares[first + 1] - shares[first]
    if not step > 0:
        return first
    return first + min(
        max(np.int64((share - shares[first]) / step + np.float32(1)), 0), last - first
    )


@kernel
def _add(runs: np.ndarray, begin: int, count: int, x: int, top: int, bottom: int) -> int:
    if count > begin and runs[count - 1, 2] == top:
        runs[count - 1, 2] = bottom
        return count
    runs[count, 0] = x
    runs[count, 1] = top
    runs[count, 2] = bottom
    return count + 1
