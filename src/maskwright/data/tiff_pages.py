"""One page of a TIFF file, decoding only the strips or tiles that a window meets.

Pixels that lie in the file as they are (no compression, in one piece) are mapped, for one window at
a time: a map that stays would count as memory of this process, page by page.

A strip or tile that unpacks to more than its page says is refused before it is unpacked whole: a
few megabytes of Deflate can hold gigabytes.
"""

from __future__ import annotations

import lzma
import struct
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from maskwright.errors import ImageError
from maskwright.structures import Size

if TYPE_CHECKING:
    import tifffile

__all__ = ["ORIENTATION_TAG", "TIFF_ERRORS", "Box", "TiffPage", "can_be_decoded"]

Box = tuple[int, int, int, int]
"""(x1, y1, x2, y2) in pixels, ends exclusive."""

# What tifffile's decoders raise on damaged files, found by feeding them mutated pictures.
TIFF_ERRORS = (
    ValueError,
    OSError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    ZeroDivisionError,
    AttributeError,
    NotImplementedError,
    ImportError,  # a decoder that this Python does not bring (Zstandard before 3.14)
    struct.error,
    zlib.error,
    lzma.LZMAError,
)
ORIENTATION_TAG = 274

_KEPT_BYTES = 64 * 2**20
"""Decoded chunks that are kept for the windows beside and below; more where one window needs it."""

_UNCOMPRESSED, _OLD_JPEG, _JPEG, _DEFLATE, _LZMA = 1, 6, 7, (8, 32946, 50013), 34925

_LARGEST_CHUNK = 256 * 2**20
"""What a strip or tile may hold even if its picture is smaller."""

_HARMLESS_BYTES = 64 * 2**20
"""What a chunk may unpack to without being looked at first."""
_MOST_PER_BYTE = {**dict.fromkeys(_DEFLATE, 1032), _LZMA: 10_000}
"""Bytes that one stored byte can unpack to: zlib's own figure; xz on zeros gives about 7,000."""


class TiffPage:
    """Windows of one page of an open TIFF file, as stored.

    Args:
        path: Where it is, for messages and maps.
        file: The open file; it stays open.
        page: One of its pages, of one plane in depth.
    """

    def __init__(self, path: Path, file: tifffile.TiffFile, page: Any) -> None:
        self._path = path
        self._page = page
        self._byteorder = file.byteorder
        self._is_mapped = bool(page.is_memmappable and page.is_contiguous)
        rows = page.tilelength if page.is_tiled else min(page.rowsperstrip, page.imagelength)
        self._chunk_size = (rows, page.tilewidth if page.is_tiled else page.imagewidth)
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict()

    @property
    def image_size(self) -> Size:
        """(height, width) in pixels."""
        return self._page.imagelength, self._page.imagewidth

    @property
    def samples(self) -> int:
        """Values per pixel, alpha among them."""
        return int(self._page.samplesperpixel)

    @property
    def band_rows(self) -> int:
        """Rows to read at a time so that few chunks are decoded twice."""
        return max(self._chunk_size[0] if not self._is_mapped else 0, 256)

    def read(self, box: Box, samples: int) -> np.ndarray:
        """Return the first `samples` values of the pixels inside a box, (h, w, samples).

        Raises:
            ImageError: The file is damaged.
        """
        try:
            return self._mapped(box, samples) if self._is_mapped else self._decoded(box, samples)
        except TIFF_ERRORS as error:
            raise ImageError(
                f"{self._path}: damaged or truncated picture ({error}); copy or export it anew"
            ) from error

    def forget(self) -> None:
        """Drop all chunks that are kept."""
        self._kept.clear()

    def _mapped(self, box: Box, wanted: int) -> np.ndarray:
        x1, y1, x2, y2 = box
        page = self._page
        height, width, samples = page.imagelength, page.imagewidth, page.samplesperpixel
        is_planar = page.planarconfig == 2 and samples > 1
        pixels = np.memmap(
            self._path,
            np.dtype(page.dtype).newbyteorder(self._byteorder),
            "r",
            page.dataoffsets[0],
            (samples, height, width) if is_planar else (height, width, samples),
        )
        if is_planar:
            return np.array(np.moveaxis(pixels[:wanted, y1:y2, x1:x2], 0, -1), page.dtype)
        return np.array(pixels[y1:y2, x1:x2, :wanted], page.dtype)

    def _decoded(self, box: Box, samples: int) -> np.ndarray:
        x1, y1, x2, y2 = box
        pixels = np.zeros((y2 - y1, x2 - x1, samples), self._page.dtype)
        needed = list(self._chunks_of(box, samples))
        for number, plane, (left, top) in needed:
            chunk = self._chunk(number)
            u1, v1 = max(x1, left), max(y1, top)
            u2, v2 = min(x2, left + chunk.shape[1]), min(y2, top + chunk.shape[0])
            piece = chunk[v1 - top : v2 - top, u1 - left : u2 - left]
            target = pixels[v1 - y1 : v2 - y1, u1 - x1 : u2 - x1]
            if plane is None:
                target[:] = piece[..., :samples]
            else:
                target[..., plane] = piece[..., 0]
        self._forget_oldest(len(needed))
        return pixels

    def _chunks_of(
        self, box: Box, samples: int
    ) -> Iterator[tuple[int, int | None, tuple[int, int]]]:
        """Number, plane (None: all in one) and (x, y) of each chunk that a box meets."""
        x1, y1, x2, y2 = box
        height, width = self._chunk_size
        per_row = -(-self._page.imagewidth // width)
        per_plane = per_row * -(-self._page.imagelength // height)
        is_planar = self._page.planarconfig == 2 and self._page.samplesperpixel > 1
        planes = range(samples) if is_planar else [None]
        for plane in planes:
            for row in range(y1 // height, -(-y2 // height)):
                for column in range(x1 // width, -(-x2 // width)):
                    number = (plane or 0) * per_plane + row * per_row + column
                    yield number, plane, (column * width, row * height)

    def _chunk(self, number: int) -> np.ndarray:
        """A decoded chunk, (h, w, samples); the last ones are kept."""
        if number in self._kept:
            self._kept.move_to_end(number)
            return self._kept[number]
        chunk = _decode(self._page, number)
        self._kept[number] = chunk
        return chunk

    def _forget_oldest(self, needed: int) -> None:
        """Drop the chunks used longest ago, but none that the last window needed."""
        kept = sum(chunk.nbytes for chunk in self._kept.values())
        while kept > _KEPT_BYTES and len(self._kept) > needed:
            kept -= self._kept.popitem(last=False)[1].nbytes


def can_be_decoded(page: Any) -> bool:
    """Whether tifffile has the decoder of a page: it says so only when a chunk is decoded."""
    if page.compression == _UNCOMPRESSED:
        return True
    if page.compression in (_OLD_JPEG, _JPEG):
        return False  # JPEG stores YCbCr under several names; others convert it as is customary
    return bool(_decode(page, 0).size)


def _decode(page: Any, number: int) -> np.ndarray:
    """Read and decode one chunk: what of it lies inside the picture, (h, w, samples)."""
    handle = page.parent.filehandle
    count = page.databytecounts[number]
    if page.dataoffsets[number] + count > handle.size:  # before room is made for it
        raise ValueError(f"strip or tile {number} reaches beyond the file")
    if _room(page) > max(_LARGEST_CHUNK, 4 * page.nbytes):
        raise ValueError(f"its strips or tiles are said to be of {_room(page)} bytes each")
    handle.seek(page.dataoffsets[number])
    stored = handle.read(count) if count else None
    if stored is not None and len(stored) < count:
        raise ValueError(f"ends within strip or tile {number}")
    if stored is not None:
        _refuse_bombs(page, stored, number)
    chunk, _, (_, height, width, samples) = page.decode(stored, number)
    if chunk is None:  # left out of the file: all background
        return np.full((height, width, samples), page.nodata, page.dtype)
    decoded: np.ndarray = chunk[0, :height, :width]
    return decoded


def _room(page: Any) -> int:
    """Bytes of a whole strip or tile, unpacked."""
    if page.is_tiled:
        rows, columns = page.tilelength, page.tilewidth
    else:
        rows, columns = min(page.rowsperstrip, page.imagelength), page.imagewidth
    samples = 1 if page.planarconfig == 2 else page.samplesperpixel
    return int(rows) * int(columns) * int(samples) * int(page.dtype.itemsize)


def _refuse_bombs(page: Any, stored: bytes, number: int) -> None:
    """Raise a ValueError for a chunk that unpacks to much more than its page has room for."""
    if len(stored) * _MOST_PER_BYTE.get(page.compression, 1) <= _HARMLESS_BYTES:
        return
    room = max(_room(page), _HARMLESS_BYTES)
    if page.compression == _LZMA:
        unpacked = lzma.LZMADecompressor(memlimit=room + 2**28).decompress(stored, room + 1)
    else:
        unpacked = zlib.decompressobj().decompress(stored, room + 1)
    if len(unpacked) > room:
        raise ValueError(f"strip or tile {number} unpacks to more than {room} bytes")
