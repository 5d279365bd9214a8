"""Windows of a TIFF file, decoding only the strips or tiles that a window meets.

Pixels that lie in the file as they are (no compression, in one piece) are mapped, for one window at
a time: a map that stays would count as memory of this process, page by page.
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
from jaxtyping import UInt8

from maskwright.data.images import scale_16_bit, top_of_16_bit
from maskwright.data.windows import Box, PictureWindows, require_inside
from maskwright.errors import ImageError
from maskwright.structures import Size

if TYPE_CHECKING:
    import tifffile

__all__ = ["TiffWindows", "open_tiff_windows"]

_KEPT_BYTES = 64 * 2**20
"""Decoded chunks that are kept for the windows beside and below; more where one window needs it."""

_DECODE_ERRORS = (ValueError, OSError, IndexError, struct.error, zlib.error, lzma.LZMAError)
_ORIENTATION_TAG = 274
_EXTRA_SAMPLES_TAG = 338
_PREMULTIPLIED = 1


def open_tiff_windows(path: Path) -> TiffWindows | None:
    """Return windows of a file's first page; None where tifffile cannot read it as we do."""
    import tifffile

    try:
        file = tifffile.TiffFile(path)
    except (tifffile.TiffFileError, *_DECODE_ERRORS):
        return None
    try:
        page = file.pages.first
        if _is_plain(page) and _can_be_decoded(page):
            return TiffWindows(path, file)
    except _DECODE_ERRORS:
        pass  # a damaged file: `read_image` says what is wrong with it
    file.close()
    return None


class TiffWindows(PictureWindows):
    """Windows of the first page of an open TIFF file.

    Args:
        path: Where it is.
        file: The open file; it is closed with the windows.
    """

    def __init__(self, path: Path, file: tifffile.TiffFile) -> None:
        self._path = path
        self._file = file
        page: Any = file.pages.first
        self._page = page
        self._is_mapped = bool(page.is_memmappable and page.is_contiguous)
        rows = page.tilelength if page.is_tiled else min(page.rowsperstrip, page.imagelength)
        self._chunk_size = (rows, page.tilewidth if page.is_tiled else page.imagewidth)
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict()
        self._top = 255 if page.dtype == np.uint8 else top_of_16_bit(self._highest())

    @property
    def image_size(self) -> Size:
        """(height, width) of the whole picture in pixels."""
        return self._page.imagelength, self._page.imagewidth

    def read(self, box: Box) -> UInt8[np.ndarray, "h w 3"]:
        """Return what lies inside a box; see `PictureWindows.read`."""
        pixels = self._pixels(require_inside(box, self.image_size))
        if pixels.dtype != np.uint8:
            pixels = scale_16_bit(pixels, self._top)
        if pixels.shape[2] == 1:
            return np.repeat(pixels, 3, axis=2)
        return np.ascontiguousarray(pixels)

    def close(self) -> None:
        """Close the file."""
        self._kept.clear()
        self._file.close()

    def _pixels(self, box: Box) -> np.ndarray:
        """What lies inside a box as stored, (h, w, 1 or 3): without alpha."""
        try:
            return self._mapped(box) if self._is_mapped else self._decoded(box)
        except _DECODE_ERRORS as error:
            raise ImageError(
                f"{self._path}: damaged or truncated picture ({error}); copy or export it anew"
            ) from error

    def _mapped(self, box: Box) -> np.ndarray:
        x1, y1, x2, y2 = box
        page = self._page
        height, width, samples = page.imagelength, page.imagewidth, page.samplesperpixel
        is_planar = page.planarconfig == 2 and samples > 1
        pixels = np.memmap(
            self._path,
            np.dtype(page.dtype).newbyteorder(self._file.byteorder),
            "r",
            page.dataoffsets[0],
            (samples, height, width) if is_planar else (height, width, samples),
        )
        if is_planar:
            return np.array(np.moveaxis(pixels[:3, y1:y2, x1:x2], 0, -1))
        return np.array(pixels[y1:y2, x1:x2, : 3 if samples >= 3 else 1])

    def _decoded(self, box: Box) -> np.ndarray:
        x1, y1, x2, y2 = box
        samples = 3 if self._page.samplesperpixel >= 3 else 1
        pixels = np.zeros((y2 - y1, x2 - x1, samples), self._page.dtype)
        needed = list(self._chunks_of(box))
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
        self._forget(len(needed))
        return pixels

    def _chunks_of(self, box: Box) -> Iterator[tuple[int, int | None, tuple[int, int]]]:
        """Number, plane (None: all in one) and (x, y) of each chunk that a box meets."""
        x1, y1, x2, y2 = box
        height, width = self._chunk_size
        per_row = -(-self._page.imagewidth // width)
        per_plane = per_row * -(-self._page.imagelength // height)
        is_planar = self._page.planarconfig == 2 and self._page.samplesperpixel > 1
        planes = range(min(self._page.samplesperpixel, 3)) if is_planar else [None]
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

    def _forget(self, needed: int) -> None:
        """Drop the chunks used longest ago, but none that the last window needed."""
        kept = sum(chunk.nbytes for chunk in self._kept.values())
        while kept > _KEPT_BYTES and len(self._kept) > needed:
            kept -= self._kept.popitem(last=False)[1].nbytes

    def _highest(self) -> int:
        """The highest colour value of the picture, or the first found that is above 4095."""
        height, width = self.image_size
        step = max(self._chunk_size[0] if not self._is_mapped else 0, 256)
        highest = 0
        for y in range(0, height, step):
            highest = max(highest, int(self._pixels((0, y, width, min(y + step, height))).max()))
            if highest > 4095:
                break
        return highest


def _is_plain(page: Any) -> bool:
    """8 or 16 bits of grey, RGB or RGBA, as stored: what needs no conversion of colours."""
    samples, photometric = page.samplesperpixel, page.photometric
    is_grey = photometric == 1 and samples == 1
    is_colour = photometric == 2 and samples in (3, 4)
    orientation = page.tags.valueof(_ORIENTATION_TAG, default=1)
    extra = page.tags.valueof(_EXTRA_SAMPLES_TAG, default=0)
    extra = extra[0] if isinstance(extra, tuple) else extra
    return (
        (is_grey or is_colour)
        and page.dtype in (np.uint8, np.uint16)
        and page.bitspersample in (8, 16)
        and page.imagedepth == 1
        and orientation == 1
        and extra != _PREMULTIPLIED
        and len(page.dataoffsets) > 0
    )


def _can_be_decoded(page: Any) -> bool:
    """Whether tifffile has the decoder: it says so only when a chunk is decoded."""
    if page.compression == 1:
        return True
    if page.compression in (6, 7):
        return False  # JPEG stores YCbCr under several names; others convert it as is customary
    return bool(_decode(page, 0).size)


def _decode(page: Any, number: int) -> np.ndarray:
    """Read and decode one chunk: what of it lies inside the picture, (h, w, samples)."""
    handle = page.parent.filehandle
    handle.seek(page.dataoffsets[number])
    count = page.databytecounts[number]
    stored = handle.read(count) if count else None
    if stored is not None and len(stored) < count:
        raise ValueError(f"ends within strip or tile {number}")
    chunk, _, (_, height, width, samples) = page.decode(stored, number)
    if chunk is None:  # left out of the file: all background
        return np.full((height, width, samples), page.nodata, page.dtype)
    decoded: np.ndarray = chunk[0, :height, :width]
    return decoded
