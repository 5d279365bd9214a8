"""Reading one picture file, the same way everywhere: RGB, uint8, upright.

What is done to pictures that are not 8-bit RGB:

- grey, bilevel, palette, CMYK, YCbCr: converted to RGB;
- alpha: dropped, so the colours are those stored (most tools do the same);
- 16 bits per channel: divided by 4095 if no value of the picture is above it (12-bit sensors
  are stored that way), else by 65535, times 255, rounded;
- 32-bit floats and integers beyond 16 bits: refused, for no range can be assumed;
- several pages or frames: the first; "x.tif[2]" is page 2 of x.tif, counted from 0.

EXIF orientation is applied. Where a dataset states the size of a picture, that size decides
which frame its annotations are in (see `read_image`).
"""

from __future__ import annotations

import re
import struct
import warnings
import zlib
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Int64, Integer, UInt8
from PIL import Image, ImageFile, UnidentifiedImageError

from maskwright.errors import ImageError, ReducedDepthWarning

__all__ = [
    "DECODE_ERRORS",
    "IMAGE_SUFFIXES",
    "has_16_bit_colour",
    "is_turned_by_exif",
    "is_upright_wanted",
    "open_picture",
    "orientation_of",
    "read_image",
    "read_image_header",
    "read_label_image",
    "read_rgb_numbers",
    "scale_16_bit",
    "split_page",
    "top_of_16_bit",
    "unreadable",
]

_PAGE = re.compile(r"(?P<file>.+\.tiff?)\[(?P<page>\d{1,6})\]", re.IGNORECASE)

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
"""File endings, in lower case, that count as pictures when a folder is searched."""

_ORIENTATION_TAG = 0x0112
# EXIF 2.32, tag Orientation -> what turns the stored picture upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What Pillow's decoders raise on damaged files, found by feeding them mutated pictures.
DECODE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    OverflowError,
    TypeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


def read_image(
    path: str | Path, *, expected_size: tuple[int, int] | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """Read a picture as upright RGB uint8.

    Args:
        path: The picture file.
        expected_size: (height, width) that a dataset states for it. If only the stored picture
            has that size and the upright one has not, the EXIF orientation is not applied: the
            annotations were made on the stored picture.

    Raises:
        ImageError: The file is missing, truncated, of an unknown kind or of a range that cannot
            be assumed; its header claims more pixels than Pillow's decompression limit (raise
            `PIL.Image.MAX_IMAGE_PIXELS` to read it anyway); or it has not the expected size.
    """
    path, page = split_page(path)
    with open_picture(path) as image:
        try:
            if page is not None:
                image.seek(page)
            upright = is_upright_wanted(
                path, (image.height, image.width), orientation_of(image), expected_size
            )
            pixels = _to_rgb(path, image)
            turn = _UPRIGHT.get(orientation_of(image)) if upright else None
            if turn is not None:
                pixels = np.ascontiguousarray(Image.fromarray(pixels).transpose(turn))
        except DECODE_ERRORS as error:
            raise unreadable(path, error) from error
    return pixels


def read_image_header(path: str | Path) -> tuple[tuple[int, int], int]:
    """Return the stored (height, width) and the EXIF orientation (1 to 8), decoding no pixels.

    Raises:
        ImageError: As `read_image`, as far as the header tells.
    """
    path = Path(path)
    with open_picture(path) as image:
        try:
            return (image.height, image.width), orientation_of(image)
        except DECODE_ERRORS as error:
            raise unreadable(path, error) from error


def read_label_image(path: str | Path) -> Integer[np.ndarray, "h w"]:
    """Read a picture whose pixels are numbers: labels, palette indices, black and white.

    Nothing is scaled and no EXIF turn applied. Colour is taken where its channels are equal;
    RGB that codes numbers (panoptic maps) is for `read_rgb_numbers`.

    Raises:
        ImageError: The file cannot be read, or its pixels are fractions or colours.
    """
    path = Path(path)
    with open_picture(path) as image:
        try:
            pixels = np.asarray(image)
        except DECODE_ERRORS as error:
            raise unreadable(path, error) from error
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8)
    if pixels.ndim == 3:
        colours = pixels[:, :, : 1 if pixels.shape[2] == 2 else 3]
        if (colours != colours[:, :, :1]).any():
            raise ImageError(f"{path}: a colour picture; wanted one number per pixel: save it grey")
        pixels = np.ascontiguousarray(colours[:, :, 0])
    if pixels.dtype.kind not in "iu" or pixels.min(initial=0) < 0:
        raise ImageError(
            f"{path}: pixels are {pixels.dtype} from {pixels.min()}; wanted whole numbers from 0"
        )
    return pixels


def read_rgb_numbers(path: str | Path) -> Int64[np.ndarray, "h w"]:
    """Read a map that codes numbers in colours: red + 256 green + 65536 blue.

    Raises:
        ImageError: The file cannot be read or is not RGB.
    """
    path = Path(path)
    with open_picture(path) as image:
        try:
            pixels = np.asarray(image)
        except DECODE_ERRORS as error:
            raise unreadable(path, error) from error
    if pixels.ndim != 3 or pixels.shape[2] < 3 or pixels.dtype != np.uint8:
        raise ImageError(f"{path}: {pixels.shape} {pixels.dtype}; wanted 8-bit RGB")
    numbers: np.ndarray = pixels[:, :, :3].astype(np.int64) @ np.array([1, 256, 65536])
    return numbers


def is_turned_by_exif(
    stored_size: tuple[int, int], orientation: int, expected_size: tuple[int, int]
) -> bool | None:
    """Say whether EXIF orientation must be applied to get a picture of the expected size.

    None means that neither the upright nor the stored picture has that size. Where both have
    it (half turns, mirrored or square pictures), the upright one is taken: it is what people
    saw when they annotated.

    >>> is_turned_by_exif((480, 640), 6, (640, 480))
    True
    >>> is_turned_by_exif((480, 640), 6, (480, 640))
    False
    """
    upright_size = stored_size[::-1] if orientation >= 5 else stored_size
    if upright_size == tuple(expected_size):
        return orientation != 1
    return False if stored_size == tuple(expected_size) else None


def split_page(path: str | Path) -> tuple[Path, int | None]:
    """Return the file and the page that a name ending in .tif[3] means; a real file is itself.

    >>> split_page("cells/stack.tif[3]") == (Path("cells/stack.tif"), 3)
    True
    >>> split_page("cells/stack.tif") == (Path("cells/stack.tif"), None)
    True
    """
    path = Path(path)
    match = _PAGE.fullmatch(path.name)
    if match is None or path.exists():
        return path, None
    return path.with_name(match["file"]), int(match["page"])


def top_of_16_bit(highest: int) -> int:
    """Return the value that is white, for the highest value of the whole picture.

    >>> top_of_16_bit(4000), top_of_16_bit(4096)
    (4095, 65535)
    """
    return 4095 if highest <= 4095 else 65535


def scale_16_bit(values: np.ndarray, top: int) -> np.ndarray:
    """Return values from 0 to `top` as 0 to 255, uint8, rounded.

    The first time in a process it warns with `ReducedDepthWarning`.
    """
    _warn_of_reduced_depth()
    scaled: np.ndarray = np.rint(values * np.float32(255 / top)).astype(np.uint8)
    return scaled


@cache
def _warn_of_reduced_depth() -> None:
    # Cached: Python's own memory of what was shown is lost with every warnings.catch_warnings.
    warnings.warn(
        "16 bits per channel are scaled to RGB of 8 bits: differences below a level of 8 bits are "
        "lost. maskwright.data.read_stored keeps them, and so do models that were trained on such "
        "pictures",
        ReducedDepthWarning,
        stacklevel=4,
    )


def open_picture(path: Path) -> ImageFile.ImageFile:
    """Open a picture by Pillow, decoding nothing; an ImageError where it is none."""
    try:
        with warnings.catch_warnings():
            # Pillow warns at half of the number of pixels at which it refuses.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(path)
    except DECODE_ERRORS as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> ImageError:
    """Return what to say of a file that Pillow cannot read."""
    if isinstance(error, ImageError):
        return error
    if isinstance(error, FileNotFoundError):
        return ImageError(f"{path}: no such picture")
    if isinstance(error, IsADirectoryError):
        return ImageError(f"{path}: a picture was wanted, this is a folder")
    if isinstance(error, PermissionError):
        return ImageError(f"{path}: may not be read, check its permissions")
    if isinstance(error, UnidentifiedImageError):
        return ImageError(f"{path}: not a picture of a known kind (JPEG, PNG, TIFF, WebP, ...)")
    if isinstance(error, Image.DecompressionBombError):
        return ImageError(
            f"{path}: refused, its header claims too many pixels ({error}); if that is true, "
            f"raise PIL.Image.MAX_IMAGE_PIXELS"
        )
    return ImageError(f"{path}: damaged or truncated picture ({error}); copy or export it anew")


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 where there is none."""
    # The base class's method: a PNG's own decodes all pixels first, in case EXIF follows them.
    orientation: int = Image.Image.getexif(image).get(_ORIENTATION_TAG, 1)
    return orientation if orientation in _UPRIGHT else 1


def is_upright_wanted(
    path: Path,
    stored_size: tuple[int, int],
    orientation: int,
    expected_size: tuple[int, int] | None,
) -> bool:
    """Say whether EXIF orientation is to be applied; an ImageError where no frame fits."""
    if expected_size is None:
        return True
    turned = is_turned_by_exif(stored_size, orientation, expected_size)
    if turned is None:
        raise ImageError(
            f"{path}: is {stored_size[0]} x {stored_size[1]} (height x width), its annotations are "
            f"for {expected_size[0]} x {expected_size[1]}: another version of the picture?"
        )
    return turned


def _to_rgb(path: Path, image: ImageFile.ImageFile) -> UInt8[np.ndarray, "h w 3"]:
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return _grey_to_rgb(path, np.asarray(image))
    if has_16_bit_colour(image):
        image.load()  # OpenCV may return the half of a truncated file; Pillow raises
        return _read_16_bit_colour(path)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def has_16_bit_colour(image: ImageFile.ImageFile) -> bool:
    """Whether Pillow would cut an open picture of several channels to 8 bits."""
    # Pillow keeps only the high byte of 16-bit colour; its raw mode (RGB;16B, LA;16B) tells.
    return any(";16" in str(tile.args) for tile in image.tile)


def _grey_to_rgb(path: Path, grey: np.ndarray) -> UInt8[np.ndarray, "h w 3"]:
    if grey.dtype.kind == "f" or grey.min(initial=0) < 0 or grey.max(initial=0) > 65535:
        raise ImageError(
            f"{path}: pixels are {grey.dtype} from {grey.min()} to {grey.max()}, wanted 8 or "
            f"16 bits: save it with values from 0 to 65535"
        )
    return np.repeat(_scaled(grey)[:, :, None], 3, axis=2)


def _read_16_bit_colour(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    # With IMREAD_COLOR_RGB, OpenCV 5.0 returns wrong values for 16-bit TIFF: order them here.
    pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ImageError(f"{path}: damaged or truncated 16-bit picture; copy or export it anew")
    if pixels.ndim == 2:
        return _grey_to_rgb(path, pixels)
    return np.ascontiguousarray(_scaled(pixels[:, :, 2::-1]))


def _scaled(values: np.ndarray) -> np.ndarray:
    return scale_16_bit(values, top_of_16_bit(values.max(initial=0)))
