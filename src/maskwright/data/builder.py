"""Where every reader puts what it reads: collected, ordered and checked in one place.

A reader of a format is one file with one function that feeds an `IndexBuilder`; the checks that
do not depend on the format are made here, over whole columns at once.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, NoReturn

import numpy as np
from jaxtyping import Bool, Int64
from PIL import Image

from maskwright.data.coco_columns import ObjectColumns
from maskwright.data.faults import FaultLog
from maskwright.data.index import AnnotationIndex, take_ragged
from maskwright.data.object_faults import (
    BOX_TOLERANCE,
    box_faults,
    polygon_faults,
    without_broken,
)
from maskwright.data.report import ImportReportBuilder
from maskwright.errors import AnnotationError, MaskError
from maskwright.masks import Masks
from maskwright.masks.kernels import kernel

__all__ = ["BOX_TOLERANCE", "IndexBuilder"]

# A full mask takes a run per column: this bounds what one annotation can cost.
_MAX_SIDE = 2**20


class IndexBuilder:
    """Collects pictures and objects and makes an `AnnotationIndex` of them.

    Args:
        source: The file being read, for messages.
        class_names: Names by label.
        category_ids: The source's ids by label.
        states_sizes: True where the format states box and area of an object, so that the report
            names objects without.
    """

    def __init__(
        self,
        source: str,
        class_names: Sequence[str],
        category_ids: Sequence[int],
        *,
        states_sizes: bool = True,
    ) -> None:
        self._states_sizes = states_sizes
        self._source = source
        self._class_names = tuple(class_names)
        self._category_ids = tuple(category_ids)
        self._image_ids = array("q")
        self._file_names: list[str] = []
        self._sizes = array("q")
        self._images = array("q")
        self._annotation_ids = array("q")
        self._labels = array("q")
        self._is_crowd = array("b")
        self._areas = array("d")
        self._xywh = array("d")
        self._is_box_missing = array("b")
        self._ring_offsets = array("q", [0])
        self._coordinate_offsets = array("q", [0])
        self._coordinates = array("d")
        self._rle_offsets = array("q", [0])
        self._rle_text = array("B")
        self._count_offsets = array("q", [0])
        self._counts = array("q")

    def add_image(self, image_id: int, file_name: str, height: int, width: int) -> None:
        """Add a picture; objects refer to it by its position.

        Raises:
            AnnotationError: The size is not positive or absurd.
        """
        most = 2 * (Image.MAX_IMAGE_PIXELS or 2**40)
        if not (0 < height <= _MAX_SIDE and 0 < width <= _MAX_SIDE) or height * width > most:
            raise AnnotationError(
                f"{self._source}: picture {file_name!r} is said to be {height} x {width} "
                f"(height x width); wanted sides from 1 to {_MAX_SIDE} and at most {most} pixels"
            )
        self._image_ids.append(image_id)
        self._file_names.append(file_name)
        self._sizes.extend((height, width))

    def add_object(
        self,
        *,
        image: int,
        annotation_id: int,
        label: int,
        is_crowd: bool,
        area: float | None,
        xywh: Sequence[float] | None,
        rings: Sequence[Sequence[float]] = (),
        rle: str | bytes = "",
        counts: Sequence[int] = (),
    ) -> None:
        """Add an object with exactly one of rings, rle and counts.

        An area or a box that is None is measured on the mask when the index is built.

        Raises:
            TypeError: A coordinate or count is not a number; the object is not added.
            OverflowError: A count is beyond 64 bits; the object is not added.
        """
        new_rings = [array("d", ring) for ring in rings]
        new_counts = array("q", counts)
        new_box = array("d", (0.0,) * 4 if xywh is None else xywh)
        new_text = rle.encode("ascii") if isinstance(rle, str) else rle
        self._areas.append(float("nan") if area is None else area)
        self._images.append(image)
        self._annotation_ids.append(annotation_id)
        self._labels.append(label)
        self._is_crowd.append(is_crowd)
        self._xywh.extend(new_box)
        self._is_box_missing.append(xywh is None)
        for ring in new_rings:
            self._coordinates.extend(ring)
            self._coordinate_offsets.append(len(self._coordinates))
        self._ring_offsets.append(len(self._coordinate_offsets) - 1)
        self._rle_text.frombytes(new_text)
        self._rle_offsets.append(len(self._rle_text))
        self._counts.extend(new_counts)
        self._count_offsets.append(len(self._counts))

    def add_columns(self, columns: ObjectColumns) -> None:
        """Add objects whose kinds of values were checked, areas and boxes stated."""
        self._areas.frombytes(columns.areas.tobytes())
        self._images.frombytes(columns.images.tobytes())
        self._annotation_ids.frombytes(columns.annotation_ids.tobytes())
        self._labels.frombytes(columns.labels.tobytes())
        self._is_crowd.frombytes(columns.is_crowd.tobytes())
        self._xywh.frombytes(columns.xywh.tobytes())
        self._is_box_missing.frombytes(bytes(len(columns.labels)))
        self._coordinates.extend(columns.coordinates)
        self._rle_text.frombytes(columns.rle_text)
        self._counts.extend(columns.counts)
        for offsets, lengths in (
            (self._ring_offsets, columns.num_rings),
            (self._coordinate_offsets, columns.ring_lengths),
            (self._rle_offsets, columns.rle_lengths),
            (self._count_offsets, columns.count_lengths),
        ):
            ends = offsets[-1] + np.cumsum(lengths, dtype=np.int64)
            offsets.frombytes(ends.tobytes())

    def build(self, report: ImportReportBuilder, faults: FaultLog | None = None) -> AnnotationIndex:
        """Return the index, after the checks; what is changed or dropped goes to the report.

        Args:
            report: Gets what is changed or dropped.
            faults: Gets what would be an error: the object is left out, or kept with the box
                that reaches outside, and nothing is raised.

        Raises:
            AnnotationError: Coordinates, areas or boxes that are not finite; a polygon with
                fewer than three points; a box that reaches more than a pixel outside its
                picture; a run-length code that does not fill its picture.
        """
        index = self._ordered()
        is_box_missing = np.array(self._is_box_missing, bool)[self._order()]
        if faults is not None:
            index, is_box_missing = without_broken(index, is_box_missing, faults)
        else:
            for item, problem in chain(polygon_faults(index), box_faults(index, is_box_missing)):
                _refuse(index, item, problem)
        return _measure(index, is_box_missing, report, reports_missing=self._states_sizes)

    def _order(self) -> Int64[np.ndarray, " n"]:
        return np.argsort(np.array(self._images, np.int64), kind="stable")

    def _ordered(self) -> AnnotationIndex:
        order = self._order()
        images = _flat(self._images)[order]
        ring_offsets = _flat(self._ring_offsets)
        ring_order, ring_offsets = take_ragged(np.arange(ring_offsets[-1]), ring_offsets, order)
        coordinates, coordinate_offsets = take_ragged(
            _flat(self._coordinates), _flat(self._coordinate_offsets), ring_order
        )
        rle_text, rle_offsets = take_ragged(_flat(self._rle_text), _flat(self._rle_offsets), order)
        counts, count_offsets = take_ragged(_flat(self._counts), _flat(self._count_offsets), order)
        return AnnotationIndex(
            source=self._source,
            class_names=self._class_names,
            category_ids=self._category_ids,
            image_ids=np.array(self._image_ids, np.int64),
            file_names=np.array(self._file_names, np.str_),
            sizes=np.array(self._sizes, np.int64).reshape(-1, 2),
            object_offsets=np.searchsorted(images, np.arange(len(self._image_ids) + 1)),
            annotation_ids=np.array(self._annotation_ids, np.int64)[order],
            labels=np.array(self._labels, np.int64)[order],
            is_crowd=np.array(self._is_crowd, bool)[order],
            is_empty=np.zeros(len(order), bool),
            areas=np.array(self._areas, np.float64)[order],
            xywh=np.array(self._xywh, np.float64).reshape(-1, 4)[order],
            ring_offsets=ring_offsets,
            coordinate_offsets=coordinate_offsets,
            coordinates=coordinates,
            rle_offsets=rle_offsets,
            rle_text=rle_text,
            count_offsets=count_offsets,
            counts=counts,
        )


def _flat(column: array[Any]) -> np.ndarray:
    """Return a column as an array that shares its memory; nothing may be appended any more."""
    return np.frombuffer(column, column.typecode) if column else np.empty(0, column.typecode)


def _refuse(index: AnnotationIndex, item: int, problem: str) -> NoReturn:
    raise AnnotationError(f"{index.source}: {index.where(item)}: {problem}")


def _measure(
    index: AnnotationIndex,
    is_box_missing: Bool[np.ndarray, " n"],
    report: ImportReportBuilder,
    *,
    reports_missing: bool,
) -> AnnotationIndex:
    """Decode the masks that need it: codes to check, boxes and areas to fill, likely empties."""
    is_area_missing = np.isnan(index.areas)
    is_coded = np.diff(index.rle_offsets) + np.diff(index.count_offsets) > 0
    needed = np.flatnonzero(is_coded | is_area_missing | is_box_missing | _may_be_empty(index))
    areas, xywh, is_empty = index.areas.copy(), index.xywh.copy(), index.is_empty.copy()
    images = np.searchsorted(index.object_offsets, needed, side="right") - 1
    for items in np.split(needed, np.flatnonzero(np.diff(images)) + 1):
        if not len(items):
            continue
        masks = _decode(index, items)
        is_empty[items] = masks.area == 0
        areas[items] = np.where(is_area_missing[items], masks.area, areas[items])
        boxes = masks.boxes.astype(np.float64)
        boxes[:, 2:] -= boxes[:, :2]
        xywh[items] = np.where(is_box_missing[items, None], boxes, xywh[items])
    for item in np.flatnonzero(is_empty).tolist():
        report.dropped("its mask has no pixel", index.where(item))
    missing = np.flatnonzero((is_box_missing | is_area_missing) & reports_missing)
    for item in missing.tolist():
        report.changed("box or area missing: measured on the mask", index.where(item))
    return replace(index, areas=areas, xywh=xywh, is_empty=is_empty)


def _decode(index: AnnotationIndex, items: Int64[np.ndarray, " q"]) -> Masks:
    height, width = index.sizes[index.image_of(items[0])].tolist()
    try:
        return index.masks((height, width), items)
    except MaskError:
        for place, item in enumerate(items):
            try:
                index.masks((height, width), items[place : place + 1])
            except MaskError as error:
                _refuse(index, item, str(error))
        raise


def _may_be_empty(index: AnnotationIndex) -> Bool[np.ndarray, " n"]:
    """Pick the objects whose polygons could cover no pixel centre.

    A ring surely covers one unless it is thin (its area, by the shoelace formula, is less than
    a pixel's width along its outline) or reaches outside the picture. Nearly all are cleared
    without being drawn, which keeps opening a large file quick.
    """
    images = np.repeat(np.arange(index.num_images), np.diff(index.object_offsets))
    maybe: np.ndarray = _without_sure_ring(
        index.coordinates,
        index.coordinate_offsets,
        index.ring_offsets,
        index.sizes[images],
    )
    return maybe


@kernel
def _without_sure_ring(
    coordinates: np.ndarray,
    coordinate_offsets: np.ndarray,
    ring_offsets: np.ndarray,
    sizes: np.ndarray,
) -> np.ndarray:
    # Ring by ring: over whole columns, the intermediate results take ten times the coordinates.
    maybe = np.zeros(len(sizes), np.bool_)
    for item in range(len(sizes)):
        height, width = sizes[item]
        maybe[item] = ring_offsets[item + 1] > ring_offsets[item]
        for ring in range(ring_offsets[item], ring_offsets[item + 1]):
            begin, end = coordinate_offsets[ring], coordinate_offsets[ring + 1]
            area, outline, is_inside = 0.0, 0.0, True
            x, y = coordinates[end - 2], coordinates[end - 1]
            for k in range(begin, end, 2):
                after_x, after_y = coordinates[k], coordinates[k + 1]
                area += x * after_y - after_x * y
                outline += abs(after_x - x) + abs(after_y - y)
                x, y = after_x, after_y
                is_inside &= 0 <= x <= width and 0 <= y <= height
            if is_inside and abs(area) / 2 >= outline:
                maybe[item] = False
    return maybe
