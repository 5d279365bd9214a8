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

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from maskwright.data.builder import IndexBuilder
from maskwright.data.coco_objects import (
    CocoObjectReader,
    CocoPicture,
    CrowdRule,
    is_id,
    note_crowds,
)
from maskwright.data.faults import FaultKind, FaultLog
from maskwright.data.formats.json_files import load_large_json
from maskwright.data.index import AnnotationIndex
from maskwright.data.json_pieces import JsonList, paused_collection
from maskwright.data.names import leads_outside
from maskwright.data.report import ImportReport, ImportReportBuilder
from maskwright.errors import AnnotationError

__all__ = ["read_coco"]


def read_coco(
    path: str | Path,
    *,
    crowd: CrowdRule = "ignore",
    content: Any = None,
    faults: FaultLog | None = None,
) -> tuple[AnnotationIndex, ImportReport]:
    """Read a COCO json; pictures are not looked for.

    Args:
        path: The json file.
        crowd: The rule for annotations with `iscrowd` 1.
        content: What the file says, where it was parsed already.
        faults: Gets entries that would be errors, and they are left out; None raises.

    Raises:
        AnnotationError: See the module; the message names file, picture and annotation.
    """
    path = Path(path)
    with paused_collection():
        return _read(path, crowd, content, faults)


def _read(
    path: Path, crowd: CrowdRule, content: Any, faults: FaultLog | None
) -> tuple[AnnotationIndex, ImportReport]:
    content = _checked(path, load_large_json(path) if content is None else content)
    report = ImportReportBuilder()
    category_ids, class_names = _read_categories(path, content["categories"])
    builder = IndexBuilder(str(path), class_names, category_ids)
    images = _read_images(path, content["images"], builder, faults)
    labels = {category_id: label for label, category_id in enumerate(category_ids)}
    reader = CocoObjectReader(
        path, builder, report, images=images, labels=labels, crowd=crowd, faults=faults
    )
    reader.read(content["annotations"])
    note_crowds(report, class_names, reader.num_objects, reader.num_crowd)
    index = builder.build(report, faults)
    return index, ImportReport(
        source=str(path),
        num_images=len(images),
        num_images_without_objects=len(images) - len(reader.images_with_objects),
        num_objects=len(content["annotations"]),
        num_crowd=sum(reader.num_crowd.values()),
        num_classes=len(class_names),
        findings=report.findings(),
    )


def _checked(path: Path, content: Any) -> dict[str, Sequence[Any]]:
    if isinstance(content, list):
        raise _fault(
            path,
            "a list, like COCO *results*; wanted an annotation file, an object with "
            '"images", "annotations" and "categories"',
        )
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list | JsonList):
            raise _fault(path, f'not a COCO annotation file, it has no list "{key}"')
    annotations: dict[str, Sequence[Any]] = content
    return annotations


def _read_categories(path: Path, entries: Sequence[Any]) -> tuple[list[int], list[str]]:
    names: dict[int, str] = {}
    clashes: list[str] = []
    for place, entry in enumerate(entries):
        if not isinstance(entry, dict) or not is_id(entry.get("id")):
            raise _fault(path, f"category {place} of the list has no whole-number id")
        if not isinstance(entry.get("name"), str) or not entry["name"]:
            raise _fault(path, f"category {entry['id']} has no name")
        if entry["id"] in names:
            clashes.append(f"{entry['id']} ({names[entry['id']]!r} and {entry['name']!r})")
        names[entry["id"]] = entry["name"]
    if clashes:
        raise _fault(path, f"category ids used twice: {', '.join(clashes)}; give each its own")
    twice = sorted(name for name, count in Counter(names.values()).items() if count > 1)
    if twice:
        raise _fault(path, f"category names used twice: {', '.join(twice)}; merge or rename them")
    if not names:
        raise _fault(path, 'the list "categories" is empty')
    category_ids = sorted(names)
    return category_ids, [names[category_id] for category_id in category_ids]


def _read_images(
    path: Path, entries: Sequence[Any], builder: IndexBuilder, faults: FaultLog | None
) -> dict[int, CocoPicture]:
    """Feed the pictures to the builder; returns what annotations need to know of them, by id."""
    images: dict[int, CocoPicture] = {}
    by_name: dict[str, CocoPicture] = {}
    for place, entry in enumerate(entries):
        kind, problem = _picture_problem(place, entry, images, by_name)
        if not problem:
            image_id, name = entry["id"], entry["file_name"]
            height, width = entry["height"], entry["width"]
            try:
                builder.add_image(image_id, name, height, width)
            except AnnotationError as error:
                if faults is None:
                    raise
                faults.add("entry-broken", str(error).removeprefix(f"{path}: "), picture=name)
                continue
            images[image_id] = by_name[name] = (len(by_name), name, [height, width])
            continue
        if faults is None:
            raise _fault(path, problem)
        is_again = kind == "id-twice" and entry["file_name"] in by_name
        faults.add(kind, problem, picture=entry["file_name"] if is_again else "")
        if is_again:  # annotations of the second entry belong to the one picture there is
            images.setdefault(entry["id"], by_name[entry["file_name"]])
    if not images:
        raise _fault(path, 'the list "images" is empty')
    return images


def _picture_problem(
    place: int, entry: Any, images: dict[int, CocoPicture], by_name: dict[str, CocoPicture]
) -> tuple[FaultKind, str]:
    """Return what is wrong with an entry of the list "images"; "" if nothing is."""
    if not isinstance(entry, dict) or not is_id(entry.get("id")):
        return "entry-broken", f"picture {place} of the list has no whole-number id"
    image_id, name = entry["id"], entry.get("file_name")
    if not isinstance(name, str) or not name:
        return "entry-broken", f"picture {image_id} has no file_name"
    if leads_outside(name):
        return "entry-broken", f"picture {name!r} leads out of the picture folder"
    if image_id in images:
        return "id-twice", f"picture id {image_id} is used twice, the second time by {name!r}"
    if name in by_name:
        return "id-twice", f"picture {name!r} is listed twice"
    if not is_id(entry.get("height")) or not is_id(entry.get("width")):
        return "entry-broken", f"picture {name!r} has no whole-number height and width"
    return "entry-broken", ""


def _fault(path: Path, problem: str) -> AnnotationError:
    return AnnotationError(f"{path}: {problem}")
