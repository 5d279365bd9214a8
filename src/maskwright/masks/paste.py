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

from maskwright.masks.kernels import inlined, intrinsic, kernel
from maskwright.masks.runs import Runs, join_runs
from maskwright.masks.threads import in_parts

__all__ = ["grown_boxes", "paste_runs", "torch_fuses"]

# For each column or row of a box: the entry of the grid before it, and the weights of that entry
# and of the next.
_Taps = tuple[np.ndarray, np.ndarray, np.ndarray]
_Corners = tuple[Any, Any, Any, Any]  # of a cell: upper left, upper right, lower left, lower right
_Pair = tuple[Any, Any]
_Levels = tuple[Any, Any, Any]  # surely not above the threshold, the threshold, surely above it

_FOUR_CORNERS_UP_TO = 128  # ATen, UpSampleKernel.cpp, _use_vectorized_kernel_cond_2d
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
    limit, fused = np.float32(threshold), torch_fuses()

    def paste(first: int, last: int) -> Runs:
        pasted: Runs = _paste(crops[first:last], corners[first:last], *image_size, limit, fused)
        return pasted

    return join_runs(in_parts(len(crops), paste))


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
            four = (x2 - x1 + 1) + (y2 - y1 + 1) <= _FOUR_CORNERS_UP_TO
            columns = _taps(side, x2 - x1 + 1, left - x1, right - x1, fused)
            rows = _taps(side, y2 - y1 + 1, top - y1, bottom - y1, fused)
            levels = (threshold - margin, threshold, threshold + margin)
            rows_per_cell = np.float32(y2 - y1 + 1) / np.float32(side)
            runs, count = _paste_one(
                grid, columns, rows, (left, top), rows_per_cell, levels, four, fused, runs, count
            )
        offsets[i + 1] = count
    return runs[:count].copy(), offsets


@kernel
def _taps(size: int, resized: int, first: int, last: int, fused: bool) -> _Taps:
    lower = np.empty(last - first, np.int64)
    near = np.empty(last - first, np.float32)
    far = np.empty(last - first, np.float32)
    scale = np.float32(size) / np.float32(resized)
    half = np.float32(0.5)
    for k in range(last - first):
        position: Any = np.float32(first + k)
        if size != resized:
            if fused:
                position = _fma(scale, position + half, -half)
            else:
                position = scale * (position + half) - half
        position = max(position, np.float32(0))
        lower[k] = min(int(position), size - 1)
        far[k] = min(position - np.float32(lower[k]), np.float32(1))
        near[k] = np.float32(1) - far[k]
    return lower, near, far


@kernel
def _paste_one(
    grid: np.ndarray,
    columns: _Taps,
    rows: _Taps,
    corner: tuple[int, int],
    rows_per_cell: Any,
    levels: _Levels,
    four: bool,
    fused: bool,
    runs: np.ndarray,
    count: int,
) -> tuple[np.ndarray, int]:
    side = len(grid)
    sources, near_x, far_x = columns
    _, near_y, far_y = rows
    firsts = _first_of_each(rows[0], side)
    bands = np.empty((side, 3), np.int64)
    num_bands, source = 0, -1
    for k in range(len(sources)):
        if sources[k] != source:
            source = sources[k]
            here, beside = grid[source], grid[min(source + 1, side - 1)]
            num_bands = _find_bands(here, beside, firsts, levels, bands)
        if count + len(near_y) // 2 + 2 > len(runs):
            grown = np.empty((2 * len(runs) + len(near_y), 3), np.int32)
            grown[:count] = runs[:count]
            runs = grown
        begin, x, y = count, corner[0] + k, corner[1]
        across = (near_x[k], far_x[k])
        for band in range(num_bands):
            cell, first, last = bands[band, 0], bands[band, 1], bands[band, 2]
            if cell < 0:
                count = _add(runs, begin, count, x, y + first, y + last)
                continue
            below = min(cell + 1, side - 1)
            corners = (here[cell], beside[cell], here[below], beside[below])
            ends = _blend_ends(corners, across, fused)
            early, late, falling = _find_crossing(
                corners,
                across,
                ends,
                near_y,
                far_y,
                first,
                last,
                rows_per_cell,
                levels,
                four,
                fused,
            )
            if falling and early > first:
                count = _add(runs, begin, count, x, y + first, y + early)
            for row in range(early, late):
                value = _value(corners, across, ends, near_y[row], far_y[row], four, fused)
                if value > levels[1]:
                    count = _add(runs, begin, count, x, y + row, y + row + 1)
            if not falling and late < last:
                count = _add(runs, begin, count, x, y + late, y + last)
    return runs, count


@kernel
def _first_of_each(lower: np.ndarray, side: int) -> np.ndarray:
    # firsts[j]:firsts[j + 1] are the positions that lie between entries j and j + 1 of the grid.
    firsts = np.full(side + 1, len(lower), np.int64)
    for k in range(len(lower) - 1, -1, -1):
        firsts[lower[k]] = k
    for j in range(side - 1, -1, -1):
        firsts[j] = min(firsts[j], firsts[j + 1])
    return firsts


@kernel
def _find_bands(
    here: np.ndarray,
    beside: np.ndarray,
    firsts: np.ndarray,
    levels: _Levels,
    bands: np.ndarray,
) -> int:
    # Of one column of cells, (cell, first row, last row) of those that may be set, in part or
    # whole; neighbours that are surely set are joined and have -1 for the cell.
    side = len(here)
    count = 0
    for j in range(side):
        if firsts[j] == firsts[j + 1]:
            continue
        below = min(j + 1, side - 1)
        if max(here[j], beside[j], here[below], beside[below]) < levels[0]:
            continue
        surely = min(here[j], beside[j], here[below], beside[below]) > levels[2]
        if surely and count and bands[count - 1, 0] < 0 and bands[count - 1, 2] == firsts[j]:
            bands[count - 1, 2] = firsts[j + 1]
            continue
        bands[count, 0] = -1 if surely else j
        bands[count, 1] = firsts[j]
        bands[count, 2] = firsts[j + 1]
        count += 1
    return count


@inlined
def _find_crossing(
    corners: _Corners,
    across: _Pair,
    ends: _Pair,
    near_y: np.ndarray,
    far_y: np.ndarray,
    first: int,
    last: int,
    rows_per_cell: Any,
    levels: _Levels,
    four: bool,
    fused: bool,
) -> tuple[int, int, bool]:
    # Where a column of a cell falls, rows before `early` are surely set and rows from `late` on
    # surely not; where it does not fall, the other way round. From a guess it walks both ways until
    # the value is clearly on the side of that end: values are monotone but for rounding, so all
    # further ones are too.
    low, threshold, high = levels
    falling = ends[1] < ends[0]
    early = first
    if ends[0] != ends[1]:
        # The first row past the crossing; a wrong guess costs time, never a pixel.
        share = (threshold - ends[0]) / (ends[1] - ends[0])
        guess = np.float32(last - first) - (far_y[last - 1] - share) * rows_per_cell
        if guess > 0:
            early = last if guess >= last - first else first + int(guess)
    late = early
    while early > first:
        value = _value(corners, across, ends, near_y[early - 1], far_y[early - 1], four, fused)
        if (value > high) if falling else (value < low):
            break
        early -= 1
    while late < last:
        value = _value(corners, across, ends, near_y[late], far_y[late], four, fused)
        if (value < low) if falling else (value > high):
            break
        late += 1
    return early, late, falling


@inlined
def _blend_ends(corners: _Corners, across: _Pair, fused: bool) -> _Pair:
    # The values of one column at the upper and the lower end of a cell.
    a, b, c, d = corners
    if fused:
        return _fma(a, across[0], b * across[1]), _fma(c, across[0], d * across[1])
    return a * across[0] + b * across[1], c * across[0] + d * across[1]


@inlined
def _value(
    corners: _Corners, across: _Pair, ends: _Pair, near: Any, far: Any, four: bool, fused: bool
) -> Any:
    if not four:
        return _fma(ends[0], near, ends[1] * far) if fused else ends[0] * near + ends[1] * far
    a, b, c, d = near * across[0], near * across[1], far * across[0], far * across[1]
    if fused:
        pair = _fma(a, corners[0], b * corners[1])
        return _fma(d, corners[3], _fma(c, corners[2], pair))
    return a * corners[0] + b * corners[1] + c * corners[2] + d * corners[3]


@inlined
def _add(runs: np.ndarray, begin: int, count: int, x: int, top: int, bottom: int) -> int:
    if count > begin and runs[count - 1, 2] == top:
        runs[count - 1, 2] = bottom
        return count
    runs[count, 0] = x
    runs[count, 1] = top
    runs[count, 2] = bottom
    return count + 1
