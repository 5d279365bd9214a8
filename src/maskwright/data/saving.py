"""Pictures into files."""

from __future__ import annotations

import os

import cv2
import numpy as np
from jaxtyping import Shaped

from maskwright.errors import ImageError
from maskwright.files import atomic_write

__all__ = ["encode_image", "save_image", "save_stored"]

_FORMATS = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


def save_image(
    path: str | os.PathLike[str], image: Shaped[np.ndarray, "h w 3"] | Shaped[np.ndarray, "h w"]
) -> None:
    """Save an RGB or grey picture, atomically, in the format its suffix says.

    Args:
        path: The file; PNG holds uint8 and uint16 exactly, JPEG does not.
        image: (h, w, 3) RGB or (h, w), uint8 or uint16.

    Raises:
        ImageError: A suffix that is no picture format, or one that cannot hold the picture.
        OSError: The file cannot be written, or the disk is full.
    """
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in _FORMATS:
        raise ImageError(f"{path}: {suffix or 'no suffix'} is no picture format, try .png")
    encoded = encode_image(image, suffix)
    with atomic_write(path) as partial:
        partial.write_bytes(encoded)


def save_stored(path: str | os.PathLike[str], image: Shaped[np.ndarray, "h w c"]) -> None:
    """Save a picture of any number of channels and type as one page of TIFF, atomically.

    Raises:
        OSError: The file cannot be written, or the disk is full.
    """
    import tifffile

    is_colour = image.shape[2] in (3, 4)
    pixels = image[:, :, 0] if image.shape[2] == 1 else image
    with atomic_write(path) as partial:
        tifffile.imwrite(
            partial,
            pixels,
            photometric="rgb" if is_colour else "minisblack",
            planarconfig="contig" if pixels.ndim == 3 else None,
            extrasamples=["unspecified"] * (image.shape[2] - 3) if is_colour else None,
            compression="zlib",
            metadata=None,
        )


def encode_image(
    image: Shaped[np.ndarray, "h w 3"] | Shaped[np.ndarray, "h w"],
    suffix: str = ".png",
    *,
    quality: int | None = None,
) -> bytes:
    """Return the bytes of a picture file, RGB or grey, of the format that `suffix` names.

    Args:
        image: (h, w, 3) RGB or (h, w), uint8 or uint16.
        suffix: Such as ".png".
        quality: Of JPEG and WebP, 1 to 100; None takes OpenCV's (95 and lossless). Other formats
            do not look at it.

    Raises:
        ImageError: The format cannot hold the picture.
    """
    names = {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
    options: list[int] = []
    if quality is not None and suffix in names:
        options = [int(getattr(cv2, f"IMWRITE_{names[suffix]}_QUALITY")), quality]
    pixels = image[..., ::-1] if image.ndim == 3 else image
    written, encoded = cv2.imencode(suffix, pixels, options)
    if not written:
        raise ImageError(f"a {image.dtype} picture {image.shape} cannot be a {suffix} file")
    return bytes(encoded.tobytes())
