"""Reading COCO annotation files (format: https://cocodataset.org/#format-data).

Errors, because going on would train on something else than was meant: text that is not JSON or
not COCO; pictures, classes or annotations without id or with one used twice; names used twice;
annotations of unknown pictures or classes; polygons with fewer than three points; run-length
codes of another size than their picture or that do not fill it; values that are not finite;
boxes outside their picture; file names that lead out of the picture folder.

Counted in the report and gone on: objects without a segmentation (dropped), with a mask without
pixels (kept in the index, not trained), without box or area (measured); crowds; fields that are
not COCO's.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Literal, TypeGuard

from maskwright.data.builder import IndexBuilder
from maskwright.data.index import AnnotationIndex
from maskwright.data.report import ImportReport, ImportReportBuilder
from maskwright.errors import AnnotationError, ConfigError

__all__ = ["CrowdRule", "read_coco"]

CrowdRule = Literal["ignore", "object", "drop"]
"""What becomes of crowds: a region where nothing is counted wrong, an object, or nothing."""

# Position of the picture, its file name, [height, width].
_Picture = tuple[int, str, list[int]]

_FIELDS = frozenset(
    {"id", "image_id", "category_id", "segmentation", "area", "bbox", "iscrowd", "ignore"}
)


def read_coco(
    path: str | Path, *, crowd: CrowdRule = "ignore"
) -> tuple[AnnotationIndex, ImportReport]:
    """Read a COCO json; pictures are not looked for.

    Args:
        path: The json file.
        crowd: The rule for annotations with `iscrowd` 1.

    Raises:
        AnnotationError: See the module; the message names file, picture and annotation.
    """
    path = Path(path)
    content = _load(path)
    report = ImportReportBuilder()
    category_ids, class_names = _read_categories(path, content["categories"])
    builder = IndexBuilder(str(path), class_names, category_ids)
    images = _read_images(path, content["images"], builder)
    labels = {category_id: label for label, category_id in enumerate(category_ids)}
    reader = _AnnotationReader(path, builder, report, images, labels, crowd)
    reader.read(content["annotations"])
    reader.note_crowds(class_names)
    index = builder.build(report)
    return index, ImportReport(
        source=str(path),
        num_images=len(images),
        num_images_without_objects=len(images) - len(reader.images_with_objects),
        num_objects=len(content["annotations"]),
        num_crowd=sum(reader.num_crowd.values()),
        num_classes=len(class_names),
        findings=report.findings(),
    )


def _load(path: Path) -> dict[str, list[Any]]:
    try:
        content: Any = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise AnnotationError(f"{path}: no such file") from None
    except (ValueError, RecursionError) as error:
        raise AnnotationError(
            f"{path}: not JSON ({error}); cut short or another format?"
        ) from error
    if isinstance(content, list):
        raise AnnotationError(
            f"{path}: a list, like COCO *results*; wanted an annotation file, an object with "
            f'"images", "annotations" and "categories"'
        )
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise _fault(path, f'not a COCO annotation file, it has no list "{key}"')
    annotations: dict[str, list[Any]] = content
    return annotations


def _read_categories(path: Path, entries: list[Any]) -> tuple[list[int], list[str]]:
    names: dict[int, str] = {}
    for place, entry in enumerate(entries):
        if not isinstance(entry, dict) or not _is_id(entry.get("id")):
            raise _fault(path, f"category {place} of the list has no whole-number id")
        if not isinstance(entry.get("name"), str) or not entry["name"]:
            raise _fault(path, f"category {entry['id']} has no name")
        if entry["id"] in names:
            raise _fault(path, f"category id {entry['id']} is used twice")
        names[entry["id"]] = entry["name"]
    twice = sorted(name for name, count in Counter(names.values()).items() if count > 1)
    if twice:
        raise _fault(path, f"category names used twice: {', '.join(twice)}; merge or rename them")
    if not names:
        raise _fault(path, 'the list "categories" is empty')
    category_ids = sorted(names)
    return category_ids, [names[category_id] for category_id in category_ids]


def _read_images(path: Path, entries: list[Any], builder: IndexBuilder) -> dict[int, _Picture]:
    """Feed the pictures to the builder; returns what annotations need to know of them, by id."""
    images: dict[int, _Picture] = {}
    seen_names: set[str] = set()
    for place, entry in enumerate(entries):
        if not isinstance(entry, dict) or not _is_id(entry.get("id")):
            raise _fault(path, f"picture {place} of the list has no whole-number id")
        image_id, name = entry["id"], entry.get("file_name")
        if not isinstance(name, str) or not name:
            raise _fault(path, f"picture {image_id} has no file_name")
        if _leads_outside(name):
            raise _fault(path, f"picture {name!r} leads out of the picture folder")
        if image_id in images:
            raise _fault(path, f"picture id {image_id} is used twice, the second time by {name!r}")
        if name in seen_names:
            raise _fault(path, f"picture {name!r} is listed twice")
        height, width = entry.get("height"), entry.get("width")
        if not _is_id(height) or not _is_id(width):
            raise _fault(path, f"picture {name!r} has no whole-number height and width")
        builder.add_image(image_id, name, height, width)
        seen_names.add(name)
        images[image_id] = (place, name, [height, width])
    if not images:
        raise _fault(path, 'the list "images" is empty')
    return images


class _AnnotationReader:
    """Feeds annotations to a builder, one at a time, and keeps the counts."""

    def __init__(
        self,
        path: Path,
        builder: IndexBuilder,
        report: ImportReportBuilder,
        images: dict[int, _Picture],
        labels: dict[int, int],
        crowd: CrowdRule,
    ) -> None:
        if crowd not in ("ignore", "object", "drop"):
            raise ConfigError(f'crowd must be "ignore", "object" or "drop", got {crowd!r}')
        self._path = path
        self._builder = builder
        self._report = report
        self._images = images
        self._labels = labels
        self._crowd = crowd
        self._num_with_segmentation = 0
        self.images_with_objects: set[int] = set()
        self.num_objects: Counter[int] = Counter()
        self.num_crowd: Counter[int] = Counter()

    def read(self, entries: list[Any]) -> None:
        seen: set[int] = set()
        next_id = 1 + max(
            (e["id"] for e in entries if isinstance(e, dict) and _is_id(e.get("id"))), default=0
        )
        for place, entry in enumerate(entries):
            if not isinstance(entry, dict):
                raise _fault(self._path, f"annotation {place} of the list is not an object")
            annotation_id = entry.get("id")
            is_numbered = annotation_id is not None
            if not is_numbered:
                annotation_id, next_id = next_id, next_id + 1
            if not _is_id(annotation_id):
                raise _fault(self._path, f"annotation id {annotation_id!r} is not a whole number")
            if annotation_id in seen:
                raise _fault(self._path, f"annotation id {annotation_id} is used twice")
            seen.add(annotation_id)
            where = self._read_one(annotation_id, entry)
            if not is_numbered:
                self._report.changed("id missing: numbered", where)
        if entries and not self._num_with_segmentation:
            raise _fault(
                self._path,
                f"none of its {len(entries)} annotations has a segmentation: boxes are not "
                f"enough, masks were wanted",
            )

    def note_crowds(self, class_names: list[str]) -> None:
        for label, count in sorted(self.num_crowd.items()):
            if 2 * count > self.num_objects[label]:
                self._report.noted(
                    "most objects of a class are marked as crowd; if a tool marked single "
                    'objects so, open the dataset with crowd="object"',
                    f"{class_names[label]}: {count} of {self.num_objects[label]}",
                )

    def _read_one(self, annotation_id: int, entry: dict[str, Any]) -> str:
        picture = self._images.get(_hashable(entry.get("image_id")))
        if picture is None:
            raise _fault(
                self._path,
                f"annotation {annotation_id} is of picture {entry.get('image_id')!r}, which is "
                f'not in "images"',
            )
        place, name, size = picture
        where = f"annotation {annotation_id} of picture {name!r}"
        label = self._labels.get(_hashable(entry.get("category_id")))
        if label is None:
            raise _fault(
                self._path,
                f'{where}: category {entry.get("category_id")!r} is not in "categories"',
            )
        is_crowd = entry.get("iscrowd", 0)
        if is_crowd not in (0, 1):
            raise _fault(self._path, f"{where}: iscrowd is {is_crowd!r}, wanted 0 or 1")
        self.images_with_objects.add(place)
        self.num_objects[label] += 1
        self._note_fields(entry, where)
        if is_crowd:
            self.num_crowd[label] += 1
            if self._crowd == "drop":
                self._report.dropped('a crowd (crowd="drop")', where)
                return where
            if self._crowd == "object":
                self._report.changed('a crowd, taken for an object (crowd="object")', where)
        segmentation = self._segmentation(entry.get("segmentation"), where, size)
        if segmentation is None:
            self._report.dropped("no segmentation", where)
            return where
        self._num_with_segmentation += 1
        try:
            self._builder.add_object(
                image=place,
                annotation_id=annotation_id,
                label=label,
                is_crowd=bool(is_crowd) and self._crowd == "ignore",
                area=self._area(entry.get("area"), where),
                xywh=self._box(entry.get("bbox"), where),
                **segmentation,
            )
        except (TypeError, OverflowError, UnicodeEncodeError) as error:
            problem = f"{where}: a coordinate or a count is not a number ({error})"
            raise _fault(self._path, problem) from error
        return where

    def _note_fields(self, entry: dict[str, Any], where: str) -> None:
        for key in entry.keys() - _FIELDS:
            self._report.noted(f"field {key!r} is not one of COCO's and was not kept", where)

    def _segmentation(
        self, segmentation: Any, where: str, size: list[int]
    ) -> dict[str, Any] | None:
        """Return the builder's arguments; None if there is no segmentation."""
        if segmentation is None or segmentation in ([], {}):
            return None
        if isinstance(segmentation, list):
            if not all(isinstance(ring, list) for ring in segmentation):
                raise _fault(
                    self._path,
                    f"{where}: the segmentation is a list of {type(segmentation[0]).__name__}, "
                    f"wanted a list of polygons [[x1, y1, x2, y2, ...], ...]: one bracket short?",
                )
            return {"rings": segmentation}
        if not isinstance(segmentation, dict):
            raise _fault(
                self._path,
                f"{where}: the segmentation is a {type(segmentation).__name__}, wanted polygons "
                f"or a run-length code",
            )
        if segmentation.get("size") != size:
            raise _fault(
                self._path,
                f"{where}: its run-length code is for a picture of size "
                f"{segmentation.get('size')}, the picture is {size} (height, width)",
            )
        counts = segmentation.get("counts")
        if isinstance(counts, str) and counts:
            return {"rle": counts}
        if isinstance(counts, list) and counts:
            return {"counts": counts}
        raise _fault(self._path, f"{where}: its run-length code has no counts")

    def _area(self, area: Any, where: str) -> float | None:
        if area is None:
            return None
        if not _is_number(area) or not (math.isfinite(area) and area >= 0):
            raise _fault(self._path, f"{where}: area is {area!r}, wanted square pixels")
        return float(area)

    def _box(self, box: Any, where: str) -> list[float] | None:
        if box is None or box == []:
            return None
        if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
            raise _fault(self._path, f"{where}: bbox is {box!r}, wanted [left, top, width, height]")
        return box


def _fault(path: Path, problem: str) -> AnnotationError:
    return AnnotationError(f"{path}: {problem}")


def _is_id(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _hashable(value: Any) -> Any:
    return value if isinstance(value, int | str) else None


def _leads_outside(name: str) -> bool:
    is_rooted = PurePosixPath(name).is_absolute() or bool(PureWindowsPath(name).anchor)
    return is_rooted or ".." in PureWindowsPath(name).parts or "\0" in name
