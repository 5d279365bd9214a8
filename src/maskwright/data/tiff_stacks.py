"""TIFF files that Pillow would cut: stacks, many channels, 16 bits, floats."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from PIL import Image

from maskwright.data.pillow_pictures import StoredPicture, Values, read_with_pillow
from maskwright.data.tiff_pages import ORIENTATION_TAG, TIFF_ERRORS, TiffPage, can_be_decoded
from maskwright.errors import ImageError

if TYPE_CHECKING:
    import tifffile

__all__ = ["TiffStack"]

_WHITE_IS_ZERO, _GREY, _RGB = 0, 1, 2  # TIFF 6.0, PhotometricInterpretation
_ALPHA = (1, 2)  # TIFF 6.0, ExtraSamples: associated and unassociated
_MOST_CHANNELS = 512  # what OpenCV can resize


class TiffStack:
    """A TIFF that tifffile or rasterio reads: what Pillow would cut, and stacks.

    Args:
        path: The file.
        page: The page that is wanted; None for all of them.

    Attributes:
        is_for_us: Whether it is such a picture; damaged files and common ones are left to Pillow.
    """

    def __init__(self, path: Path, page: int | None) -> None:
        self._path, self._page = path, page
        self._pages: list[Any] = []
        self._numbers: list[int] = []
        self._file: tifffile.TiffFile | None = None
        self.is_for_us = False

    def __enter__(self) -> Self:
        import tifffile

        try:
            self._file = tifffile.TiffFile(self._path)
            self._collect()
        except (tifffile.TiffFileError, *TIFF_ERRORS):
            self.is_for_us = False
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def describe(self, *, is_read_whole: bool = True) -> StoredPicture:
        """Return what the pages say.

        Args:
            is_read_whole: Refuse more pixels than Pillow's decompression limit allows.

        Raises:
            ImageError: Too many pixels or channels.
        """
        first = self._pages[0]
        height, width = first.imagelength, first.imagewidth
        samples = int(first.samplesperpixel)
        channels = samples * len(self._pages)
        most = Image.MAX_IMAGE_PIXELS
        if is_read_whole and most is not None and height * width * max(1, channels / 4) > 2 * most:
            raise ImageError(
                f"{self._path}: refused, its header claims too many pixels ({height} x {width} of "
                f"{channels} channels); if that is true, raise PIL.Image.MAX_IMAGE_PIXELS"
            )
        if not 1 <= channels <= _MOST_CHANNELS:
            raise ImageError(
                f"{self._path}: {channels} channels ({len(self._pages)} pages of {samples}), "
                f"wanted at most {_MOST_CHANNELS}: if its pages are pictures of their own, name "
                f"{self._path.name}[0], {self._path.name}[1], ..."
            )
        values: Values = "float32"
        if first.dtype in (np.uint8, np.uint16):
            values = "uint8" if first.dtype == np.uint8 else "uint16"
        extra = first.extrasamples
        return StoredPicture(
            size=(height, width),
            orientation=self._orientation(),
            channels=channels,
            values=values,
            pages=len(self._pages),
            has_alpha=bool(len(extra)) and int(extra[-1]) in _ALPHA,
        )

    def read(self) -> np.ndarray:
        """Return (h, w, c) as stored, not yet upright.

        Raises:
            ImageError: The file is damaged, or its compression needs the extra geo.
        """
        self.describe()
        parts = []
        for number, page in zip(self._numbers, self._pages, strict=True):
            reader = self._reader(page)
            if reader is None:
                pixels = _read_otherwise(self._path, number, page)
            else:
                height, width = reader.image_size
                pixels = reader.read((0, 0, width, height), reader.samples)
            parts.append(_inverted(pixels) if _is_inverted(page) else pixels)
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)

    def readers(self) -> list[TiffPage] | None:
        """Return what reads windows of the pages; None where they must be read whole."""
        if any(_is_inverted(page) for page in self._pages) or self._orientation() != 1:
            return None
        readers = [self._reader(page) for page in self._pages]
        known = [reader for reader in readers if reader is not None]
        return known if len(known) == len(readers) else None

    def _reader(self, page: Any) -> TiffPage | None:
        """What reads a page; None where tifffile lacks the decoder."""
        assert self._file is not None
        try:
            return TiffPage(self._path, self._file, page) if can_be_decoded(page) else None
        except TIFF_ERRORS as error:
            if _is_damage(error):
                raise ImageError(
                    f"{self._path}: damaged or truncated picture ({error}); copy or export it anew"
                ) from error
            return None

    def _collect(self) -> None:
        assert self._file is not None
        count = len(self._file.pages)
        if self._page is not None:
            if self._page >= count:
                raise ImageError(f"{self._path}: has {count} pages, page {self._page} was wanted")
            self._numbers = [self._page]
        else:
            self._numbers = list(range(min(count, _MOST_CHANNELS + 1)))
        pages: list[Any] = [self._file.pages[number] for number in self._numbers]
        kept = [k for k, page in enumerate(pages) if not page.is_reduced] or [0]
        if len({_form(pages[k]) for k in kept}) > 1:
            kept = kept[:1]
        self._numbers = [self._numbers[k] for k in kept]
        self._pages = [pages[k] for k in kept]
        first = self._pages[0]
        is_known = first.photometric in (_GREY, _RGB) or first.dtype != np.uint8
        is_cut = (
            len(self._pages) > 1 or first.dtype != np.uint8 or first.samplesperpixel not in (1, 3)
        )
        self.is_for_us = bool(
            is_known and is_cut and first.bitspersample in (8, 16, 32, 64) and first.imagedepth == 1
        )

    def _orientation(self) -> int:
        value = self._pages[0].tags.valueof(ORIENTATION_TAG, default=1)
        return int(value) if value in range(1, 9) else 1


def _is_inverted(page: Any) -> bool:
    return bool(page.photometric == _WHITE_IS_ZERO and page.dtype.kind == "u")


def _inverted(pixels: np.ndarray) -> np.ndarray:
    inverted: np.ndarray = np.iinfo(pixels.dtype).max - pixels
    return inverted


def _form(page: Any) -> tuple[object, ...]:
    return page.imagelength, page.imagewidth, page.samplesperpixel, str(page.dtype)


def _is_damage(error: Exception) -> bool:
    """Whether it is not that tifffile lacks a decoder."""
    if isinstance(error, ImportError):
        return False
    return not (isinstance(error, ValueError) and "requires the 'imagecodecs'" in str(error))


def _read_otherwise(path: Path, number: int, page: Any) -> np.ndarray:
    """Read a page whose compression tifffile cannot undo: by rasterio, or by Pillow."""
    try:
        import rasterio
        from rasterio.errors import NotGeoreferencedWarning, RasterioError
    except ImportError:
        return _read_page_with_pillow(path, number, page)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(f"GTIFF_DIR:{number + 1}:{path}") as dataset:
                pixels: np.ndarray = np.moveaxis(dataset.read(), 0, -1)
    except RasterioError as error:
        raise ImageError(
            f"{path}: damaged or truncated picture ({error}); copy or export it anew"
        ) from error
    return pixels


def _read_page_with_pillow(path: Path, number: int, page: Any) -> np.ndarray:
    if page.samplesperpixel == 1:
        return read_with_pillow(path, number)
    raise ImageError(
        f"{path}: its compression ({page.compression.name}) needs rasterio: pip install "
        "'maskwright[geo]', or save it with Deflate or no compression"
    )
