"""COCO run lengths: counts down the columns, plain or packed into text.

Counts begin with the number of unset pixels, in column order, and then alternate. The text form
(Dollar and Lin, maskApi.c of the COCO API, `rleToString`) writes each count, from the fourth on
the difference to the count two before, in groups of five bits, lowest first, as character
48 + group; bit 32 says that more follows and bit 16 of the last group is the sign.

Shapes: n objects, c counts, b bytes.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from maskwright.errors import MaskError
from maskwright.masks.kernels import inlined, intrinsic, kernel
from maskwright.masks.runs import Runs, offsets_of, spans_to_runs

__all__ = ["decode_rles", "encode_packed", "encode_plain"]

# Of 8 characters at once: the 48 of each, the 32 that says that more follows, and every bit.
_ZEROS = np.uint64(0x3030303030303030)
_MORE = np.uint64(0x2020202020202020)
_ALL_BITS = np.uint64(0xFFFFFFFFFFFFFFFF)


def encode_plain(
    runs: np.ndarray, offsets: np.ndarray, image_size: tuple[int, int]
) -> list[dict[str, Any]]:
    """`{"size": [h, w], "counts": [...]}` of every object."""
    counts, ends = _run_counts(runs, offsets, *image_size)
    return [
        {"size": list(image_size), "counts": counts[begin:end].tolist()}
        for begin, end in pairwise(ends.tolist())
    ]


def encode_packed(
    runs: np.ndarray, offsets: np.ndarray, image_size: tuple[int, int]
) -> list[dict[str, Any]]:
    """`{"size": [h, w], "counts": "..."}` of every object."""
    height, width = image_size
    most_groups = (height * width).bit_length() // 5 + 1
    packed, ends = _pack(runs, offsets, height, width, most_groups)
    text = packed.tobytes().decode("ascii")
    return [
        {"size": list(image_size), "counts": text[begin:end]}
        for begin, end in pairwise(ends.tolist())
    ]


def decode_rles(
    rles: Sequence[Mapping[str, Any]], image_size: tuple[int, int] | None
) -> tuple[tuple[int, int], Runs]:
    """Runs of COCO run lengths, plain or packed, in any mixture.

    Returns:
        The size of the picture, taken from the first object where none is given, and the runs.

    Raises:
        MaskError: Another size, damaged text, or counts that do not sum to the picture.
    """
    sizes = [_size_of(rle, index) for index, rle in enumerate(rles)]
    if image_size is None:
        if not sizes:
            raise MaskError("no masks and no image_size: pass image_size=(height, width)")
        image_size = sizes[0]
    for index, size in enumerate(sizes):
        if size != image_size:
            raise MaskError(f"mask {index} is of a {size} picture, wanted {image_size}")
    counts, offsets = _all_counts([rle["counts"] for rle in rles])
    starts, ends, span_offsets, wrong = _counts_to_spans(counts, offsets, *image_size)
    if wrong >= 0:
        chosen = counts[offsets[wrong] : offsets[wrong + 1]]
        pixels = image_size[0] * image_size[1]
        raise MaskError(
            f"mask {wrong}: counts must be at least 0 and sum to height * width = {pixels}, "
            f"got a sum of {chosen.sum()} and a least of {chosen.min(initial=0)}"
        )
    return image_size, spans_to_runs(starts, ends, span_offsets, image_size[0])


def _size_of(rle: Mapping[str, Any], index: int) -> tuple[int, int]:
    if not isinstance(rle, Mapping) or "size" not in rle or "counts" not in rle:
        raise MaskError(f'mask {index} must be {{"size": [h, w], "counts": ...}}, got {rle!r:.80}')
    size = np.asarray(rle["size"])
    if size.shape != (2,) or size.dtype.kind not in "iu" or (size < 1).any():
        raise MaskError(f"mask {index}: size must be [height, width], got {rle['size']!r:.80}")
    return int(size[0]), int(size[1])


def _all_counts(given: list[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Counts of every object in one array, unpacking those that are text."""
    texts = [_as_bytes(counts, index) for index, counts in enumerate(given)]
    text_offsets = offsets_of(np.array([len(text) for text in texts], np.int64))
    unpacked, offsets, damaged = _unpack(np.frombuffer(b"".join(texts), np.uint8), text_offsets)
    if damaged >= 0:
        raise MaskError(f"mask {damaged}: counts are not COCO text: {texts[damaged][:40]!r}")
    if all(isinstance(counts, str | bytes) for counts in given):
        return unpacked, offsets
    parts = [
        unpacked[offsets[i] : offsets[i + 1]]
        if isinstance(counts, str | bytes)
        else _plain_counts(counts, i)
        for i, counts in enumerate(given)
    ]
    return np.concatenate(parts), offsets_of(np.array([len(part) for part in parts]))


def _as_bytes(counts: Any, index: int) -> bytes:
    if isinstance(counts, str):
        try:
            return counts.encode("ascii")
        except UnicodeEncodeError:
            raise MaskError(f"mask {index}: counts are not COCO text: {counts[:40]!r}") from None
    return counts if isinstance(counts, bytes) else b""


def _plain_counts(counts: Any, index: int) -> np.ndarray:
    plain = np.asarray(counts)
    if plain.ndim != 1 or (plain.size and plain.dtype.kind not in "iu"):
        raise MaskError(
            f"mask {index}: counts must be text or a list of integers, got {counts!r:.80}"
        )
    return plain.astype(np.int64)


@kernel
def _run_counts(
    runs: np.ndarray, offsets: np.ndarray, height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    counts = np.empty(2 * len(runs) + len(offsets), np.int64)
    count_offsets = np.zeros(len(offsets), np.int64)
    k = 0
    for owner in range(len(offsets) - 1):
        position = 0  # everything before it is counted; the last count may still grow
        first = k
        for r in range(offsets[owner], offsets[owner + 1]):
            start = np.int64(runs[r, 0]) * height + runs[r, 1]
            length = np.int64(runs[r, 2] - runs[r, 1])
            if start == position and k > first:  # goes on from the foot of the column before
                counts[k - 1] += length
            else:
                counts[k] = start - position
                counts[k + 1] = length
                k += 2
            position = start + length
        if position < np.int64(height) * width:
            counts[k] = np.int64(height) * width - position
            k += 1
        count_offsets[owner + 1] = k
    return counts[:k], count_offsets


@intrinsic
def _leading_zeros(typing_context: Any, bits: Any) -> Any:  # noqa: ARG001
    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        from llvmlite import ir

        return builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return bits(bits), build


@intrinsic
def _store_characters(typing_context: Any, packed: Any, index: Any, characters: Any) -> Any:  # noqa: ARG001
    # Writes packed[index:index + 8], the lowest byte first.
    from numba.core.types import void

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        from llvmlite import ir

        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        address = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(64).as_pointer())
        word = arguments[2] if sys.byteorder == "little" else builder.bswap(arguments[2])
        builder.store(word, address, align=1)

    return void(packed, index, characters), build


@kernel
def _pack(
    runs: np.ndarray, offsets: np.ndarray, height: int, width: int, most_groups: int
) -> tuple[np.ndarray, np.ndarray]:
    packed = np.empty(most_groups * (2 * len(runs) + len(offsets)) + 8, np.uint8)
    ends = np.zeros(len(offsets), np.int64)
    pixels = np.int64(height) * width
    b = 0
    for owner in range(len(offsets) - 1):
        position = last_gap = last_length = 0  # everything before `position` is written
        r, stop = offsets[owner], offsets[owner + 1]
        while r < stop:
            start = np.int64(runs[r, 0]) * height + runs[r, 1]
            end = start + runs[r, 2] - runs[r, 1]
            r += 1
            while r < stop and np.int64(runs[r, 0]) * height + runs[r, 1] == end:
                end += runs[r, 2] - runs[r, 1]  # goes on from the foot of the column before
                r += 1
            b = _write_count(packed, b, start - position - last_gap)
            b = _write_count(packed, b, end - start - last_length)
            last_gap = start - position if position else 0  # differences begin at the fourth count
            last_length = end - start
            position = end
        if position < pixels:
            b = _write_count(packed, b, pixels - position - last_gap)
        ends[owner + 1] = b
    return packed[:b], ends


@inlined
def _write_count(packed: np.ndarray, b: int, value: int) -> int:
    # All 8 characters are written at once, and the next count overwrites those not needed: where a
    # loop over single groups ends cannot be predicted, which costs 4 times as much.
    bits: Any = 64 - np.int64(_leading_zeros(np.uint64(value ^ (value >> 63))))
    groups = bits // 5 + 1  # the sign takes a bit as well
    while groups > 8:
        _store_characters(packed, b, _characters(value) + _MORE)
        value >>= 40
        groups -= 8
        b += 8
    more = _MORE & ~(_ALL_BITS << np.uint64(8 * groups - 8))
    _store_characters(packed, b, _characters(value) + more)
    end: int = b + groups
    return end


@inlined
def _characters(value: int) -> Any:
    # The lowest 40 bits as characters of five bits each, the lowest first.
    word = np.uint64(value)
    word = (word & np.uint64(0xFFFFF)) | ((word & np.uint64(0xFFFFF00000)) << np.uint64(12))
    word = (word & np.uint64(0x3FF000003FF)) | ((word & np.uint64(0xFFC00000FFC00)) << np.uint64(6))
    low = word & np.uint64(0x1F001F001F001F)
    return (low | ((word & np.uint64(0x3E003E003E003E0)) << np.uint64(3))) + _ZEROS


@kernel
def _unpack(packed: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    counts = np.empty(len(packed), np.int64)
    count_offsets = np.zeros(len(offsets), np.int64)
    k = 0
    for owner in range(len(offsets) - 1):
        first = k
        b = offsets[owner]
        while b < offsets[owner + 1]:
            value, shift, more = np.int64(0), 0, True
            while more:
                if b == offsets[owner + 1] or shift > 55:
                    return counts, count_offsets, owner
                group = np.int64(packed[b]) - 48
                if group < 0 or group > 63:
                    return counts, count_offsets, owner
                b += 1
                value |= (group & 31) << shift
                shift += 5
                more = group & 32 != 0
                if not more and group & 16:
                    value |= -1 << shift
            if k - first > 2:
                value += counts[k - 2]
            counts[k] = value
            k += 1
        count_offsets[owner + 1] = k
    return counts[:k], count_offsets, -1


@kernel
def _counts_to_spans(
    counts: np.ndarray, offsets: np.ndarray, height: int, width: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    starts = np.empty(len(counts) // 2 + len(offsets), np.int64)
    ends = np.empty(len(counts) // 2 + len(offsets), np.int64)
    span_offsets = np.zeros(len(offsets), np.int64)
    pixels = np.int64(height) * width
    s = 0
    for owner in range(len(offsets) - 1):
        first = s
        position = 0
        for c in range(offsets[owner], offsets[owner + 1]):
            if counts[c] < 0 or counts[c] > pixels - position:
                return starts, ends, span_offsets, owner
            if (c - offsets[owner]) % 2 and counts[c]:
                if s > first and ends[s - 1] == position:  # a count of 0 between two runs
                    ends[s - 1] = position + counts[c]
                else:
                    starts[s] = position
                    ends[s] = position + counts[c]
                    s += 1
            position += counts[c]
        if position != pixels:
            return starts, ends, span_offsets, owner
        span_offsets[owner + 1] = s
    return starts[:s], ends[:s], span_offsets, -1
