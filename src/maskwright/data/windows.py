"""Parts of a picture, read when they are asked for: for pictures larger than memory.

A window's pixels are those of `read_image`, cut out. TIFF files are read window by window where
tifffile can decode them (uncompressed, Deflate, LZMA and PackBits by itself; more with its
imagecodecs) or else rasterio, where that is installed. What makes a picture special (a palette,
CMYK, white as zero, premultiplied alpha, EXIF turns, floats) and every other format is decoded once
and kept in memory.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

import numpy as np
from jaxtyping import Shaped
from PIL import Image

from maskwright.data.images import read_image
from maskwright.data.pixel_format import PixelFormat, read_picture
from maskwright.data.tiff_pages import Box
from maskwright.errors import ImageError
from maskwright.structures import Size

__all__ = ["ArrayWindows", "Box", "PictureWindows", "open_windows"]

_TIFF_SUFFIXES = (".tif", ".tiff")


class PictureWindows(ABC):
    """A picture of which windows can be read; close it, or use it in a `with` statement."""

    @property
    @abstractmethod
    def image_size(self) -> Size:
        """(height, width) of the whole picture in pixels."""

    @abstractmethod
    def read(self, box: Box) -> Shaped[np.ndarray, "h w c"]:
        """Return what lies inside a box, RGB or as stored; the array is the caller's own.

        Raises:
            ImageError: A box that is empty or reaches beyond the picture, or a damaged file.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of the file, where there is one."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class ArrayWindows(PictureWindows):
    """Windows of a picture in memory.

    Args:
        image: (h, w, 3) uint8 RGB, or (h, w, c) as stored; may be a memory map.
    """

    def __init__(self, image: Shaped[np.ndarray, "h w c"]) -> None:
        self._image = image

    @property
    def image_size(self) -> Size:
        """(height, width) of the whole picture in pixels."""
        return self._image.shape[0], self._image.shape[1]

    def read(self, box: Box) -> Shaped[np.ndarray, "h w c"]:
        """Return what lies inside a box; see `PictureWindows.read`."""
        x1, y1, x2, y2 = require_inside(box, self.image_size)
        return np.array(self._image[y1:y2, x1:x2])

    def close(self) -> None:
        """Do nothing: the picture is in memory."""


def open_windows(path: str | Path, pixels: PixelFormat | None = None) -> PictureWindows:
    """Open a picture file to read windows of it.

    16-bit values are scaled by the rule of `read_image`, which asks for the highest value of the
    whole picture: a 16-bit TIFF is gone through once for it, part by part, when it is opened, until
    a value above 4095 is met. So all windows are scaled alike, and as the whole picture would be.

    Args:
        path: The picture file.
        pixels: How it is read; None makes RGB of 8 bits. With a format, the windows are those of
            `read_picture`: uncompressed, Deflate, LZMA and PackBits TIFF in parts, others whole.

    Raises:
        ImageError: As `read_image`, or `read_picture`.
    """
    path = Path(path)
    if pixels is not None:
        return _open_stored_windows(path, pixels)
    if path.suffix.lower() in _TIFF_SUFFIXES and path.is_file():
        from maskwright.data.raster_windows import open_raster_windows
        from maskwright.data.tiff_windows import open_tiff_windows

        windows = open_tiff_windows(path) or open_raster_windows(path)
        if windows is not None:
            return windows
    try:
        return ArrayWindows(read_image(path))
    except ImageError as error:
        if path.suffix.lower() in _TIFF_SUFFIXES and _has_too_many_pixels(error):
            raise ImageError(
                f"{path}: too large to be decoded whole, and its compression or colours cannot be "
                "read in parts: pip install 'maskwright[geo]', or save it as RGB or grey with "
                "Deflate or no compression"
            ) from error
        raise


def _open_stored_windows(path: Path, pixels: PixelFormat) -> PictureWindows:
    from maskwright.data.stored_windows import open_stored_windows

    windows = open_stored_windows(path, pixels)
    return ArrayWindows(read_picture(path, pixels)) if windows is None else windows


def _has_too_many_pixels(error: ImageError) -> bool:
    return isinstance(error.__cause__, Image.DecompressionBombError)


def require_inside(box: Box, image_size: Size) -> Box:
    """Return the box; an ImageError where it is empty or reaches beyond the picture."""
    x1, y1, x2, y2 = box
    height, width = image_size
    if not (0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height):
        raise ImageError(
            f"a window must hold pixels of the {height} x {width} picture (height x width) and "
            f"none beyond it, got {box} (x1, y1, x2, y2)"
        )
    return box
