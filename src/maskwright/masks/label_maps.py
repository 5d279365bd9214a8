"""Label maps: one integer per pixel, 0 where there is no object."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Int32, Integer

from maskwright.errors import MaskError
from maskwright.masks.kernels import kernel
from maskwright.masks.runs import Runs, offsets_of

__all__ = ["label_map_to_runs", "runs_to_label_map"]


def label_map_to_runs(label_map: Integer[np.ndarray, "h w"]) -> tuple[Runs, np.ndarray]:
    """Runs of every value but 0, ascending by value, and the values."""
    runs, labels = _label_runs(np.ascontiguousarray(label_map))
    values, owners = np.unique(labels, return_inverse=True)
    order = np.lexsort((runs[:, 1], runs[:, 0], owners))
    return (runs[order], offsets_of(np.bincount(owners, minlength=len(values)))), values


def runs_to_label_map(
    runs: np.ndarray,
    offsets: np.ndarray,
    image_size: tuple[int, int],
    overlap: Literal["error", "first", "last"],
    values: Int32[np.ndarray, " n"],
) -> Int32[np.ndarray, "h w"]:
    """Paint each object's value; `overlap` says who has a pixel that several objects have.

    Raises:
        MaskError: Two objects overlap and `overlap` is "error"; it names both.
    """
    order = np.arange(len(offsets) - 1)
    if overlap == "first":
        order = order[::-1].copy()
    owners = np.zeros(image_size, np.int32)
    earlier, later = _paint_owners(runs, offsets, order, owners, overlap == "error")
    if earlier >= 0:
        raise MaskError(
            f"masks {earlier} and {later} overlap and a label map holds one object per pixel: pass "
            'overlap="first" or "last" to say who has the pixel'
        )
    if np.array_equal(values, np.arange(1, len(offsets))):
        return owners
    return np.concatenate([np.zeros(1, np.int32), values])[owners]


@kernel
def _label_runs(label_map: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # Row by row, as the pixels lie in memory; `begins` holds where the run of a column began.
    height, width = label_map.shape
    count = 0
    for y in range(height):
        for x in range(width):
            label = label_map[y, x]
            count += label != 0 and (y == 0 or label_map[y - 1, x] != label)
    runs = np.empty((count, 3), np.int32)
    labels = np.empty(count, label_map.dtype)
    begins = np.zeros(width, np.int64)
    count = 0
    for y in range(1, height + 1):
        for x in range(width):
            label = label_map[y - 1, x]
            if y < height and label_map[y, x] == label:
                continue
            if label != 0:
                runs[count, 0] = x
                runs[count, 1] = begins[x]
                runs[count, 2] = y
                labels[count] = label
                count += 1
            begins[x] = y
    return runs, labels


@kernel
def _paint_owners(
    runs: np.ndarray, offsets: np.ndarray, order: np.ndarray, owners: np.ndarray, forbid: bool
) -> tuple[int, int]:
    # Writes 1 + the object's index; where overlap is forbidden, stops at the first and names both.
    for owner in order:
        for k in range(offsets[owner], offsets[owner + 1]):
            x = runs[k, 0]
            for y in range(runs[k, 1], runs[k, 2]):
                if forbid and owners[y, x]:
                    return owners[y, x] - 1, owner
                owners[y, x] = owner + 1
    return -1, -1
