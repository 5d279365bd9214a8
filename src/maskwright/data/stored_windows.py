"""Windows of a TIFF stack as it is stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from maskwright.data.images import split_page
from maskwright.data.pixel_format import PixelFormat, check_pixels
from maskwright.data.stored_pictures import as_stored_values
from maskwright.data.tiff_pages import Box, TiffPage
from maskwright.data.tiff_stacks import TiffStack
from maskwright.data.windows import PictureWindows, require_inside
from maskwright.structures import Size

__all__ = ["StoredWindows", "open_stored_windows"]


def open_stored_windows(path: Path, pixels: PixelFormat) -> StoredWindows | None:
    """Return windows of a TIFF; None where it, or a part of it, must be read whole."""
    file_path, page = split_page(path)
    if file_path.suffix.lower() not in (".tif", ".tiff") or not file_path.is_file():
        return None
    stack = TiffStack(file_path, page).__enter__()
    readers = stack.readers() if stack.is_for_us else None
    if readers is None:
        stack.close()
        return None
    return StoredWindows(path, stack, readers, pixels)


class StoredWindows(PictureWindows):
    """Windows of the pages of an open TIFF, the pages as channels.

    Args:
        path: Where it is.
        stack: The open file; it is closed with the windows.
        pages: Its pages.
        pixels: What the windows must be.
    """

    def __init__(
        self, path: Path, stack: TiffStack, pages: list[TiffPage], pixels: PixelFormat
    ) -> None:
        self._path, self._stack, self._pages, self._pixels = path, stack, pages, pixels
        stored = stack.describe(is_read_whole=False)
        is_cut = stored.has_alpha and len(pages) == 1 and stored.channels == pixels.channels + 1
        self._samples = pages[0].samples - is_cut

    @property
    def image_size(self) -> Size:
        """(height, width) of the whole picture in pixels."""
        return self._pages[0].image_size

    def read(self, box: Box) -> Shaped[np.ndarray, "h w c"]:
        """Return what lies inside a box; see `PictureWindows.read`."""
        inside = require_inside(box, self.image_size)
        parts = [page.read(inside, self._samples) for page in self._pages]
        whole = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)
        values = as_stored_values(whole, str(self._path))
        check_pixels(values, self._pixels, str(self._path))
        return np.ascontiguousarray(values)

    def close(self) -> None:
        """Close the file."""
        for page in self._pages:
            page.forget()
        self._stack.close()
