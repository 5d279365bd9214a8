"""Many entries of COCO's list "annotations" at once, where nothing about them is unusual.

Reading 860,000 entries one by one takes longer than parsing them. `columns_of` turns a piece of
the list into columns if every entry has all of COCO's fields, of the expected kinds; anything else
makes it return None, and the piece is read entry by entry with all its messages.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64

__all__ = ["ObjectColumns", "columns_of"]

_NEEDED = ("id", "image_id", "category_id", "segmentation", "area", "bbox")
_NUMBER = {int, float}
_INT64 = np.iinfo(np.int64)


@dataclass(frozen=True, kw_only=True)
class ObjectColumns:
    """n objects as the builder takes them; lengths are per object, but for rings.

    Args:
        images: Positions of their pictures.
        annotation_ids: Their ids, without repetition among themselves.
        labels: Class labels.
        is_crowd: Whether the entry is marked as a crowd.
        areas: Square pixels.
        xywh: Boxes, flat.
        num_rings: Rings of each object.
        ring_lengths: Coordinates of each ring.
        coordinates: All coordinates.
        rle_lengths: Characters of each compressed code.
        rle_text: All codes.
        count_lengths: Counts of each plain code.
        counts: All counts.
    """

    images: Int64[np.ndarray, " n"]
    annotation_ids: Int64[np.ndarray, " n"]
    labels: Int64[np.ndarray, " n"]
    is_crowd: Bool[np.ndarray, " n"]
    areas: Float64[np.ndarray, " n"]
    xywh: Float64[np.ndarray, " 4*n"]
    num_rings: Sequence[int]
    ring_lengths: Sequence[int]
    coordinates: array[float]
    rle_lengths: Sequence[int]
    rle_text: bytes
    count_lengths: Sequence[int]
    counts: array[int]


def columns_of(
    entries: Sequence[Any],
    images: Mapping[int, tuple[int, str, list[int]]],
    labels: Mapping[int, int],
    fields: frozenset[str],
) -> ObjectColumns | None:
    """Return the entries as columns, None if one of them needs a closer look.

    Args:
        entries: Consecutive entries.
        images: Position, name and size of the pictures by id.
        labels: Class labels by category id.
        fields: The fields that need no remark.
    """
    if set(map(type, entries)) != {dict} or not all(e.keys() <= fields for e in entries):
        return None
    try:
        ids, image_ids, category_ids, segmentations, areas, boxes = (
            [e[key] for e in entries] for key in _NEEDED
        )
        crowds = [e.get("iscrowd", 0) for e in entries]
        if set(map(type, chain(ids, image_ids, category_ids, crowds))) != {int}:
            return None
        places = [images[i] for i in image_ids]
        found = _segmentations(segmentations, places)
        if found is None or not set(map(type, areas)) <= _NUMBER or not _are_boxes(boxes):
            return None
        columns = ObjectColumns(
            images=np.array([place for place, _, _ in places], np.int64),
            annotation_ids=np.array(ids, np.int64),
            labels=np.array([labels[i] for i in category_ids], np.int64),
            is_crowd=np.array(crowds) != 0,
            areas=np.array(areas, np.float64),
            xywh=np.array(array("d", chain.from_iterable(boxes))),
            **found,
        )
    except (KeyError, TypeError, OverflowError, UnicodeEncodeError):
        return None
    is_sound = (
        set(crowds) <= {0, 1}
        and bool((np.isfinite(columns.areas) & (columns.areas >= 0)).all())
        and len(set(ids)) == len(ids)
        and min(ids) > _INT64.min
    )
    return columns if is_sound else None


def _are_boxes(boxes: Sequence[Any]) -> bool:
    return set(map(type, boxes)) == {list} and set(map(len, boxes)) == {4}


def _segmentations(
    segmentations: list[Any], places: Sequence[tuple[int, str, list[int]]]
) -> dict[str, Any] | None:
    """Return the ragged columns of `ObjectColumns`; TypeError where something is no number."""
    if not all(segmentations):
        return None
    texts: list[bytes] = [b""] * len(segmentations)
    plain: list[list[int]] = [[]] * len(segmentations)
    for k, one in enumerate(segmentations):
        if type(one) is dict:
            counts = one.get("counts")
            if one.get("size") != places[k][2] or type(counts) not in (str, list) or not counts:
                return None
            if type(counts) is str:
                texts[k] = counts.encode("ascii")
            else:
                plain[k] = counts
            segmentations[k] = []
    if set(map(type, segmentations)) != {list}:
        return None
    rings = list(chain.from_iterable(segmentations))
    if not set(map(type, rings)) <= {list}:
        return None
    return {
        "num_rings": list(map(len, segmentations)),
        "ring_lengths": list(map(len, rings)),
        "coordinates": array("d", list(chain.from_iterable(rings))),
        "rle_lengths": list(map(len, texts)),
        "rle_text": b"".join(texts),
        "count_lengths": list(map(len, plain)),
        "counts": array("q", list(chain.from_iterable(plain))),
    }
