"""Arguments of `Masks`, checked and brought to the form the kernels take."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float32

from maskwright.errors import MaskError

__all__ = ["checked_binary", "checked_boxes", "checked_crops", "checked_size"]


def checked_size(image_size: Any) -> tuple[int, int]:
    """(height, width) as two Python integers, each 1 or more."""
    try:
        height, width = (int(side) for side in image_size)
    except (TypeError, ValueError):
        raise MaskError(f"image_size must be (height, width), got {image_size!r:.80}") from None
    if height < 1 or width < 1:
        raise MaskError(f"image_size must be (height, width) of 1 or more, got {(height, width)}")
    if max(height, width) > np.iinfo(np.int32).max:
        raise MaskError(f"image_size must fit 32 bits, got {(height, width)}")
    return height, width


def checked_boxes(boxes: Any, image_boxes: int | None = None) -> Float32[np.ndarray, "n 4"]:
    """Boxes as (n, 4) float32 xyxy, finite; `image_boxes` is the number wanted."""
    array = np.asarray(boxes)
    if array.size == 0 and array.ndim <= 2:
        array = array.reshape(0, 4)
    if array.ndim != 2 or array.shape[1] != 4:
        hint = ": transposed?" if array.ndim == 2 and array.shape[0] == 4 else ""
        raise MaskError(f"boxes must be (n, 4) xyxy, got {array.shape}{hint}")
    if array.dtype.kind not in "iuf":
        raise MaskError(f"boxes must be numbers, got {array.dtype}")
    if image_boxes is not None and len(array) != image_boxes:
        raise MaskError(f"wanted one box per mask ({image_boxes}), got {len(array)}")
    wrong = np.flatnonzero(~(np.abs(array) < 2.0**30).all(axis=1))
    if len(wrong):
        raise MaskError(
            f"box {wrong[0]} must be finite and within 2**30 pixels, got {array[wrong[0]].tolist()}"
        )
    return np.ascontiguousarray(array, np.float32)


def checked_crops(crops: Any) -> Float32[np.ndarray, "n s s"]:
    """Crops as (n, s, s) float32, finite, s at least 1."""
    array = np.asarray(crops)
    if array.ndim != 3 or array.shape[1] != array.shape[2] or not array.shape[1]:
        hint = ": drop the channel with crops[:, 0]" if array.ndim == 4 else ""
        raise MaskError(f"crops must be (n, s, s) probabilities, got {array.shape}{hint}")
    if array.dtype.kind != "f":
        raise MaskError(f"crops must be floating point probabilities, got {array.dtype}")
    array = np.ascontiguousarray(array, np.float32)
    wrong = np.flatnonzero(~np.isfinite(array).all(axis=(1, 2)))
    if len(wrong):
        raise MaskError(f"crop {wrong[0]} holds NaN or infinite values")
    return array


def checked_binary(array: Any, name: str, ndim: int) -> np.ndarray:
    """A boolean array of `ndim` dimensions; integers count as set where they are not 0."""
    pixels = np.asarray(array)
    if pixels.ndim != ndim:
        wanted = {2: "(h, w)", 3: "(n, h, w)"}[ndim]
        raise MaskError(f"{name} must be {wanted}, got {pixels.shape}")
    if pixels.dtype == np.bool_:
        return pixels
    if pixels.dtype.kind not in "iu":
        raise MaskError(f"{name} must be boolean or integer, got {pixels.dtype}: compare it first")
    return pixels != 0
