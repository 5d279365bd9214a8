"""Windows of a TIFF file's first page, as RGB of 8 bits: what `read_image` gives, in parts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8

from maskwright.data.images import scale_16_bit, top_of_16_bit
from maskwright.data.tiff_pages import ORIENTATION_TAG, TIFF_ERRORS, TiffPage, can_be_decoded
from maskwright.data.windows import Box, PictureWindows, require_inside
from maskwright.structures import Size

if TYPE_CHECKING:
    import tifffile

__all__ = ["TiffWindows", "open_tiff_windows"]

_EXTRA_SAMPLES_TAG = 338
_PREMULTIPLIED = 1


def open_tiff_windows(path: Path) -> TiffWindows | None:
    """Return windows of a file's first page; None where tifffile cannot read it as we do."""
    import tifffile

    try:
        file = tifffile.TiffFile(path)
    except (tifffile.TiffFileError, *TIFF_ERRORS):
        return None
    try:
        page = file.pages.first
        if _is_plain(page) and can_be_decoded(page):
            return TiffWindows(path, file)
    except TIFF_ERRORS:
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
        self._file = file
        page: Any = file.pages.first
        self._page = TiffPage(path, file, page)
        self._samples = 3 if page.samplesperpixel >= 3 else 1  # without alpha
        self._top = 255 if page.dtype == np.uint8 else top_of_16_bit(self._highest())

    @property
    def image_size(self) -> Size:
        """(height, width) of the whole picture in pixels."""
        return self._page.image_size

    def read(self, box: Box) -> UInt8[np.ndarray, "h w 3"]:
        """Return what lies inside a box; see `PictureWindows.read`."""
        pixels = self._page.read(require_inside(box, self.image_size), self._samples)
        if pixels.dtype != np.uint8:
            pixels = scale_16_bit(pixels, self._top)
        if pixels.shape[2] == 1:
            return np.repeat(pixels, 3, axis=2)
        return np.ascontiguousarray(pixels)

    def close(self) -> None:
        """Close the file."""
        self._page.forget()
        self._file.close()

    def _highest(self) -> int:
        """The highest colour value of the picture, or the first found that is above 4095."""
        height, width = self.image_size
        step = self._page.band_rows
        highest = 0
        for y in range(0, height, step):
            band = self._page.read((0, y, width, min(y + step, height)), self._samples)
            highest = max(highest, int(band.max()))
            if highest > 4095:
                break
        return highest


def _is_plain(page: Any) -> bool:
    """8 or 16 bits of grey, RGB or RGBA, as stored: what needs no conversion of colours."""
    samples, photometric = page.samplesperpixel, page.photometric
    is_grey = photometric == 1 and samples == 1
    is_colour = photometric == 2 and samples in (3, 4)
    orientation = page.tags.valueof(ORIENTATION_TAG, default=1)
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
