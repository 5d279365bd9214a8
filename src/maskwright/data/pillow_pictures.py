"""What Pillow and OpenCV read of a picture as it is stored, and what is said of it beforehand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from PIL import ImageFile

from maskwright.data.images import (
    DECODE_ERRORS,
    has_16_bit_colour,
    open_picture,
    orientation_of,
    unreadable,
)
from maskwright.errors import ImageError
from maskwright.structures import Size

__all__ = ["StoredPicture", "Values", "describe_with_pillow", "read_with_pillow"]

Values = Literal["uint8", "uint16", "float32"]

# Mode of Pillow -> channels and whether the last is alpha; others become RGB.
_MODES = {
    "1": (1, False),
    "L": (1, False),
    "LA": (2, True),
    "RGB": (3, False),
    "RGBA": (4, True),
}


@dataclass(frozen=True, kw_only=True)
class StoredPicture:
    """What a file says about its picture before any pixel is decoded.

    Args:
        size: Stored (height, width) in pixels.
        orientation: Of EXIF, 1 to 8.
        channels: Values per pixel, alpha and all pages of a stack included.
        values: Their type, once read.
        pages: Pages that make up the channels.
        has_alpha: The last channel of each page says how opaque it is.
    """

    size: Size
    orientation: int
    channels: int
    values: Values
    pages: int = 1
    has_alpha: bool = False

    @property
    def is_8_bit_colour(self) -> bool:
        """Whether `read_image` loses nothing but alpha: 8 bits of grey or RGB on one page."""
        colours = self.channels - self.has_alpha
        return self.values == "uint8" and self.pages == 1 and colours in (1, 3)


def describe_with_pillow(image: ImageFile.ImageFile) -> StoredPicture:
    """Return what an open picture says."""
    channels, has_alpha = _MODES.get(image.mode, (3, False))
    values: Values = "uint8"
    if image.mode == "F":
        channels, values = 1, "float32"
    elif image.mode == "I" or image.mode.startswith("I;"):
        channels, values = 1, "uint16"
    elif has_16_bit_colour(image):
        values = "uint16"
    return StoredPicture(
        size=(image.height, image.width),
        orientation=orientation_of(image),
        channels=channels,
        values=values,
        has_alpha=has_alpha,
    )


def read_with_pillow(path: Path, page: int | None) -> np.ndarray:
    """Return (h, w, c) of a file or a page of it as stored, not yet upright.

    Raises:
        ImageError: It cannot be read.
    """
    with open_picture(path) as image:
        try:
            if page is not None:
                image.seek(page)
            is_cut = has_16_bit_colour(image)  # known until the pixels are loaded
            image.load()
            if is_cut and image.mode != "I;16":
                return _read_16_bit_colour(path, _MODES.get(image.mode, (3, False))[0])
            if image.mode in _MODES or image.mode == "F" or image.mode.startswith("I"):
                pixels = np.asarray(image)
            else:
                pixels = np.asarray(image.convert("RGB"))
        except DECODE_ERRORS as error:
            raise unreadable(path, error) from error
    if image.mode == "I" and pixels.min(initial=0) >= 0 and pixels.max(initial=0) <= 65535:
        pixels = pixels.astype(np.uint16)  # how Pillow hands out 16-bit PGM
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


def _read_16_bit_colour(path: Path, channels: int) -> np.ndarray:
    pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16:
        raise ImageError(f"{path}: damaged or truncated 16-bit picture; copy or export it anew")
    if pixels.ndim == 2:
        return pixels[:, :, None]
    if channels == 2:  # OpenCV repeats the grey of grey and alpha
        return pixels[:, :, [0, -1]]
    return pixels[:, :, [2, 1, 0, 3][: pixels.shape[2]]]
