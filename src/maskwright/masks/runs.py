"""Vertical runs: how masks are stored, and the ways from and to pixels.

A run `(x, top, bottom)` is the pixels of column x from row top to row bottom, bottom exclusive.
The runs of one object are sorted by x, then top; runs of one column never overlap or touch, so
equal masks have equal runs. The runs of object i are `runs[offsets[i]:offsets[i + 1]]`.

Shapes: n objects, r runs, s spans, (h, w) size of a picture or of a bitmap.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64, UInt8

from maskwright.masks.kernels import kernel

__all__ = [
    "Runs",
    "bitmap_to_runs",
    "boxes_to_runs",
    "find_fault",
    "join_runs",
    "offsets_of",
    "paint_runs",
    "run_areas",
    "run_boxes",
    "runs_to_bitmap",
    "select_runs",
    "sort_and_unite",
    "spans_to_runs",
    "toggles_to_runs",
]

Runs = tuple[Int32[np.ndarray, "r 3"], Int64[np.ndarray, " n+1"]]
"""(runs, offsets)"""


def run_areas(runs: Int32[np.ndarray, "r 3"], offsets: Int64[np.ndarray, " n+1"]) -> np.ndarray:
    """Pixels of each object, (n,) int64."""
    total = np.zeros(len(runs) + 1, np.int64)
    np.cumsum(runs[:, 2] - runs[:, 1], out=total[1:])
    areas: np.ndarray = total[offsets[1:]] - total[offsets[:-1]]
    return areas


def run_boxes(
    runs: Int32[np.ndarray, "r 3"], offsets: Int64[np.ndarray, " n+1"]
) -> Int32[np.ndarray, "n 4"]:
    """Tight xyxy box of each object; four zeros for an object without pixels."""
    boxes = np.zeros((len(offsets) - 1, 4), np.int32)
    filled = np.flatnonzero(offsets[1:] > offsets[:-1])
    if len(filled):
        first = offsets[filled]
        boxes[filled, 0] = runs[first, 0]
        boxes[filled, 1] = np.minimum.reduceat(runs[:, 1], first)
        boxes[filled, 2] = runs[offsets[filled + 1] - 1, 0] + 1
        boxes[filled, 3] = np.maximum.reduceat(runs[:, 2], first)
    return boxes


def select_runs(
    runs: Int32[np.ndarray, "r 3"],
    offsets: Int64[np.ndarray, " n+1"],
    indices: Int64[np.ndarray, " m"],
) -> Runs:
    """The runs of the objects `indices`, in that order; an object may come more than once."""
    lengths = (offsets[1:] - offsets[:-1])[indices]
    chosen = offsets_of(lengths)
    positions = np.arange(chosen[-1]) + np.repeat(offsets[indices] - chosen[:-1], lengths)
    return runs[positions], chosen


def join_runs(parts: list[Runs]) -> Runs:
    """The objects of every part, one part after the other."""
    if not parts:
        return np.zeros((0, 3), np.int32), np.zeros(1, np.int64)
    lengths = np.concatenate([np.diff(offsets) for _, offsets in parts])
    return np.concatenate([runs for runs, _ in parts]), offsets_of(lengths)


def offsets_of(lengths: np.ndarray) -> Int64[np.ndarray, " n+1"]:
    """Offsets of consecutive groups of these lengths, beginning with 0."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def boxes_to_runs(boxes: Float32[np.ndarray, "n 4"], image_size: tuple[int, int]) -> Runs:
    """Runs of the pixels whose centres lie in xyxy boxes: x1 <= x < x2, y1 <= y < y2."""
    height, width = image_size
    corners = np.ceil(boxes.astype(np.float64) - 0.5)
    corners = np.clip(corners, 0, [width, height, width, height]).astype(np.int32)
    filled = (corners[:, 2:] > corners[:, :2]).all(axis=1)
    offsets = offsets_of(np.where(filled, corners[:, 2] - corners[:, 0], 0))
    owners = np.repeat(np.arange(len(corners)), np.diff(offsets))
    x = np.arange(offsets[-1]) - offsets[owners] + corners[owners, 0]
    runs = np.stack([x, corners[owners, 1], corners[owners, 3]], axis=1)
    return runs.astype(np.int32), offsets


def bitmap_to_runs(bitmap: Bool[np.ndarray, "h w"], left: int, top: int) -> np.ndarray:
    """The runs of one bitmap whose first pixel lies at (left, top), (r, 3) int32."""
    pixels = np.ascontiguousarray(bitmap).view(np.uint8)
    runs: np.ndarray = _bitmap_to_runs(pixels, left, top)
    return runs


def runs_to_bitmap(
    runs: Int32[np.ndarray, "r 3"], left: int, top: int, height: int, width: int
) -> UInt8[np.ndarray, "h w"]:
    """The window of one object at (left, top) as 0 and 1; it must hold every run."""
    bitmap = np.zeros((height, width), np.uint8)
    paint_runs(runs, left, top, bitmap)
    return bitmap


def paint_runs(
    runs: Int32[np.ndarray, "r 3"], left: int, top: int, bitmap: UInt8[np.ndarray, "h w"]
) -> None:
    """Set the pixels of one object in a bitmap of zeros whose first pixel is (left, top)."""
    _paint(runs, left, top, bitmap)


def sort_and_unite(
    runs: Int32[np.ndarray, "r 3"], owners: Int64[np.ndarray, " r"], num_objects: int
) -> Runs:
    """Make runs in any order, overlapping or touching, into the stored form.

    Args:
        runs: Runs in any order; bottom > top.
        owners: The object of each run, 0 to num_objects - 1.
        num_objects: Number of objects; objects without runs stay empty.
    """
    order = np.lexsort((runs[:, 1], runs[:, 0], owners))
    united: Runs = _unite(np.ascontiguousarray(runs[order]), owners[order], num_objects)
    return united


def toggles_to_runs(
    toggles: Int64[np.ndarray, " t"], offsets: Int64[np.ndarray, " n+1"], height: int, pixels: int
) -> Runs:
    """Runs of the pixels that an odd number of toggles precede, going down the columns.

    Args:
        toggles: Positions x * height + y in any order, from 0 to `pixels`.
        offsets: Whose they are.
        height: Rows of the picture.
        pixels: All pixels of the picture, where a last odd toggle ends.
    """
    starts, ends, span_offsets = _toggles_to_spans(toggles, offsets, pixels)
    return spans_to_runs(starts, ends, span_offsets, height)


def spans_to_runs(
    starts: Int64[np.ndarray, " s"],
    ends: Int64[np.ndarray, " s"],
    offsets: Int64[np.ndarray, " n+1"],
    height: int,
) -> Runs:
    """Spans [start, end) of pixels counted down the columns, as runs of single columns.

    The spans of an object must be sorted, filled and apart; `offsets` says whose they are.
    """
    pieces = (ends - 1) // height - starts // height + 1
    firsts = offsets_of(pieces)
    return _split_at_columns(starts, ends, height, firsts), firsts[offsets]


def find_fault(
    runs: Int32[np.ndarray, "r 3"], offsets: Int64[np.ndarray, " n+1"], height: int, width: int
) -> tuple[int, str]:
    """The first object whose runs are not in the stored form and why, or (-1, "")."""
    if len(offsets) < 1 or offsets[0] != 0 or offsets[-1] != len(runs):
        return 0, f"offsets must go from 0 to the number of runs ({len(runs)})"
    owner, fault = _find_fault(runs, offsets, height, width)
    return owner, _FAULTS[fault]


_FAULTS = (
    "",
    "offsets must not decrease",
    "runs must lie inside the picture",
    "runs must have bottom > top",
    "runs must be sorted by x, then top, and those of a column must not touch",
)


@kernel
def _find_fault(runs: np.ndarray, offsets: np.ndarray, height: int, width: int) -> tuple[int, int]:
    for owner in range(len(offsets) - 1):
        if offsets[owner + 1] < offsets[owner]:
            return owner, 1
        last_x, last_bottom = -1, 0
        for k in range(offsets[owner], offsets[owner + 1]):
            x, top, bottom = runs[k, 0], runs[k, 1], runs[k, 2]
            if x < 0 or x >= width or top < 0 or bottom > height:
                return owner, 2
            if bottom <= top:
                return owner, 3
            if x < last_x or (x == last_x and top <= last_bottom):
                return owner, 4
            last_x, last_bottom = x, bottom
    return -1, 0


@kernel
def _bitmap_to_runs(bitmap: np.ndarray, left: int, top: int) -> np.ndarray:
    # Row by row, as the pixels lie in memory; `cursors` holds where each column writes next.
    height, width = bitmap.shape
    counts = np.zeros(width + 1, np.int64)
    for y in range(height):
        for x in range(width):
            above = bitmap[y - 1, x] if y else np.uint8(0)
            counts[x + 1] += bitmap[y, x] > above
    cursors = np.cumsum(counts)
    runs = np.empty((cursors[width], 3), np.int32)
    for y in range(height + 1):
        for x in range(width):
            above = bitmap[y - 1, x] if y else np.uint8(0)
            here = bitmap[y, x] if y < height else np.uint8(0)
            if here > above:
                runs[cursors[x], 0] = x + left
                runs[cursors[x], 1] = y + top
            elif here < above:
                runs[cursors[x], 2] = y + top
                cursors[x] += 1
    return runs


@kernel
def _paint(runs: np.ndarray, left: int, top: int, bitmap: np.ndarray) -> None:
    # Mark where runs begin and end, then carry the marks down: two scattered writes per run
    # instead of one per pixel.
    height, width = bitmap.shape
    for k in range(len(runs)):
        x = runs[k, 0] - left
        bitmap[runs[k, 1] - top, x] ^= 1
        if runs[k, 2] - top < height:
            bitmap[runs[k, 2] - top, x] ^= 1
    for y in range(1, height):
        for x in range(width):
            bitmap[y, x] ^= bitmap[y - 1, x]


@kernel
def _unite(runs: np.ndarray, owners: np.ndarray, num_objects: int) -> Runs:
    united = np.empty_like(runs)
    offsets = np.zeros(num_objects + 1, np.int64)
    count = 0
    for k in range(len(runs)):
        same_column = k > 0 and owners[k] == owners[k - 1] and runs[k, 0] == united[count - 1, 0]
        if same_column and runs[k, 1] <= united[count - 1, 2]:
            united[count - 1, 2] = max(united[count - 1, 2], runs[k, 2])
        else:
            united[count] = runs[k]
            count += 1
            offsets[owners[k] + 1] += 1
    return united[:count].copy(), np.cumsum(offsets)


@kernel
def _split_at_columns(
    starts: np.ndarray, ends: np.ndarray, height: int, firsts: np.ndarray
) -> np.ndarray:
    runs = np.empty((firsts[-1], 3), np.int32)
    for s in range(len(starts)):
        k = firsts[s]
        position = starts[s]
        while position < ends[s]:
            x = position // height
            runs[k, 0] = x
            runs[k, 1] = position - x * height
            runs[k, 2] = min(ends[s] - x * height, height)
            position = (x + 1) * height
            k += 1
    return runs


@kernel
def _toggles_to_spans(
    toggles: np.ndarray, offsets: np.ndarray, pixels: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    starts = np.empty(len(toggles) // 2 + len(offsets), np.int64)
    ends = np.empty(len(starts), np.int64)
    span_offsets = np.zeros(len(offsets), np.int64)
    count = 0
    for owner in range(len(offsets) - 1):
        ordered = np.sort(toggles[offsets[owner] : offsets[owner + 1]])
        first = count
        for t in range(0, len(ordered), 2):
            start = ordered[t]
            end = ordered[t + 1] if t + 1 < len(ordered) else pixels
            if start == end:
                continue
            if count > first and ends[count - 1] == start:
                ends[count - 1] = end
            else:
                starts[count] = start
                ends[count] = end
                count += 1
        span_offsets[owner + 1] = count
    return starts[:count], ends[:count], span_offsets
