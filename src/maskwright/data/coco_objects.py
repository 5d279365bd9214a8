"""The entries of a COCO file's list "annotations", one at a time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeGuard

import numpy as np

from maskwright.data.builder import IndexBuilder
from maskwright.data.coco_columns import columns_of
from maskwright.data.faults import FaultError, FaultKind, FaultLog
from maskwright.data.json_pieces import pieces_of
from maskwright.data.report import ImportReportBuilder
from maskwright.errors import AnnotationError, ConfigError

__all__ = ["CocoObjectReader", "CocoPicture", "CrowdRule", "is_id", "note_crowds"]

CrowdRule = Literal["ignore", "object", "drop"]
"""What becomes of crowds: a region where nothing is counted wrong, an object, or nothing."""

CocoPicture = tuple[int, str, list[int]]
"""Position of a picture, its file name, [height, width]."""

_FIELDS = frozenset(
    {"id", "image_id", "category_id", "segmentation", "area", "bbox", "iscrowd", "ignore"}
)


class CocoObjectReader:
    """Feeds annotations to a builder and keeps the counts.

    Args:
        path: The file, for messages.
        builder: Gets the objects.
        report: Gets what is changed, dropped or worth a note.
        images: The pictures by id.
        labels: Class labels by category id.
        crowd: The rule for crowds.
        faults: Gets what would be an error, and the entry is left out; None raises.

    Attributes:
        images_with_objects: Positions of the pictures that annotations name.
        num_objects: Annotations by label.
        num_crowd: Those of them that are crowds, by label.

    Raises:
        ConfigError: An unknown rule for crowds.
    """

    def __init__(
        self,
        path: Path,
        builder: IndexBuilder,
        report: ImportReportBuilder,
        *,
        images: Mapping[int, CocoPicture],
        labels: Mapping[int, int],
        crowd: CrowdRule,
        faults: FaultLog | None = None,
    ) -> None:
        if crowd not in ("ignore", "object", "drop"):
            raise ConfigError(f'crowd must be "ignore", "object" or "drop", got {crowd!r}')
        self._path = path
        self._builder = builder
        self._report = report
        self._images = images
        self._labels = labels
        self._crowd = crowd
        self._faults = faults
        self._num_with_segmentation = 0
        self._next_id = 0
        self.images_with_objects: set[int] = set()
        self.num_objects: Counter[int] = Counter()
        self.num_crowd: Counter[int] = Counter()

    def read(self, entries: Sequence[Any]) -> None:
        """Read the whole list.

        Raises:
            AnnotationError: The first defect; it names the file and the annotation, and its
                picture where that is known.
        """
        seen: set[int] = set()
        num_read = 0
        for piece in pieces_of(entries):
            if not self._read_columns(piece, seen):
                self._read_singly(piece, num_read, entries, seen)
            num_read += len(piece)
        if entries and not self._num_with_segmentation:
            raise self._fault(
                f"none of its {len(entries)} annotations has a segmentation: boxes are not "
                f"enough, masks were wanted"
            )

    def _read_columns(self, piece: Sequence[Any], seen: set[int]) -> bool:
        """Read a piece of the list at once; False, with nothing done, if that cannot be."""
        columns = columns_of(piece, self._images, self._labels, _FIELDS)
        if columns is None:
            return False
        num_crowd = np.bincount(columns.labels[columns.is_crowd])
        ids = columns.annotation_ids.tolist()
        if (len(num_crowd) and self._crowd != "ignore") or not seen.isdisjoint(ids):
            return False
        seen.update(ids)
        self.images_with_objects.update(columns.images.tolist())
        self._num_with_segmentation += len(ids)
        for counter, counts in (
            (self.num_objects, np.bincount(columns.labels)),
            (self.num_crowd, num_crowd),
        ):
            counter.update({k: count for k, count in enumerate(counts.tolist()) if count})
        self._builder.add_columns(columns)
        return True

    def _read_singly(
        self, piece: Sequence[Any], start: int, entries: Sequence[Any], seen: set[int]
    ) -> None:
        """Read the entries of a piece that begins at position `start` of the list."""
        for place, entry in enumerate(piece, start):
            if not isinstance(entry, dict):
                self._refuse("entry-broken", f"annotation {place} of the list is not an object")
                continue
            annotation_id = entry.get("id")
            is_numbered = annotation_id is not None
            if not is_numbered:
                self._next_id = self._next_id or 1 + _highest_id(entries)
                annotation_id, self._next_id = self._next_id, self._next_id + 1
            if not is_id(annotation_id):
                problem = f"annotation id {annotation_id!r} is not a whole number"
                self._refuse("entry-broken", problem)
                continue
            if annotation_id in seen:
                problem = f"annotation id {annotation_id} is used twice"
                self._refuse("id-twice", problem, annotation_id=annotation_id)
            seen.add(annotation_id)
            self._read_entry(annotation_id, entry, is_numbered=is_numbered)

    def _read_entry(self, annotation_id: int, entry: dict[str, Any], *, is_numbered: bool) -> None:
        image_id = entry.get("image_id")
        image = self._images.get(image_id) if is_id(image_id) else None
        if image is None:
            problem = f"annotation {annotation_id} is of picture {image_id!r}, which is not in"
            self._refuse("reference-unknown", f'{problem} "images"', annotation_id=annotation_id)
            return
        where = f"annotation {annotation_id} of picture {image[1]!r}"
        try:
            self._read_one(annotation_id, entry, image, where)
        except AnnotationError as error:
            if self._faults is None:
                raise self._fault(f"{where}: {error}") from error.__cause__
            kind = error.kind if isinstance(error, FaultError) else "entry-broken"
            self._faults.add(kind, str(error), picture=image[1], annotation_id=annotation_id)
            return
        if not is_numbered:
            self._report.changed("id missing: numbered", where)

    def _refuse(self, kind: FaultKind, problem: str, *, annotation_id: int | None = None) -> None:
        if self._faults is None:
            raise self._fault(problem)
        self._faults.add(kind, problem, annotation_id=annotation_id)

    def _read_one(
        self, annotation_id: int, entry: dict[str, Any], image: CocoPicture, where: str
    ) -> None:
        place, _, size = image
        label = self._labels.get(entry["category_id"]) if is_id(entry.get("category_id")) else None
        if label is None:
            problem = f'category {entry.get("category_id")!r} is not in "categories"'
            raise FaultError("reference-unknown", problem)
        is_crowd = entry.get("iscrowd", 0)
        if is_crowd not in (0, 1):
            raise AnnotationError(f"iscrowd is {is_crowd!r}, wanted 0 or 1")
        self.images_with_objects.add(place)
        self.num_objects[label] += 1
        if not entry.keys() <= _FIELDS:
            for key in sorted(entry.keys() - _FIELDS):
                self._report.noted(f"field {key!r} is not one of COCO's and was not kept", where)
        if is_crowd and not self._keeps_crowd(label, where):
            return
        if not entry.get("segmentation"):
            self._report.dropped("no segmentation", where)
            if self._faults is not None:
                self._faults.add(
                    "mask-missing",
                    "it has no segmentation",
                    picture=image[1],
                    annotation_id=annotation_id,
                )
            return
        self._num_with_segmentation += 1
        try:
            self._builder.add_object(
                image=place,
                annotation_id=annotation_id,
                label=label,
                is_crowd=bool(is_crowd) and self._crowd == "ignore",
                area=_area(entry.get("area")),
                xywh=_box(entry.get("bbox")),
                **_segmentation(entry["segmentation"], size),
            )
        except (TypeError, OverflowError, UnicodeEncodeError) as error:
            raise AnnotationError(f"a coordinate or a count is not a number ({error})") from error

    def _keeps_crowd(self, label: int, where: str) -> bool:
        self.num_crowd[label] += 1
        if self._crowd == "drop":
            self._report.dropped('a crowd (crowd="drop")', where)
        elif self._crowd == "object":
            self._report.changed('a crowd, taken for an object (crowd="object")', where)
        return self._crowd != "drop"

    def _fault(self, problem: str) -> AnnotationError:
        return AnnotationError(f"{self._path}: {problem}")


def note_crowds(
    report: ImportReportBuilder,
    class_names: Sequence[str],
    num_objects: Mapping[int, int],
    num_crowd: Mapping[int, int],
) -> None:
    """Note the classes that are mostly crowds, as some tools mark every brush stroke."""
    for label, count in sorted(num_crowd.items()):
        if 2 * count > num_objects[label]:
            report.noted(
                "most objects of a class are marked as crowd; if a tool marked single objects "
                'so, open the dataset with crowd="object"',
                f"{class_names[label]}: {count} of {num_objects[label]}",
            )


def is_id(value: Any) -> TypeGuard[int]:
    """Say whether a value is a whole number of at most 64 bits; a boolean is not."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _highest_id(entries: Sequence[Any]) -> int:
    """Return the highest valid id of a list, 0 without any."""
    ids = (e["id"] for e in entries if isinstance(e, dict) and is_id(e.get("id")))
    return max(ids, default=0)


def _segmentation(segmentation: Any, size: list[int]) -> dict[str, Any]:
    """Return the builder's arguments for a segmentation that is not empty."""
    if isinstance(segmentation, list):
        if not all(isinstance(ring, list) for ring in segmentation):
            raise AnnotationError(
                f"the segmentation is a list of {type(segmentation[0]).__name__}, wanted a list "
                f"of polygons [[x1, y1, x2, y2, ...], ...]: one bracket short?"
            )
        return {"rings": segmentation}
    if not isinstance(segmentation, dict):
        raise AnnotationError(
            f"the segmentation is a {type(segmentation).__name__}, wanted polygons or a "
            f"run-length code"
        )
    if segmentation.get("size") != size:
        raise FaultError(
            "run-length-broken",
            f"its run-length code is for a picture of size {segmentation.get('size')}, the "
            f"picture is {size} (height, width)",
        )
    counts = segmentation.get("counts")
    if not isinstance(counts, str | list) or not counts:
        raise FaultError("run-length-broken", "its run-length code has no counts")
    return {"rle" if isinstance(counts, str) else "counts": counts}


def _area(area: Any) -> float | None:
    if area is None:
        return None
    if not isinstance(area, int | float) or not (math.isfinite(area) and area >= 0):
        raise AnnotationError(f"area is {area!r}, wanted square pixels")
    return float(area)


def _box(box: Any) -> list[float] | None:
    if box is None or box == []:
        return None
    if not isinstance(box, list) or len(box) != 4:
        raise AnnotationError(f"bbox is {box!r}, wanted [left, top, width, height]")
    return box
