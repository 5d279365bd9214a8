"""The compiled loops of pasting: `paste.py` says what they compute.

Inside one cell of the crop's grid the value along a column of the picture is linear. So for each
column the grid is blended across once, for all its cells in one go; only a cell whose two ends lie
on different sides of the threshold holds an edge of the mask. Where that edge lies is computed,
and the values of the two rows beside it are the proof. A column that has a value within rounding
of the threshold is compared pixel by pixel instead.

Shapes: n crops of (s, s); a grid is a padded crop, indexed [x, y] with x and y from 0 to s + 1, in
rows of a multiple of `_BLOCK` entries, zeros behind.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from maskwright.masks.kernels import inlined, intrinsic, kernel
from maskwright.masks.runs import Runs

__all__ = ["paste_crops"]

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
_BLOCK = 32


@kernel
def paste_crops(
    crops: np.ndarray, boxes: np.ndarray, height: int, width: int, threshold: Any, fused: bool
) -> Runs:
    """Paste crops (n, s, s) into the grown boxes (n, 4) of a picture; returns runs and offsets.

    A pixel is set where its value is above the float32 `threshold`; `fused` says whether products
    and sums are rounded once, as `torch_fuses` explains.
    """
    side = crops.shape[1] + 2
    grid = np.zeros((side, (side // _BLOCK + 1) * _BLOCK), np.float32)
    offsets = np.zeros(len(crops) + 1, np.int64)
    runs = np.empty((1024, 3), np.int32)
    count = np.int64(0)  # a literal 0 would be a type of its own, and callees compiled twice
    for i in range(len(crops)):
        x1, y1, x2, y2 = boxes[i, 0], boxes[i, 1], boxes[i, 2], boxes[i, 3]
        left, right = max(x1, 0), min(x2 + 1, width)
        top, bottom = max(y1, 0), min(y2 + 1, height)
        if left < right and top < bottom:
            grid[1 : side - 1, 1 : side - 1] = crops[i].T
            margin = np.float32(_MARGIN) * np.abs(crops[i]).max()
            four = (x2 - x1 + 1) + (y2 - y1 + 1) <= _FOUR_CORNERS_UP_TO
            columns = _taps(side, x2 - x1 + 1, left - x1, right - x1, fused)
            rows = _taps(side, y2 - y1 + 1, top - y1, bottom - y1, fused)
            levels = (threshold - margin, threshold, threshold + margin)
            rows_per_cell = np.float32(y2 - y1 + 1) / np.float32(side)
            k = np.int64(0)
            while k < right - left:
                if count + len(rows[0]) > len(runs):
                    runs = _with_room(runs, count, count + len(rows[0]))
                k, count = _paste_columns(
                    grid,
                    columns,
                    rows,
                    (left, top),
                    rows_per_cell,
                    levels,
                    four,
                    fused,
                    k,
                    runs,
                    count,
                )
        offsets[i + 1] = count
    return runs[:count], offsets  # join_runs copies them


@kernel
def _with_room(runs: np.ndarray, count: int, wanted: int) -> np.ndarray:
    roomier = np.empty((wanted + len(runs), 3), np.int32)
    roomier[:count] = runs[:count]
    return roomier


@kernel
def _taps(size: int, resized: int, first: int, last: int, fused: bool) -> _Taps:
    # One entry more than there are pixels, so that what lies after the last may be read.
    lower = np.zeros(last - first + 1, np.int32)
    near = np.zeros(last - first + 1, np.float32)
    far = np.zeros(last - first + 1, np.float32)
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
def _paste_columns(
    grid: np.ndarray,
    columns: _Taps,
    rows: _Taps,
    corner: tuple[int, int],
    rows_per_cell: Any,
    levels: _Levels,
    four: bool,
    fused: bool,
    first: int,
    runs: np.ndarray,
    count: int,
) -> tuple[int, int]:
    # From column `first` on, as far as there is room. Returns the column it stopped at and how many
    # runs there are: to grow `runs` in this loop would cost more than all else that it does.
    side, stride = grid.shape
    flat, blended = grid.reshape(side * stride), np.empty(stride, np.float32)
    limits, low_bits = (levels[0], levels[2]), np.uint64(2**_BLOCK - 1)
    firsts = _first_of_each(rows[0], side)
    edges = np.empty(len(rows[0]) + side, np.int32)
    for k in range(first, len(columns[0]) - 1):
        if count + len(rows[0]) > len(runs):
            return k, count
        here = stride * np.int64(columns[0][k])
        column = (here, min(here + stride, stride * (side - 1)))
        across = (columns[1][k], columns[2][k])
        certain, num_edges, last = True, 0, np.uint64(0)
        for block in range(0, stride, _BLOCK):
            if fused:
                bits = _blend_fused(flat, column, across, block, blended, limits)
            else:
                bits = _blend_plain(flat, column, across, block, blended, limits)
            above = bits & low_bits
            certain = certain & (above == bits >> np.uint64(_BLOCK))
            changes = (above ^ (above << np.uint64(1) | last)) & low_bits
            last = above >> np.uint64(_BLOCK - 1)
            while changes:
                cell = np.uint64(block) + _lowest_bit(changes) - np.uint64(1)
                changes &= changes - np.uint64(1)
                edge, sure = _find_edge(
                    flat,
                    column,
                    across,
                    blended,
                    cell,
                    firsts,
                    rows,
                    rows_per_cell,
                    levels,
                    four,
                    fused,
                )
                certain = certain & sure
                if num_edges and edges[np.uint64(num_edges - 1)] == edge:
                    num_edges -= 1
                else:
                    edges[np.uint64(num_edges)] = edge
                    num_edges += 1
        if not certain:
            num_edges = _find_edges_row_by_row(
                flat, column, across, blended, firsts, rows, levels, four, fused, edges
            )
        for e in range(0, num_edges - 1, 2):
            runs[count, 0] = corner[0] + k
            runs[count, 1] = corner[1] + edges[e]
            runs[count, 2] = corner[1] + edges[e + 1]
            count += 1
    return len(columns[0]) - 1, count


@kernel
def _first_of_each(lower: np.ndarray, side: int) -> np.ndarray:
    # firsts[j]:firsts[j + 1] are the positions that lie between entries j and j + 1 of the grid.
    num_rows = len(lower) - 1
    firsts = np.full(side + 1, num_rows, np.int64)
    for k in range(num_rows - 1, -1, -1):
        firsts[lower[k]] = k
    for j in range(side - 1, -1, -1):
        firsts[j] = min(firsts[j], firsts[j + 1])
    return firsts


@inlined
def _find_edge(
    grid: np.ndarray,
    column: tuple[int, int],
    across: _Pair,
    blended: np.ndarray,
    cell: Any,
    firsts: np.ndarray,
    rows: _Taps,
    rows_per_cell: Any,
    levels: _Levels,
    four: bool,
    fused: bool,
) -> tuple[int, bool]:
    # The first row behind the place where a column of a cell crosses the threshold, and whether
    # both it and the row before it are clearly on their sides. Values are monotone but for
    # rounding, so then all others of the cell are too. Unsigned indices spare a test for negatives.
    below = cell + np.uint64(1)
    first, last = firsts[cell], firsts[below]
    ends = (blended[cell], blended[below])
    share = (levels[1] - ends[0]) / (ends[1] - ends[0])
    far = rows[2][np.uint64(max(last - 1, first))]
    guess = np.float32(last - first) - (far - share) * rows_per_cell
    # A wrong guess costs time, never a pixel; one that is not a number is 0.
    edge = min(first + np.int64(guess if guess > np.float32(0) else np.float32(0)), last)
    here, beside = np.uint64(column[0]), np.uint64(column[1])
    corners = (grid[here + cell], grid[beside + cell], grid[here + below], grid[beside + below])
    row = np.uint64(max(edge - 1, first))
    before = _value(corners, across, ends, rows[1][row], rows[2][row], four, fused)
    row = np.uint64(edge)
    behind = _value(corners, across, ends, rows[1][row], rows[2][row], four, fused)
    if ends[1] < ends[0]:
        sure = ((edge == first) | (before > levels[2])) & ((edge == last) | (behind < levels[0]))
    else:
        sure = ((edge == first) | (before < levels[0])) & ((edge == last) | (behind > levels[2]))
    return edge, sure


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


@kernel
def _find_edges_row_by_row(
    grid: np.ndarray,
    column: tuple[int, int],
    across: _Pair,
    blended: np.ndarray,
    firsts: np.ndarray,
    rows: _Taps,
    levels: _Levels,
    four: bool,
    fused: bool,
    edges: np.ndarray,
) -> int:
    # The rows where a column enters or leaves the mask, by the value of each pixel that is not
    # clearly on one side.
    side, num_edges, was_set = len(firsts) - 1, 0, False
    here, beside = column
    for cell in range(side):
        below = min(cell + 1, side - 1)
        ends = (blended[cell], blended[below])
        surely = min(ends[0], ends[1]) > levels[2]
        surely_not = max(ends[0], ends[1]) < levels[0]
        corners = (grid[here + cell], grid[beside + cell], grid[here + below], grid[beside + below])
        for row in range(firsts[cell], firsts[cell + 1]):
            is_set = surely
            if not surely and not surely_not:
                value = _value(corners, across, ends, rows[1][row], rows[2][row], four, fused)
                is_set = value > levels[1]
            if is_set != was_set:
                edges[num_edges] = row
                num_edges += 1
                was_set = is_set
    if was_set:
        edges[num_edges] = len(rows[0]) - 1
        num_edges += 1
    return num_edges


@intrinsic
def _fma(typing_context: Any, a: Any, b: Any, c: Any) -> Any:  # noqa: ARG001
    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return builder.fma(*arguments)

    return a(a, a, a), build


@intrinsic
def _lowest_bit(typing_context: Any, bits: Any) -> Any:  # noqa: ARG001
    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        from llvmlite import ir

        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return bits(bits), build


@intrinsic
def _blend_fused(
    typing_context: Any,  # noqa: ARG001
    grid: Any,
    column: Any,
    across: Any,
    block: Any,
    blended: Any,
    limits: Any,
) -> Any:
    return _blend(grid, column, across, block, blended, limits, fused=True)


@intrinsic
def _blend_plain(
    typing_context: Any,  # noqa: ARG001
    grid: Any,
    column: Any,
    across: Any,
    block: Any,
    blended: Any,
    limits: Any,
) -> Any:
    return _blend(grid, column, across, block, blended, limits, fused=False)


def _blend(*types: Any, fused: bool) -> Any:
    # _BLOCK entries at once: blended = near * grid[column[0]:] + far * grid[column[1]:]. Returns a
    # bit per entry that is above limits[1], and, _BLOCK bits higher, per entry from limits[0] on.
    from llvmlite import ir
    from numba.core.cgutils import get_or_insert_function
    from numba.core.types import uint64

    vector, index = ir.VectorType(ir.FloatType(), _BLOCK), ir.IntType(32)

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        grid, column, across, block, blended, limits = arguments

        def address(array: Any, kind: Any, *offsets: Any) -> Any:
            pointer = context.make_array(kind)(context, builder, array).data
            for offset in offsets:
                pointer = builder.gep(pointer, [offset])
            return builder.bitcast(pointer, vector.as_pointer())

        def entries(side: int) -> Any:
            first = builder.extract_value(column, side)
            return builder.load(address(grid, signature.args[0], first, block), align=4)

        def everywhere(pair: Any, which: int) -> Any:
            number = builder.extract_value(pair, which)
            one = builder.insert_element(ir.Constant(vector, ir.Undefined), number, index(0))
            return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(index, _BLOCK), None))

        def bits(comparison: str, which: int) -> Any:
            claims = builder.fcmp_ordered(comparison, values, everywhere(limits, which))
            return builder.zext(builder.bitcast(claims, ir.IntType(_BLOCK)), ir.IntType(64))

        beside = builder.fmul(entries(1), everywhere(across, 1))
        if fused:
            kind = ir.FunctionType(vector, [vector] * 3)
            fma = get_or_insert_function(  # type: ignore[no-untyped-call]
                builder.module, kind, f"llvm.fma.v{_BLOCK}f32"
            )
            values = builder.call(fma, [entries(0), everywhere(across, 0), beside])
        else:
            values = builder.fadd(builder.fmul(entries(0), everywhere(across, 0)), beside)
        builder.store(values, address(blended, signature.args[4], block), align=4)
        return builder.or_(bits(">", 1), builder.shl(bits(">=", 0), ir.IntType(64)(_BLOCK)))

    return uint64(*types), build
