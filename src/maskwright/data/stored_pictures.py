"""Pictures as they are stored: any number of channels, 8 or 16 bits or floats, TIFF stacks.

`read_image` makes RGB of 8 bits of every picture; here nothing is scaled and nothing cut:

- 8 and 16 bits stay; black and white is 0 and 255; palettes, CMYK and YCbCr become RGB, for their
  numbers mean nothing by themselves;
- every other type (signed, 32 bits, doubles) becomes float32. Whole numbers that float32 cannot
  hold exactly, NaN and infinity are errors: no statistic of such a picture would mean anything;
- pages of a TIFF of one size and type are channels, in their order; `x.tif[2]` names page 2 of
  `x.tif`, counted from 0, as a picture of its own. Pages of other sizes (thumbnails, the levels of
  a pyramid) are left out;
- EXIF orientation is applied as `read_image` does.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Shaped

from maskwright.data.images import (
    DECODE_ERRORS,
    is_upright_wanted,
    open_picture,
    split_page,
    unreadable,
)
from maskwright.data.pillow_pictures import (
    StoredPicture,
    Values,
    describe_with_pillow,
    read_with_pillow,
)
from maskwright.data.tiff_pages import TIFF_ERRORS
from maskwright.data.tiff_stacks import TiffStack
from maskwright.errors import ImageError
from maskwright.structures import Size

if TYPE_CHECKING:
    pass

__all__ = [
    "StoredPicture",
    "Values",
    "as_stored_values",
    "is_page",
    "look_at_picture",
    "pages_of",
    "read_stored",
]

_TIFF_SUFFIXES = (".tif", ".tiff")
_EXACT_IN_FLOAT32 = 2**24


def look_at_picture(path: str | Path) -> StoredPicture:
    """Return what the file says about its picture; decodes no pixels.

    Raises:
        ImageError: The file is missing or damaged, has no such page, or claims more pixels than
            Pillow's decompression limit.
    """
    file_path, page = split_page(path)
    if file_path.suffix.lower() in _TIFF_SUFFIXES and file_path.is_file():
        with TiffStack(file_path, page) as tiff:
            if tiff.is_for_us:
                return tiff.describe()
    elif page is not None:
        raise ImageError(f"{file_path}: no such picture, its page {page} was wanted")
    with open_picture(file_path) as image:
        try:
            if page is not None:
                image.seek(page)
            return describe_with_pillow(image)
        except DECODE_ERRORS as error:
            raise unreadable(Path(path), error) from error


def is_page(path: str | Path) -> bool:
    """Whether a name such as "x.tif[3]" means a page of a file that is there."""
    file_path, page = split_page(path)
    return page is not None and file_path.is_file()


def pages_of(path: str | Path) -> list[Path]:
    """Return the names of all pages of a TIFF file, as pictures of their own.

    Raises:
        ImageError: It is no TIFF file.
    """
    import tifffile

    path = Path(path)
    try:
        with tifffile.TiffFile(path) as file:
            count = len(file.pages)
    except (tifffile.TiffFileError, *TIFF_ERRORS) as error:
        raise ImageError(f"{path}: no TIFF file whose pages could be named ({error})") from error
    return [path.with_name(f"{path.name}[{page}]") for page in range(count)]


def read_stored(
    path: str | Path, *, expected_size: Size | None = None
) -> Shaped[np.ndarray, "h w c"]:
    """Read a picture upright, as uint8, uint16 or float32; the array is the caller's own.

    Args:
        path: The picture file, or a page of one.
        expected_size: As for `read_image`.

    Raises:
        ImageError: As `look_at_picture` and `read_image`; values that float32 cannot hold, NaN or
            infinity; or a compression that needs the extra geo.
    """
    stored = look_at_picture(path)
    is_upright = is_upright_wanted(Path(path), stored.size, stored.orientation, expected_size)
    file_path, page = split_page(path)
    pixels = None
    if file_path.suffix.lower() in _TIFF_SUFFIXES:
        with TiffStack(file_path, page) as tiff:
            if tiff.is_for_us:
                pixels = tiff.read()
    if pixels is None:
        pixels = read_with_pillow(file_path, page)
    values = as_stored_values(pixels, str(path))
    if is_upright:
        values = _turned(values, stored.orientation)
    return np.require(values, requirements=["C", "W", "O"])


def as_stored_values(pixels: np.ndarray, where: str) -> np.ndarray:
    """Return pixels as uint8, uint16 or float32, the same numbers.

    Raises:
        ImageError: They cannot be held exactly, or are not finite.
    """
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * np.uint8(255)
    if pixels.dtype in (np.uint8, np.uint16):
        return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    if pixels.dtype.kind not in "iuf":
        raise ImageError(f"{where}: pixels are {pixels.dtype}, wanted whole numbers or floats")
    if pixels.dtype.kind in "iu":
        if pixels.size and max(abs(int(pixels.min())), int(pixels.max())) > _EXACT_IN_FLOAT32:
            raise ImageError(
                f"{where}: pixels are {pixels.dtype} from {pixels.min()} to {pixels.max()}, which "
                f"32-bit floats cannot hold exactly: scale them below {_EXACT_IN_FLOAT32}"
            )
    elif not np.isfinite(pixels).all():
        count = int((~np.isfinite(pixels)).sum())
        raise ImageError(
            f"{where}: {count} of its {pixels.size} values are NaN or infinite: give them a number "
            "(that of the background, say) and save it again"
        )
    with np.errstate(over="ignore"):
        values = pixels.astype(np.float32)
    if not np.isfinite(values).all():
        raise ImageError(
            f"{where}: pixels are {pixels.dtype} from {pixels.min()} to {pixels.max()}, beyond the "
            "range of 32-bit floats: scale them"
        )
    return values


def _turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn a stored picture upright: EXIF 2.32, tag Orientation."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels
