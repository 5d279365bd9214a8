"""Checks of single picture files."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from maskwright.data.checks.check import Defect
from maskwright.data.checks.picture import Header, Picture
from maskwright.data.images import is_turned_by_exif

__all__ = [
    "constant_picture",
    "damaged_picture",
    "dark_16_bit",
    "dense_picture",
    "exif_ignored",
    "exif_turned",
    "hidden_by_alpha",
    "misnamed_picture",
    "missing_picture",
    "odd_channels",
    "paged_picture",
    "picture_without_objects",
    "size_differs",
    "unreadable_picture",
    "wrong_range",
]

_MAX_DETECTIONS = 100
"""COCO's maxDets: detections of a picture beyond it do not count."""

_SUFFIXES = {
    ".bmp": "BMP",
    ".gif": "GIF",
    ".jpeg": "JPEG",
    ".jpg": "JPEG",
    ".png": "PNG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
}
# Pillow's names for files of the same kind: multi-picture JPEGs of cameras and phones.
_SAME_KIND = {"MPO": "JPEG"}
_USUAL_MODES = ("RGB", "L", "I;16", "I;16B", "I;16L", "I;16N", "I", "F")
_MODE_WORDS = {
    "1": "black and white of one bit",
    "P": "colours from a palette",
    "PA": "colours from a palette, and alpha",
    "LA": "grey and alpha",
    "La": "grey and alpha",
    "RGBA": "RGB and alpha",
    "RGBa": "RGB and alpha",
    "CMYK": "CMYK, the inks of a printer",
    "YCbCr": "luma and chroma",
    "LAB": "CIE L*a*b*",
}


def missing_picture(picture: Picture) -> Iterator[Defect]:
    """Find listed pictures without a file."""
    if not picture.is_there:
        yield picture.defect(f"no such file below {picture.path.parent}")


def unreadable_picture(picture: Picture) -> Iterator[Defect]:
    """Find files whose header is not that of a picture."""
    if picture.is_there and not isinstance(picture.header, Header):
        yield picture.defect(_after_name(picture, picture.header))


def damaged_picture(picture: Picture) -> Iterator[Defect]:
    """Find files whose header is right and whose pixels cannot be decoded."""
    header = picture.header
    if not isinstance(header, Header) or header.bits > 16 or header.mode == "F":
        return
    if isinstance(picture.pixels, Exception):
        yield picture.defect(_after_name(picture, picture.pixels))


def wrong_range(picture: Picture) -> Iterator[Defect]:
    """Find fractions and numbers of 32 bits, whose white nobody knows."""
    header = picture.header
    if not isinstance(header, Header) or not isinstance(picture.pixels, Exception):
        return
    if header.bits > 16 or header.mode == "F":
        yield picture.defect(_after_name(picture, picture.pixels))


def size_differs(picture: Picture) -> Iterator[Defect]:
    """Find pictures that have the annotated size neither as stored nor upright."""
    header = picture.header
    if isinstance(header, Header) and not picture.fits:
        yield picture.defect(
            f"is {header.size[0]} x {header.size[1]} (height x width), annotated as "
            f"{picture.size[0]} x {picture.size[1]}",
            remedy="set size" if _is_exchanged(picture, header) else None,
        )


def exif_turned(picture: Picture) -> Iterator[Defect]:
    """Find pictures that are upright only after their EXIF turn, which many tools leave out."""
    if _is_turned(picture):
        yield picture.defect(f"{_orientation(picture)}, and its objects fit the upright picture")


def exif_ignored(picture: Picture) -> Iterator[Defect]:
    """Find pictures with an EXIF turn that their objects contradict."""
    header = picture.header
    if isinstance(header, Header) and header.orientation != 1 and _is_turned(picture) is False:
        yield picture.defect(f"{_orientation(picture)}, and its objects fit the picture as stored")


def constant_picture(picture: Picture) -> Iterator[Defect]:
    """Find pictures of one colour."""
    pixels = picture.pixels
    if picture.is_constant and isinstance(pixels, np.ndarray):
        red, green, blue = pixels[0, 0].tolist()
        yield picture.defect(f"every pixel is ({red}, {green}, {blue})")


def dark_16_bit(picture: Picture) -> Iterator[Defect]:
    """Find 16-bit files that hold 8-bit values: scaled by their range they are nearly black."""
    header = picture.header
    if isinstance(header, Header) and header.bits == 16 and picture.highest <= 255:
        yield picture.defect(f"16 bits a value, of which the highest is {picture.highest}")


def odd_channels(picture: Picture) -> Iterator[Defect]:
    """Find pictures that are neither RGB nor grey."""
    header = picture.header
    if isinstance(header, Header) and header.mode not in _USUAL_MODES:
        words = _MODE_WORDS.get(header.mode, f"Pillow's mode {header.mode}")
        yield picture.defect(words)


def hidden_by_alpha(picture: Picture) -> Iterator[Defect]:
    """Find pictures that are partly transparent: what is behind it was not seen by annotators."""
    header = picture.header
    if not isinstance(header, Header) or header.mode not in ("RGBA", "LA", "PA", "P"):
        return
    if isinstance(picture.pixels, Exception):
        return
    alpha = picture.alpha
    if alpha is not None and (share := float((alpha < 128).mean())) > 0:
        yield picture.defect(f"{100 * share:.1f} % of its pixels are transparent")


def paged_picture(picture: Picture) -> Iterator[Defect]:
    """Find files of several pages or frames, of which the first is read."""
    header = picture.header
    if isinstance(header, Header) and header.num_pages > 1 and header.kind not in _SAME_KIND:
        yield picture.defect(f"{header.num_pages} pages or frames")


def misnamed_picture(picture: Picture) -> Iterator[Defect]:
    """Find files whose suffix is another format's."""
    header = picture.header
    if not isinstance(header, Header):
        return
    wanted = _SUFFIXES.get(picture.path.suffix.lower())
    kind = _SAME_KIND.get(header.kind, header.kind)
    if wanted is not None and kind in _SUFFIXES.values() and kind != wanted:
        yield picture.defect(f"it is a {kind} file")


def dense_picture(picture: Picture) -> Iterator[Defect]:
    """Find pictures with more objects than detections of a picture count."""
    count = len(picture.where_solid)
    if count > _MAX_DETECTIONS:
        yield picture.defect(f"{count} objects")


def picture_without_objects(picture: Picture) -> Iterator[Defect]:
    """Find pictures that no object was drawn on."""
    if not len(picture.items) + picture.num_refused:
        yield picture.defect("no annotation names it")


def _is_exchanged(picture: Picture, header: Header) -> bool:
    """Whether height and width are exchanged in the annotations, and nothing else is wrong.

    Polygons that fit the file tell; run-length codes are of the annotated size, whatever it is.
    """
    height, width = header.size
    if header.size[::-1] != picture.size or header.orientation != 1 or not len(picture.items):
        return False
    is_drawn = np.diff(picture.index.ring_offsets)[picture.items] > 0
    low, high = picture.reach[:, :2], picture.reach[:, 2:]
    return bool(is_drawn.all() and (low >= -1).all() and (high <= (width + 1, height + 1)).all())


def _is_turned(picture: Picture) -> bool | None:
    """Whether its EXIF turn is to be applied; None where that cannot be known."""
    if not isinstance(picture.header, Header):
        return None
    return is_turned_by_exif(picture.header.size, picture.header.orientation, picture.size)


def _orientation(picture: Picture) -> str:
    assert isinstance(picture.header, Header)
    height, width = picture.header.size
    return f"stored {height} x {width} with EXIF orientation {picture.header.orientation}"


def _after_name(picture: Picture, error: Exception) -> str:
    return str(error).removeprefix(f"{picture.path}: ")
