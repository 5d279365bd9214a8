"""Objects that cannot be kept as they are, found over whole columns of an index at once.

Each function yields (position of the object, what is wrong with it) in order; nothing is raised.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Bool

from maskwright.data.faults import FaultKind, FaultLog
from maskwright.data.index import AnnotationIndex, take_ragged
from maskwright.errors import MaskError

__all__ = ["BOX_TOLERANCE", "box_faults", "polygon_faults", "without_broken"]

# Annotation tools differ by a pixel on whether a box's last pixel is inside it.
BOX_TOLERANCE = 1.0
_POINTS_WANTED = 3
# The most that masks take, in pixels; farther out, areas would overflow.
_FARTHEST = 2**28


def polygon_faults(index: AnnotationIndex) -> Iterator[tuple[int, str]]:
    """Yield objects with a ring of too few points or of coordinates that are not finite."""
    lengths = np.diff(index.coordinate_offsets)
    for ring in np.flatnonzero((lengths < 2 * _POINTS_WANTED) | (lengths % 2 == 1)).tolist():
        length = lengths[ring]
        yield (
            _object_of_ring(index, ring),
            f"a polygon has an odd number of coordinates ({length}), wanted x, y in turn"
            if length % 2
            else f"a polygon has {length // 2} points, wanted at least {_POINTS_WANTED}: "
            f"remove it or draw it anew",
        )
    # Also true of NaN; two comparisons, for magnitudes would take the coordinates' memory again.
    is_near = (index.coordinates < _FARTHEST) & (index.coordinates > -_FARTHEST)
    for place in np.flatnonzero(~is_near).tolist():
        ring = int(np.searchsorted(index.coordinate_offsets, place, side="right")) - 1
        yield (
            _object_of_ring(index, ring),
            f"a polygon coordinate is {index.coordinates[place]}, wanted finite pixels",
        )


def box_faults(
    index: AnnotationIndex, is_missing: Bool[np.ndarray, " n"]
) -> Iterator[tuple[int, str]]:
    """Yield objects whose box or area is not finite, then those whose box is not inside."""
    for item in np.flatnonzero(~np.isfinite(index.xywh).all(1) | np.isinf(index.areas)).tolist():
        yield item, f"box {_text(index.xywh[item])} or area is not finite"
    images = np.repeat(np.arange(index.num_images), np.diff(index.object_offsets))
    low, extent = index.xywh[:, :2], index.xywh[:, 2:]
    limit = index.sizes[images][:, ::-1] + BOX_TOLERANCE
    is_outside = (low < -BOX_TOLERANCE) | (low + extent > limit)
    for item in np.flatnonzero((is_outside | (extent < 0)).any(1) & ~is_missing).tolist():
        height, width = index.sizes[images[item]]
        yield (
            item,
            f"box {_text(index.xywh[item])} (left, top, width, height) is not inside the "
            f"{width} pixels wide and {height} high picture: clip it, or mend the picture's size",
        )


def without_broken(
    index: AnnotationIndex, is_box_missing: Bool[np.ndarray, " n"], log: FaultLog
) -> tuple[AnnotationIndex, Bool[np.ndarray, " n"]]:
    """Leave out, and log, the objects that have no mask that can be drawn.

    Boxes and areas that are not finite are logged too and then count as missing; boxes that
    reach outside their picture stay as they are.

    Returns:
        The index, and which of its boxes are to be measured.
    """
    broken: dict[int, tuple[FaultKind, str]] = {}
    for item, problem in polygon_faults(index):
        broken.setdefault(item, ("polygon-broken", problem))
    for item, problem in _code_faults(index):
        broken.setdefault(item, ("run-length-broken", problem))
    for item, (kind, problem) in broken.items():
        _log(index, item, kind, problem, log)
    is_infinite = ~np.isfinite(index.xywh).all(1) | np.isinf(index.areas)
    for item in np.flatnonzero(is_infinite).tolist():
        _log(index, item, "entry-broken", "its box or area is not finite", log)
    kept = np.setdiff1d(np.arange(index.num_objects), np.array(list(broken), np.int64))
    measured = replace(
        index,
        areas=np.where(is_infinite, np.nan, index.areas),
        xywh=np.where(is_infinite[:, None], 0.0, index.xywh),
    )
    return _take(measured, kept), (is_box_missing | is_infinite)[kept]


def _log(index: AnnotationIndex, item: int, kind: FaultKind, problem: str, log: FaultLog) -> None:
    name = str(index.file_names[index.image_of(item)])
    log.add(kind, problem, picture=name, annotation_id=int(index.annotation_ids[item]))


def _code_faults(index: AnnotationIndex) -> Iterator[tuple[int, str]]:
    """Yield objects whose run-length code does not fill its picture."""
    is_coded = np.diff(index.rle_offsets) + np.diff(index.count_offsets) > 0
    for image in range(index.num_images):
        objects = index.objects_of(image)
        items = objects.start + np.flatnonzero(is_coded[objects])
        height, width = index.sizes[image].tolist()
        try:
            index.masks((height, width), items)
            continue
        except MaskError:
            pass  # one of them at least: which, and why, is asked of each
        for item in items.tolist():
            try:
                index.masks((height, width), np.array([item]))
            except MaskError as error:
                yield item, str(error)


def _take(index: AnnotationIndex, kept: np.ndarray) -> AnnotationIndex:
    """Return the index with these objects only."""
    if len(kept) == index.num_objects:
        return index
    rings, ring_offsets = take_ragged(
        np.arange(len(index.coordinate_offsets) - 1), index.ring_offsets, kept
    )
    coordinates, coordinate_offsets = take_ragged(
        index.coordinates, index.coordinate_offsets, rings
    )
    rle_text, rle_offsets = take_ragged(index.rle_text, index.rle_offsets, kept)
    counts, count_offsets = take_ragged(index.counts, index.count_offsets, kept)
    return replace(
        index,
        object_offsets=np.searchsorted(kept, index.object_offsets),
        annotation_ids=index.annotation_ids[kept],
        labels=index.labels[kept],
        is_crowd=index.is_crowd[kept],
        is_empty=index.is_empty[kept],
        areas=index.areas[kept],
        xywh=index.xywh[kept],
        ring_offsets=ring_offsets,
        coordinate_offsets=coordinate_offsets,
        coordinates=coordinates,
        rle_offsets=rle_offsets,
        rle_text=rle_text,
        count_offsets=count_offsets,
        counts=counts,
    )


def _object_of_ring(index: AnnotationIndex, ring: int | np.integer[Any]) -> int:
    return int(np.searchsorted(index.ring_offsets, ring, side="right")) - 1


def _text(xywh: np.ndarray) -> str:
    return "[" + ", ".join(f"{value:g}" for value in xywh) + "]"
