"""Read the truth that predictions are held against: a dataset, a COCO dict or a COCO json.

Only what scoring needs is kept, as columns; the pictures themselves are not opened. The official
`area` of each annotation is kept, since COCO's size ranges are defined on it (for polygons it
differs from the area of the drawn mask). As in pycocotools, `iscrowd` makes an object one to be
ignored, and a field named `ignore` is not looked at.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from maskwright.data.builder import BOX_TOLERANCE
from maskwright.data.federation import Federation
from maskwright.errors import AnnotationError, DataError
from maskwright.evaluation.objects import (
    Objects,
    Size,
    check_segmentation,
    finite_numbers,
    measure_masks,
    read_json,
)

if TYPE_CHECKING:
    from maskwright.data import Dataset

__all__ = ["CocoTruth", "Truth", "TruthSource", "load_truth", "read_truth"]

TruthSource: TypeAlias = "Dataset | Mapping[str, Any] | str | Path | CocoTruth"
"""A dataset, a COCO dict, or a path: a COCO json, or a folder that `open_dataset` reads; or what
`load_truth` made of one, to be read once."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Truth:
    """The true objects of a set of pictures.

    Args:
        source: Where it came from, for messages.
        image_ids: The pictures, ordered by id as pycocotools orders them.
        file_names: File name of each picture, "" where unknown.
        sizes: (height, width) of each picture, None where unknown.
        category_ids: The classes' ids, ascending; a label is an index into them.
        class_names: Their names, made unique by the id where two classes share one.
        objects: The true objects.
        federation: LVIS's fields of pictures and classes; None where the source has none.
        copies: How often every picture is there: twice where two sides are held against each
            other (`paired_pictures.py`).
    """

    source: str
    image_ids: tuple[int | str, ...]
    file_names: tuple[str, ...]
    sizes: tuple[Size | None, ...]
    category_ids: tuple[int, ...]
    class_names: tuple[str, ...]
    objects: Objects
    federation: Federation | None = None
    copies: int = 1


@dataclass(frozen=True)
class CocoTruth:
    """Truth as it came: a COCO dict with its three lists, their entries not yet checked.

    Args:
        source: Where it came from, for messages.
        coco: With the lists "images", "annotations" and "categories".
    """

    source: str
    coco: Mapping[str, Any]

    @property
    def lacks_masks(self) -> bool:
        """There are annotations, and none of them has a mask."""
        annotations = self.coco["annotations"]
        return len(annotations) > 0 and not any(
            isinstance(one, Mapping) and one.get("segmentation") for one in annotations
        )


def load_truth(truth: TruthSource) -> CocoTruth:
    """Load the truth from a dataset, a COCO dict, a COCO json or a folder; it is left as it was.

    Raises:
        DataError: The file is missing, is not json, or is not COCO.
    """
    if isinstance(truth, CocoTruth):
        return truth
    coco, source = _coco_dict(truth)
    for key in ("images", "annotations", "categories"):
        if not isinstance(coco.get(key), list):
            raise DataError(
                f"{source}: a COCO dataset has a list {key!r}, this has {sorted(coco)[:8]}: "
                "is it of another format?"
            )
    return CocoTruth(source, coco)


def read_truth(truth: CocoTruth, *, need_masks: bool) -> Truth:
    """Check the truth and turn it into columns.

    Args:
        truth: What `load_truth` gave.
        need_masks: Whether every object must have a mask, in a picture of known size.

    Raises:
        DataError: Pictures or classes without an id of their own.
        AnnotationError: An annotation names an unknown picture or class, or lacks what is needed.
    """
    source, coco = truth.source, truth.coco
    images = _by_id(coco["images"], "picture", source)
    categories = _by_id(coco["categories"], "category", source)
    image_ids = tuple(image["id"] for image in images)
    category_ids = tuple(category["id"] for category in categories)
    sizes = tuple(_size(image) for image in images)
    file_names = tuple(str(image.get("file_name", "")) for image in images)
    reader = _Annotations(source, coco["annotations"], image_ids, file_names, category_ids, sizes)
    return Truth(
        source=source,
        image_ids=image_ids,
        file_names=file_names,
        sizes=sizes,
        category_ids=category_ids,
        class_names=_unique_names(categories),
        objects=reader.objects(need_masks=need_masks),
        federation=_federation(source, images, categories),
    )


def _coco_dict(truth: Dataset | Mapping[str, Any] | str | Path) -> tuple[Mapping[str, Any], str]:
    if isinstance(truth, Mapping):
        return truth, "truth"
    if not isinstance(truth, (str, Path)):
        return truth.to_coco(federated=True), "truth"
    path = Path(truth)
    if path.is_dir() or (path.is_file() and path.suffix.lower() != ".json"):
        from maskwright.data import open_dataset

        return open_dataset(path).to_coco(federated=True), str(path)
    coco = read_json(path, DataError)
    if not isinstance(coco, dict):
        raise DataError(
            f"{path}: truth must be a COCO dataset (a json object with images, annotations and "
            f"categories), got a json {type(coco).__name__}: are predictions and truth swapped?"
        )
    return coco, str(path)


def _by_id(records: Sequence[Any], what: str, source: str) -> list[Mapping[str, Any]]:
    """Check that every record has an id of its own and sort by it."""
    for record in records:
        if not isinstance(record, Mapping) or not isinstance(record.get("id"), (int, str)):
            raise DataError(f"{source}: a {what} without an id: {str(record)[:80]}")
    seen: set[int | str] = set()
    for record in records:
        if record["id"] in seen:
            raise DataError(f"{source}: the {what} id {record['id']!r} is given twice")
        seen.add(record["id"])
    if len({isinstance(one, str) for one in seen}) > 1:
        raise DataError(f"{source}: some {what} ids are numbers and some are text")
    return sorted(records, key=lambda record: record["id"])


def _federation(
    source: str, images: Sequence[Mapping[str, Any]], categories: Sequence[Mapping[str, Any]]
) -> Federation | None:
    """LVIS's fields, by the order of pictures and classes; None where no picture has them."""
    if not any("neg_category_ids" in image for image in images):
        return None
    label_of = {category["id"]: label for label, category in enumerate(categories)}
    lists: dict[str, list[list[int]]] = {}
    for key in ("neg_category_ids", "not_exhaustive_category_ids"):
        lists[key] = []
        for image in images:
            unknown = [one for one in image.get(key, []) if one not in label_of]
            if unknown:
                raise DataError(
                    f"{source}: picture {image['id']}: {key} names {unknown[0]!r}, which is not "
                    "among the file's categories"
                )
            lists[key].append([label_of[one] for one in image.get(key, [])])
    frequencies = [str(category.get("frequency", "")) for category in categories]
    return Federation.of(frequencies, *lists.values())


def _size(image: Mapping[str, Any]) -> Size | None:
    if not image.get("height") or not image.get("width"):
        return None
    return int(image["height"]), int(image["width"])


def _unique_names(categories: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    names = [str(category.get("name", category["id"])) for category in categories]
    return tuple(
        name if names.count(name) == 1 else f"{name} (id {category['id']})"
        for name, category in zip(names, categories, strict=True)
    )


def _require_inside(xywh: np.ndarray, size: Size | None, place: str) -> None:
    """Refuse what importing refuses: a box that reaches more than a pixel beyond the picture."""
    if size is None:
        return
    height, width = size
    left, top, across, down = xywh.tolist()
    right, bottom = left + across, top + down
    beyond = max(-left, -top, right - width, bottom - height)
    if beyond > BOX_TOLERANCE or min(across, down) < 0:
        raise AnnotationError(
            f"{place}: [{left:g}, {top:g}, {across:g}, {down:g}] (left, top, width, height) is not "
            f"inside the {width} pixels wide and {height} high picture: clip it, or mend the "
            "picture's size"
        )


@dataclass(frozen=True)
class _Annotations:
    """The annotations of one file, with what they may refer to."""

    source: str
    annotations: Sequence[Mapping[str, Any]]
    image_ids: tuple[int | str, ...]
    file_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    sizes: tuple[Size | None, ...]

    @cached_property
    def _file_name_of(self) -> dict[Any, str]:
        return dict(zip(self.image_ids, self.file_names, strict=True))

    def place(self, row: int) -> str:
        annotation: object = self.annotations[row]
        if not isinstance(annotation, Mapping):
            return f"{self.source}: annotation number {row}"
        name = annotation.get("id", f"number {row}")
        picture = annotation.get("image_id")
        if isinstance(picture, Hashable):
            picture = self._file_name_of.get(picture) or picture
        return f"{self.source}: annotation {name} of picture {picture!r}"

    def objects(self, *, need_masks: bool) -> Objects:
        n = len(self.annotations)
        objects = Objects(
            images=self._indices("image_id", self.image_ids),
            labels=self._indices("category_id", self.category_ids),
            boxes=np.full((n, 4), np.nan),
            areas=np.full(n, np.nan),
            is_crowd=np.array([bool(one.get("iscrowd", 0)) for one in self.annotations], bool),
            scores=np.ones(n),
            segmentations=[one.get("segmentation") or [] for one in self.annotations],
        )
        for row, annotation in enumerate(self.annotations):
            if annotation.get("bbox"):
                place = f"{self.place(row)}: bbox"
                objects.boxes[row] = finite_numbers(annotation["bbox"], 4, place, AnnotationError)
                _require_inside(objects.boxes[row], self.sizes[objects.images[row]], place)
            if annotation.get("area") is not None:
                place = f"{self.place(row)}: area"
                objects.areas[row] = finite_numbers(
                    [annotation["area"]], 1, place, AnnotationError
                )[0]
        self._read_off_masks(objects, need_masks=need_masks)
        return objects

    def _indices(self, key: str, known: Sequence[int | str]) -> np.ndarray:
        index_of: dict[Any, int] = {one: index for index, one in enumerate(known)}
        indices = np.zeros(len(self.annotations), np.int64)
        for row, annotation in enumerate(self.annotations):
            got = annotation.get(key) if isinstance(annotation, Mapping) else annotation
            if not isinstance(got, Hashable) or got not in index_of:
                raise AnnotationError(
                    f"{self.place(row)}: {key} {repr(got)[:80]} is not among the file's "
                    f"{'images' if key == 'image_id' else 'categories'}"
                )
            indices[row] = index_of[got]
        return indices

    def _read_off_masks(self, objects: Objects, *, need_masks: bool) -> None:
        """Fill boxes and areas that the file leaves out, and decode what could be damaged."""
        assert objects.segmentations is not None
        lacking = np.isnan(objects.boxes[:, 0]) | np.isnan(objects.areas)
        wanted = []
        for row, segmentation in enumerate(objects.segmentations):
            if need_masks or (lacking[row] and segmentation):
                size = self.sizes[objects.images[row]]
                check_segmentation(segmentation, size, self.place(row), AnnotationError)
                if lacking[row] or isinstance(segmentation, dict):
                    wanted.append(row)
        rows = np.array(wanted, dtype=np.int64)
        areas, boxes = measure_masks(objects, rows, self.sizes, self.place, AnnotationError)
        no_area, no_box = np.isnan(objects.areas[rows]), np.isnan(objects.boxes[rows, 0])
        objects.areas[rows[no_area]] = areas[no_area]
        objects.boxes[rows[no_box]] = boxes[no_box]
        for row in np.flatnonzero(np.isnan(objects.boxes[:, 0])).tolist():
            raise AnnotationError(f"{self.place(row)} has neither bbox nor segmentation")
        without = np.isnan(objects.areas)
        objects.areas[without] = objects.boxes[without, 2] * objects.boxes[without, 3]
