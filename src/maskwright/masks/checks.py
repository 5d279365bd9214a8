"""Arguments of `Masks`, checked and brought to the form the kernels take."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Int64, Integer

from maskwright.errors import MaskError

__all__ = [
    "check_same_size",
    "checked_binary",
    "checked_boxes",
    "checked_crop_box",
    "checked_crops",
    "checked_flags",
    "checked_indices",
    "checked_label_map",
    "checked_matrix",
    "checked_offsets",
    "checked_runs",
    "checked_size",
    "checked_values",
    "chosen_indices",
]


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


def check_same_size(size: tuple[int, int], other: tuple[int, int]) -> None:
    """Raise a MaskError for masks of two pictures of different size."""
    if size != other:
        raise MaskError(
            f"masks of a {size} and of a {other} picture cannot be combined: bring one to the "
            "other's frame with warp_affine first"
        )


def checked_runs(runs: Any) -> Int32[np.ndarray, "r 3"]:
    """(r, 3) int32, read-only."""
    array = np.asarray(runs)
    if array.size == 0:
        return _frozen(np.zeros((0, 3), np.int32))
    if array.ndim != 2 or array.shape[1] != 3 or array.dtype.kind not in "iu":
        raise MaskError(f"runs must be (r, 3) integers, got {array.shape} {array.dtype}")
    return _frozen(np.ascontiguousarray(array, np.int32))


def checked_offsets(offsets: Any) -> Int64[np.ndarray, " n+1"]:
    """(n + 1,) int64, read-only."""
    array = np.asarray(offsets)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise MaskError(f"offsets must be (n + 1,) integers, got {array.shape} {array.dtype}")
    return _frozen(np.ascontiguousarray(array, np.int64))


def checked_boxes(boxes: Any, num_boxes: int | None = None) -> Float32[np.ndarray, "n 4"]:
    """Boxes as (n, 4) float32 xyxy, finite; `num_boxes` is the number wanted."""
    array = np.asarray(boxes)
    if array.size == 0 and array.ndim <= 2:
        array = array.reshape(0, 4)
    if array.ndim != 2 or array.shape[1] != 4:
        hint = ": transposed?" if array.ndim == 2 and array.shape[0] == 4 else ""
        raise MaskError(f"boxes must be (n, 4) xyxy, got {array.shape}{hint}")
    if array.dtype.kind not in "iuf":
        raise MaskError(f"boxes must be numbers, got {array.dtype}")
    if num_boxes is not None and len(array) != num_boxes:
        raise MaskError(f"wanted one box per mask ({num_boxes}), got {len(array)}")
    inside = np.abs(array) < 2.0**30
    if not inside.all():
        wrong = np.flatnonzero(~inside.all(axis=1))
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
    if not np.isfinite(array).all():
        wrong = np.flatnonzero(~np.isfinite(array).all(axis=(1, 2)))
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
    is_set: np.ndarray = pixels != 0
    return is_set


def chosen_indices(index: Any, num_masks: int) -> Int64[np.ndarray, " m"]:
    """The objects that an integer, a slice, integers or a boolean per object choose."""
    everything = np.arange(num_masks)
    if isinstance(index, slice):
        return everything[index]
    if np.ndim(index) == 0:
        if not -num_masks <= index < num_masks:
            raise IndexError(f"mask {index} of {num_masks}")
        return everything[[int(index)]]
    listed = np.asarray(index)
    chosen: np.ndarray = everything[listed if listed.size else listed.astype(np.int64)]
    return chosen


def checked_label_map(label_map: Any) -> Integer[np.ndarray, "h w"]:
    """An (h, w) integer array."""
    labels = np.asarray(label_map)
    if labels.ndim != 2:
        raise MaskError(f"label map must be (h, w), got {labels.shape}")
    if labels.dtype == np.bool_:
        return labels.view(np.uint8)
    if labels.dtype.kind not in "iu":
        raise MaskError(f"label map must be integers, got {labels.dtype}")
    return labels


def checked_values(values: Any, num_masks: int, overlap: str) -> Int32[np.ndarray, " n"]:
    """What a label map holds for each mask, none of it 0; None is 1 to n."""
    if overlap not in ("error", "first", "last"):
        raise MaskError(f'overlap must be "error", "first" or "last", got {overlap!r}')
    if values is None:
        return np.arange(1, num_masks + 1, dtype=np.int32)
    listed = np.asarray(values)
    if listed.shape != (num_masks,) or (listed.size and listed.dtype.kind not in "iu"):
        raise MaskError(
            f"values must be ({num_masks},) integers, got {listed.shape} {listed.dtype}"
        )
    if (listed == 0).any() or (np.abs(listed.astype(np.int64)) > np.iinfo(np.int32).max).any():
        raise MaskError("values must fit 32 bits and not be 0, which means no object")
    return listed.astype(np.int32)


def checked_flags(flags: Any, wanted: int) -> Bool[np.ndarray, " m"]:
    """(m,) booleans; None is all False."""
    if flags is None:
        return np.zeros(wanted, np.bool_)
    array = np.asarray(flags)
    if array.shape != (wanted,):
        raise MaskError(f"is_crowd must have one entry per mask ({wanted}), got {array.shape}")
    return array.astype(np.bool_)


def checked_indices(indices: Any, wanted: int, num_masks: int) -> Int64[np.ndarray, " m"]:
    """(m,) integers from 0 to num_masks - 1."""
    array = np.asarray(indices)
    if array.shape != (wanted,) or (array.size and array.dtype.kind not in "iu"):
        raise MaskError(f"indices must be ({wanted},) integers, got {array.shape} {array.dtype}")
    if array.size and not (array.min() >= 0 and array.max() < num_masks):
        raise MaskError(
            f"indices must be from 0 to {num_masks - 1}, got {array.min()} to {array.max()}"
        )
    return array.astype(np.int64)


def checked_crop_box(box: Any, image_size: tuple[int, int]) -> tuple[int, int, int, int]:
    """An integer xyxy box inside the picture, with pixels in it."""
    corners = np.asarray(box)
    if corners.shape != (4,) or corners.dtype.kind not in "iuf" or (corners % 1 != 0).any():
        raise MaskError(f"crop box must be 4 integers xyxy, got {box!r:.80}")
    x1, y1, x2, y2 = (int(corner) for corner in corners)
    if not (0 <= x1 < x2 <= image_size[1] and 0 <= y1 < y2 <= image_size[0]):
        raise MaskError(
            f"crop box {(x1, y1, x2, y2)} must hold pixels, all of the {image_size} picture"
        )
    return x1, y1, x2, y2


def checked_matrix(matrix: Any, shape: tuple[int, int]) -> Float64[np.ndarray, "rows 3"]:
    """A float64 matrix of this shape: (2, 3) of an affine map, (3, 3) of a homography."""
    array = np.asarray(matrix, np.float64)
    if array.shape != shape:
        kind = "affine map" if shape == (2, 3) else "homography"
        raise MaskError(f"{kind} must be {shape}, got {array.shape}")
    return array


def _frozen(array: np.ndarray) -> np.ndarray:
    """A read-only view, so that the caller's own array stays writeable."""
    view = array.view()
    view.flags.writeable = False
    return view
