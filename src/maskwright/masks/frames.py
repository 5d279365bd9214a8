"""Masks carried to another frame without resampling: crop, place, mirror, quarter turns.

Shapes: r runs of n objects in a picture of (height, width).
"""

from __future__ import annotations

import numpy as np

from maskwright.masks.runs import (
    Runs,
    bitmap_to_runs,
    join_runs,
    offsets_of,
    run_boxes,
    runs_to_bitmap,
    sort_and_unite,
)

__all__ = ["crop_runs", "mirror_across", "mirror_down", "place_runs", "quarter_turn"]


def crop_runs(runs: np.ndarray, offsets: np.ndarray, box: tuple[int, int, int, int]) -> Runs:
    """What lies inside an integer xyxy box, in the frame of the box."""
    x1, y1, x2, y2 = box
    clipped = np.clip(runs, [x1, y1, y1], [x2, y2, y2])
    kept = (runs[:, 0] >= x1) & (runs[:, 0] < x2) & (clipped[:, 2] > clipped[:, 1])
    moved = clipped[kept] - np.array([x1, y1, y1])
    return moved.astype(np.int32), offsets_of(kept)[offsets]


def place_runs(runs: np.ndarray, offsets: np.ndarray, corner: tuple[int, int]) -> Runs:
    """The same pixels in a frame in which this one's first pixel lies at `corner` (x, y)."""
    x, y = corner
    return runs + np.array([x, y, y], np.int32), offsets


def mirror_across(runs: np.ndarray, offsets: np.ndarray, width: int) -> Runs:
    """Left and right swapped."""
    return _sorted(np.stack([width - 1 - runs[:, 0], runs[:, 1], runs[:, 2]], axis=1), offsets)


def mirror_down(runs: np.ndarray, offsets: np.ndarray, height: int) -> Runs:
    """Top and bottom swapped."""
    return _sorted(
        np.stack([runs[:, 0], height - runs[:, 2], height - runs[:, 1]], axis=1), offsets
    )


def quarter_turn(runs: np.ndarray, offsets: np.ndarray, width: int) -> Runs:
    """A quarter turn anti-clockwise of a picture of this width; decodes one mask at a time."""
    parts: list[Runs] = []
    for i, (x1, y1, x2, y2) in enumerate(run_boxes(runs, offsets).tolist()):
        bitmap = runs_to_bitmap(runs[offsets[i] : offsets[i + 1]], x1, y1, y2 - y1, x2 - x1)
        turned = bitmap_to_runs(np.rot90(bitmap), y1, width - x2)
        parts.append((turned, np.array([0, len(turned)])))
    return join_runs(parts)


def _sorted(runs: np.ndarray, offsets: np.ndarray) -> Runs:
    num_objects = len(offsets) - 1
    return sort_and_unite(runs, np.repeat(np.arange(num_objects), np.diff(offsets)), num_objects)
