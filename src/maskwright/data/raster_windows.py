"""Windows of a TIFF file by rasterio, where that is installed (`maskwright[geo]`).

It decodes what tifffile alone does not: LZW, JPEG, ZSTD, LERC and more.
"""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from maskwright.data.images import scale_16_bit, top_of_16_bit
from maskwright.data.windows import Box, PictureWindows, require_inside
from maskwright.errors import ImageError
from maskwright.structures import Size

__all__ = ["RasterWindows", "open_raster_windows"]

_ORIENTATION_TAG = 274


def open_raster_windows(path: Path) -> RasterWindows | None:
    """Return windows of a file; None without rasterio, or where it would not read it as we do."""
    if find_spec("rasterio") is None:
        return None
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioIOError

    if _is_turned(path):  # rasterio does not look at that
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            dataset = rasterio.open(path)
        except RasterioIOError:
            return None  # `read_image` says what is wrong with it
    if _is_plain(dataset):
        return RasterWindows(path, dataset)
    dataset.close()
    return None


class RasterWindows(PictureWindows):
    """Windows of an open rasterio dataset.

    Args:
        path: Where it is.
        dataset: Open for reading; it is closed with the windows.
    """

    def __init__(self, path: Path, dataset: Any) -> None:
        self._path = path
        self._dataset = dataset
        self._bands = [1, 2, 3] if dataset.count >= 3 else [1]
        self._top = 255 if dataset.dtypes[0] == "uint8" else top_of_16_bit(self._highest())

    @property
    def image_size(self) -> Size:
        """(height, width) of the whole picture in pixels."""
        return self._dataset.height, self._dataset.width

    def read(self, box: Box) -> UInt8[np.ndarray, "h w 3"]:
        """Return what lies inside a box; see `PictureWindows.read`."""
        pixels = np.moveaxis(self._pixels(require_inside(box, self.image_size)), 0, -1)
        if pixels.dtype != np.uint8:
            pixels = scale_16_bit(pixels, self._top)
        if pixels.shape[2] == 1:
            return np.repeat(pixels, 3, axis=2)
        return np.ascontiguousarray(pixels)

    def close(self) -> None:
        """Close the file."""
        self._dataset.close()

    def _pixels(self, box: Box) -> np.ndarray:
        from rasterio.errors import RasterioIOError

        x1, y1, x2, y2 = box
        try:
            pixels: np.ndarray = self._dataset.read(self._bands, window=((y1, y2), (x1, x2)))
        except RasterioIOError as error:
            raise ImageError(
                f"{self._path}: damaged or truncated picture ({error}); copy or export it anew"
            ) from error
        return pixels

    def _highest(self) -> int:
        """The highest colour value of the picture, or the first found that is above 4095."""
        height, width = self.image_size
        highest = 0
        for y in range(0, height, 256):
            highest = max(highest, int(self._pixels((0, y, width, min(y + 256, height))).max()))
            if highest > 4095:
                break
        return highest


def _is_turned(path: Path) -> bool:
    """Whether the first page says that it is stored on its side or mirrored, or cannot tell."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            orientation = file.pages.first.tags.valueof(_ORIENTATION_TAG, default=1)
    except (tifffile.TiffFileError, ValueError, OSError, IndexError):
        return True
    return bool(orientation != 1)


def _is_plain(dataset: Any) -> bool:
    """8 or 16 bits of grey, RGB or RGBA."""
    colours = [colour.name for colour in dataset.colorinterp]
    is_known = colours == ["gray"] or colours[:3] == ["red", "green", "blue"]
    return is_known and len(colours) <= 4 and set(dataset.dtypes) in ({"uint8"}, {"uint16"})
