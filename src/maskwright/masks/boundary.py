"""The band along the edge of a mask that Boundary IoU compares.

Cheng et al., Boundary IoU, CVPR 2021, section 3 and the reference code's `mask_to_boundary`: the
mask without its erosion by a 3 x 3 square, repeated d times, where d is the picture's diagonal
times the dilation ratio, rounded, at least 1; beyond the picture nothing is set, so pixels at its
border are boundary. Eroding d times by 3 x 3 is eroding once by a square of 2 d + 1: each run is
shortened by d at both ends, then a column keeps what its 2 d neighbours have too.
"""

from __future__ import annotations

import numpy as np

from maskwright.masks.overlap import difference_runs, intersect_runs
from maskwright.masks.runs import Runs, offsets_of

__all__ = ["boundary_runs", "boundary_width"]


def boundary_width(image_size: tuple[int, int], dilation_ratio: float) -> int:
    """Pixels of the band for a picture of this size.

    >>> boundary_width((480, 640), 0.02)
    16
    """
    diagonal = float(np.sqrt(image_size[0] ** 2 + image_size[1] ** 2))
    return max(round(dilation_ratio * diagonal), 1)


def boundary_runs(runs: np.ndarray, offsets: np.ndarray, height: int, width: int) -> Runs:
    """Runs of the pixels nearer than `width` (Chebyshev) to the outside of each mask."""
    eroded = _eroded_down(runs, offsets, width)
    reach = 1  # columns x to x + reach - 1 have been intersected
    while reach < 2 * width + 1:
        step = min(reach, 2 * width + 1 - reach)
        moved = eroded[0] - np.array([step, 0, 0], np.int32)
        eroded = intersect_runs(eroded, (moved, eroded[1]), height)
        reach += step
    centred = eroded[0] + np.array([width, 0, 0], np.int32)
    return difference_runs((runs, offsets), (centred, eroded[1]), height)


def _eroded_down(runs: np.ndarray, offsets: np.ndarray, width: int) -> Runs:
    kept = runs[:, 2] - runs[:, 1] > 2 * width
    shortened = runs[kept] + np.array([0, width, -width], np.int32)
    return shortened, offsets_of(kept)[offsets]
