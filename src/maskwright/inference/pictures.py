"""Whatever a user holds as a picture, as the array that a model takes: RGB uint8, as a rule."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Shaped, UInt8
from PIL import Image
from torch import Tensor

from maskwright.data import PixelFormat, as_pixels, read_picture
from maskwright.errors import ImageError

__all__ = ["Picture", "PictureSource", "as_picture", "read_pictures"]

PictureSource = str | os.PathLike[str] | Image.Image | np.ndarray | Tensor
"""One picture: a file, a PIL image, an array (h, w, 3) or (h, w), a tensor (3, h, w)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """One picture in memory and, where it came from a file, the file.

    Args:
        image: (h, w, 3) uint8 RGB, or as the model's `PixelFormat` says.
        path: Its file; None for pictures handed over in memory.
    """

    image: Shaped[np.ndarray, "h w c"]
    path: Path | None = None

    @property
    def source(self) -> Path | Shaped[np.ndarray, "h w c"]:
        """What `Instances.source` keeps: the file, or the pixels where there is none."""
        return self.image if self.path is None else self.path


def as_picture(source: PictureSource, pixels: PixelFormat | None = None) -> Picture:
    """Turn `source` into the pixels that a model takes, RGB uint8 unless `pixels` says otherwise.

    Files are read by `maskwright.data.read_image` (EXIF orientation applied). A PIL image is taken
    as it stands: its frame is the one its holder sees, whatever its EXIF says. Grey becomes RGB.
    Floats are brightness from 0 to 1 and are rounded to 256 levels.

    Args:
        source: A path; a PIL image; a NumPy array (h, w, 3) RGB or (h, w), uint8 or float; a
            tensor (3, h, w), (1, h, w) or (h, w), uint8 or float.
        pixels: What the model takes. Arrays (h, w, c), or (h, w) for one channel, and tensors
            (c, h, w) must then have its channels and type; nothing is scaled.

    Raises:
        ImageError: A missing or unreadable file, an array of another shape, type or range, or a
            picture without pixels.

    >>> as_picture(np.zeros((4, 6), np.uint8)).image.shape
    (4, 6, 3)
    >>> as_picture(torch.ones(3, 4, 6)).image.max()
    np.uint8(255)
    """
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if path.is_dir():
            raise ImageError(f"{path} is a folder: go through its pictures with stream([folder])")
        return Picture(image=read_picture(path, pixels), path=path)
    if pixels is not None:
        array, what = _as_array(source)
        return Picture(image=as_pixels(array, pixels, what))
    if isinstance(source, Image.Image):
        return Picture(image=_from_pil(source))
    if isinstance(source, Tensor):
        return Picture(image=_from_array(_channels_last(source), "a tensor"))
    if isinstance(source, np.ndarray):
        return Picture(image=_from_array(source, "an array"))
    raise _unknown(source)


def read_pictures(
    paths: Iterable[Path],
    *,
    pixels: PixelFormat | None = None,
    on_error: Callable[[Path, ImageError], None] | None = None,
) -> Iterator[Picture]:
    """Read picture files one after the other, each when it is asked for.

    Args:
        paths: The files.
        pixels: What the model takes; None is RGB of 8 bits.
        on_error: Told of a file that cannot be read, which is then left out; None raises.

    Raises:
        ImageError: A file cannot be read and there is no `on_error`.
    """
    for path in paths:
        try:
            picture = as_picture(path, pixels)
        except ImageError as error:
            if on_error is None:
                raise
            on_error(path, error)
            continue
        yield picture


def _unknown(source: object) -> ImageError:
    return ImageError(
        f"a picture must be a path, a PIL image, a NumPy array or a tensor, "
        f"got {type(source).__name__}"
    )


def _as_array(source: PictureSource) -> tuple[np.ndarray, str]:
    """Return a picture in memory as it is, channels last, and what it was handed over as."""
    if isinstance(source, Image.Image):
        return np.asarray(source.convert("RGB") if source.mode == "P" else source), "a PIL image"
    if isinstance(source, Tensor):
        array = source.detach().cpu()
        array = array.float() if array.dtype == torch.bfloat16 else array
        pixels: np.ndarray = array.numpy()
        return np.moveaxis(pixels, 0, -1) if pixels.ndim == 3 else pixels, "a tensor"
    if isinstance(source, np.ndarray):
        return source, "an array"
    raise _unknown(source)


def _from_pil(picture: Image.Image) -> UInt8[np.ndarray, "h w 3"]:
    """The pixels of a PIL image as PIL converts them; alpha is dropped, as from a file."""
    if picture.mode in ("I", "F") or picture.mode.startswith("I;"):
        raise ImageError(
            f"a PIL image of mode {picture.mode} has no range of its own: pass its file, or scale "
            'it to 0..255 and convert it to mode "L"'
        )
    return _from_array(np.asarray(picture.convert("RGB")), "a PIL image")


def _channels_last(tensor: Tensor) -> np.ndarray:
    """(3, h, w), (1, h, w) or (h, w) to an array (h, w, 3) or (h, w)."""
    shape = tuple(tensor.shape)
    if tensor.ndim == 4:
        raise ImageError(f"a tensor must hold one picture, got a batch {shape}: pass list(batch)")
    if tensor.ndim == 3 and shape[0] not in (1, 3):
        hint = ": permute(2, 0, 1) first" if shape[2] in (1, 3) else ""
        raise ImageError(f"a tensor must be (3, h, w) or (1, h, w), got {shape}{hint}")
    if tensor.dtype == torch.bfloat16:  # NumPy has no such type
        tensor = tensor.float()
    array: np.ndarray = tensor.detach().cpu().numpy()
    return np.moveaxis(array, 0, -1) if array.ndim == 3 else array


def _from_array(array: np.ndarray, what: str) -> UInt8[np.ndarray, "h w 3"]:
    """Check shape, type and range of (h, w, 3) or (h, w) and return RGB uint8."""
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3):
        raise ImageError(f"{what} must be (h, w, 3) RGB or (h, w) grey, {_shape_hint(array)}")
    if array.size == 0:
        raise ImageError(f"{what} of shape {array.shape} has no pixels")
    if array.dtype.kind == "f":
        lowest, highest = float(array.min()), float(array.max())
        if not (lowest >= 0 and highest <= 1):  # also true of NaN
            raise ImageError(
                f"{what} of floats must be brightness from 0 to 1, got {lowest:g} to {highest:g}: "
                "divide by 255, or pass uint8"
            )
        array = np.rint(array * 255.0).astype(np.uint8)
    if array.dtype != np.uint8:
        raise ImageError(
            f"{what} must be uint8 (0 to 255) or float (0 to 1), got {array.dtype}: scale it first"
        )
    if array.ndim == 2:
        return np.dstack([array] * 3)
    # PyTorch warns of arrays that must not be written to; such a one is copied.
    return np.require(array, requirements=["C", "W"])


def _shape_hint(array: np.ndarray) -> str:
    """What came and, where it can be guessed, how to mend it."""
    shape = array.shape
    if array.ndim == 3 and shape[2] == 4:
        return f"got {shape}: four channels, drop the fourth with image[..., :3]"
    if array.ndim == 3 and shape[0] in (1, 3):
        return f"got {shape}: channels first? use image.transpose(1, 2, 0)"
    if array.ndim == 4:
        return f"got {shape}: a batch? pass list(images)"
    return f"got {shape}"
