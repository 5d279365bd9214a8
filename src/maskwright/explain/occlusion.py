"""Saliency by covering: what is lost of an object when a part of the picture is hidden.

Needs predictions alone, so it works for every runtime, an exported graph as well. Zeiler and
Fergus 2014, https://arxiv.org/abs/1311.2901, section 4.2, for detections: with `DetectionScore`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float64, Int32, UInt8

from maskwright.explain.attribution import Attribution
from maskwright.explain.detection_score import DetectionScore
from maskwright.explain.windows import window_around
from maskwright.structures import Size

__all__ = ["divide_picture", "occlusion_attribution"]


def occlusion_attribution(
    score: DetectionScore,
    image: UInt8[np.ndarray, "h w 3"],
    filling: UInt8[np.ndarray, "h w 3"],
    patches: Int32[np.ndarray, "h w"],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Attribution:
    """Return what each patch adds: the score that is lost when it is covered.

    Args:
        score: Of copies of the picture.
        image: The picture.
        filling: What covers it.
        patches: The patch of each pixel, from 0.
        progress: Called with the patches done and all.
    """
    count = int(patches.max()) + 1
    value, covered = score((image, filling)).tolist()

    def copies() -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        for patch in range(count):
            yield np.where((patches == patch)[..., None], filling, image)
            if progress is not None:
                progress(patch + 1, count)

    lost: Float64[np.ndarray, " p"] = value - score(copies())
    sizes = np.bincount(patches.ravel(), minlength=count)
    return Attribution(
        density=(lost / np.maximum(sizes, 1))[patches].astype(np.float32),
        method="occlusion",
        value=value,
        covered_value=covered,
    )


def divide_picture(
    image_size: Size,
    box: tuple[float, float, float, float],
    *,
    fine: int = 12,
    coarse: int = 6,
) -> Int32[np.ndarray, "h w"]:
    """Return the patch of each pixel: small ones about the object, large ones elsewhere.

    Patches of one size would be too large for small objects or too many for the picture.

    Args:
        image_size: Of the picture.
        box: Of the object, xyxy pixels.
        fine: Patches per side of the window about the object, thrice as wide and high as it.
        coarse: Patches per side of the picture, of what is outside that window.

    >>> divide_picture((4, 8), (6.0, 1.0, 7.0, 2.0), fine=1, coarse=2)
    array([[0, 0, 0, 0, 1, 4, 4, 4],
           [0, 0, 0, 0, 1, 4, 4, 4],
           [2, 2, 2, 2, 3, 4, 4, 4],
           [2, 2, 2, 2, 3, 3, 3, 3]], dtype=int32)
    """
    height, width = image_size
    patches = _grid((height, width), coarse)
    left, top, right, bottom = window_around(box, image_size)
    window = _grid((bottom - top, right - left), fine)
    patches[top:bottom, left:right] = window + patches.max() + 1
    _, numbers = np.unique(patches, return_inverse=True)  # patches inside the window are gone
    return numbers.reshape(image_size).astype(np.int32)


def _grid(size: Size, cells: int) -> Int32[np.ndarray, "h w"]:
    """Return the cell of each pixel of a grid, row by row; never more cells than pixels."""
    rows, columns = (np.arange(side) * min(cells, side) // side for side in size)
    grid: np.ndarray = (rows[:, None] * (columns.max() + 1) + columns).astype(np.int32)
    return grid
