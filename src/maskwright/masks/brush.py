"""Brush run lengths: the bit stream in which Label Studio keeps painted masks.

The stream (format: thi.ng/umbrella, package rle-pack) packs bytes: 32 bits with their number, 5
bits with the word size less 1 (8), four times 4 bits with the sizes less 1 in which lengths are
told; then records: 1 bit (1 a repeated word, 0 words as they are), 2 bits choosing the size, the
length less 1, the word or words. The bytes are RGBA, row by row; alpha is the mask.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, UInt8

from maskwright.errors import MaskError
from maskwright.masks.kernels import kernel

__all__ = ["decode_brush", "encode_brush"]

_SIZES = (3, 4, 8, 16)
_CHANNELS = 4


def decode_brush(code: object, image_size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """Return the mask of a code.

    Args:
        code: Whole numbers from 0 to 255.
        image_size: (height, width) of the picture it was painted on.

    Raises:
        MaskError: Values out of range, a stream cut short, or one of another picture.
    """
    packed = np.asarray(code)
    is_bytes = packed.ndim == 1 and packed.dtype.kind in "iu" and len(packed) >= 8
    if not is_bytes or packed.min() < 0 or packed.max() > 255:
        raise MaskError("a brush code must be a list of whole numbers from 0 to 255")
    pixels, fault = _unpack(packed.astype(np.uint8), image_size[0] * image_size[1])
    if fault:
        raise MaskError(f"a brush code is damaged or not of a {image_size} picture")
    mask: np.ndarray = pixels.reshape(image_size) > 0
    return mask


def encode_brush(mask: Bool[np.ndarray, "h w"]) -> UInt8[np.ndarray, " b"]:
    """Return the code of a mask.

    >>> mask = np.array([[False, True], [True, True]])
    >>> bool((decode_brush(encode_brush(mask), (2, 2)) == mask).all())
    True
    """
    flat = np.ascontiguousarray(mask).reshape(-1)
    ends = np.append(np.flatnonzero(np.diff(flat)) + 1, len(flat))
    lengths = np.diff(np.concatenate([[0], ends])) * _CHANNELS
    words = flat[ends - 1].astype(np.uint8) * 255
    return np.asarray(_pack(lengths.astype(np.int64), words, len(flat) * _CHANNELS))


@kernel
def _unpack(packed: np.ndarray, num_pixels: int) -> tuple[np.ndarray, bool]:
    alpha = np.zeros(num_pixels, np.uint8)
    total = 8 * len(packed)
    wanted = 4 * num_pixels
    # The head: 32 + 5 + 4 * 4 bits.
    head = np.zeros(6, np.int64)
    position = 0
    for field in range(6):
        length = 32 if field == 0 else (5 if field == 1 else 4)
        value = np.int64(0)
        for _ in range(length):
            value = 2 * value + ((packed[position // 8] >> (7 - position % 8)) & 1)
            position += 1
        head[field] = value
    word_size = head[1] + 1
    if head[0] != wanted or word_size != 8:
        return alpha, True
    done = 0
    while done < wanted:
        if position + 3 > total:
            return alpha, True
        is_repeated = (packed[position // 8] >> (7 - position % 8)) & 1
        position += 1
        choice = 0
        for _ in range(2):
            choice = 2 * choice + ((packed[position // 8] >> (7 - position % 8)) & 1)
            position += 1
        bits = head[2 + choice] + 1
        if position + bits > total:
            return alpha, True
        count = np.int64(0)
        for _ in range(bits):
            count = 2 * count + ((packed[position // 8] >> (7 - position % 8)) & 1)
            position += 1
        count += 1
        num_words = 1 if is_repeated else count
        if done + count > wanted or position + num_words * word_size > total:
            return alpha, True
        word = 0
        for k in range(count):
            if k < num_words:
                word = 0
                for _ in range(word_size):
                    word = 2 * word + ((packed[position // 8] >> (7 - position % 8)) & 1)
                    position += 1
            if done % 4 == 3:
                alpha[done // 4] = word
            done += 1
    return alpha, False


@kernel
def _pack(lengths: np.ndarray, words: np.ndarray, total: int) -> np.ndarray:
    most = 65536  # what 16 bits tell
    records = 0
    for length in lengths:
        records += (length + most - 1) // most
    packed = np.zeros((53 + records * 27 + 7) // 8, np.uint8)
    position = 0
    # The head, then per record: 1, size number 3 (16 bits), length - 1, word.
    for field in range(6 + 4 * len(lengths)):
        if field >= 6:
            break
        value, length = total, 32
        if field == 1:
            value, length = 7, 5
        elif field > 1:
            length = 4
            value = 2 if field == 2 else (3 if field == 3 else (7 if field == 4 else 15))
        for bit in range(length - 1, -1, -1):
            packed[position // 8] |= ((value >> bit) & 1) << (7 - position % 8)
            position += 1
    for run in range(len(lengths)):
        left = lengths[run]
        while left > 0:
            length = min(left, most)
            record = (np.int64(7) << 24) | ((length - 1) << 8) | words[run]
            for bit in range(26, -1, -1):
                packed[position // 8] |= ((record >> bit) & 1) << (7 - position % 8)
                position += 1
            left -= length
    return packed
