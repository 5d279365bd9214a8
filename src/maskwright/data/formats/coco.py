"""COCO: one json with pictures, annotations and categories (https://cocodataset.org).

The COCO exports of CVAT and Label Studio are read as such. Written with ids, areas and
segmentations as the source states them; nothing is lost.
"""

from __future__ import annotations

import json
from pathlib import Path

from maskwright.data.cache import cached_index
from maskwright.data.coco import read_coco
from maskwright.data.dataset import Dataset
from maskwright.data.formats.contract import Imported, ReadOptions, Source
from maskwright.data.formats.export import ExportLog, PictureObjects, file_stems, pictures_of
from maskwright.data.images import split_page
from maskwright.data.json_pieces import JsonList, sketch_of
from maskwright.errors import DataError
from maskwright.files import atomic_write

__all__ = ["copy_pictures", "is_lvis", "is_panoptic", "picture_entry", "read", "sniff", "write"]

_MAX_NAMED = 5


def sniff(source: Source) -> bool:
    """Say whether it is a json with COCO's lists, and not one of its relatives."""
    content = source.json_sketch
    if not isinstance(content, dict) or not {"images", "annotations"} <= content.keys():
        return False
    return not (is_lvis(content) or is_panoptic(content))


def is_lvis(content: dict[str, object]) -> bool:
    """Say whether a COCO-shaped json is LVIS's."""
    first = _first(content.get("categories"))
    images = _first(content.get("images"))
    return "synset" in first or "not_exhaustive_category_ids" in images


def is_panoptic(content: dict[str, object]) -> bool:
    """Say whether a COCO-shaped json describes panoptic maps."""
    return "segments_info" in _first(content.get("annotations"))


def _first(entries: object) -> dict[str, object]:
    first = entries[0] if isinstance(entries, list | JsonList) and entries else None
    return first if isinstance(first, dict) else {}


def read(source: Source, options: ReadOptions) -> Imported:
    """Read it; `maskwright.data.coco` says what is refused."""
    path = _only_json(source)
    index, report = cached_index(
        path,
        kind="coco",
        crowd=options.crowd,
        faults=options.faults,
        read=lambda: read_coco(
            path, crowd=options.crowd, content=source.json, faults=options.faults
        ),
        sketch=lambda: sketch_of(source.json),
    )
    return Imported(index, report, None, path)


def _only_json(source: Source) -> Path:
    if not source.is_folder:
        return source.path
    here = source.path
    found = sorted([*here.glob("*.json"), *here.glob("annotations/*.json")])
    if not found:
        raise DataError(f"{here}: no .json in this folder nor in its folder annotations")
    if len(found) > 1:
        names = ", ".join(str(file.relative_to(here)) for file in found[:_MAX_NAMED])
        more = f" and {len(found) - _MAX_NAMED} more" if len(found) > _MAX_NAMED else ""
        raise DataError(f"{here}: several .json ({names}{more}); name the one to open")
    return found[0]


def write(dataset: Dataset, folder: Path, log: ExportLog) -> None:
    """Write annotations.json beside the folder images."""
    content = dataset.to_coco()
    copy_pictures(dataset, folder, log)
    for entry, name in zip(content["images"], _names(dataset), strict=True):
        entry["file_name"] = name
    with atomic_write(folder / "annotations.json") as partial:
        partial.write_text(json.dumps(content), encoding="utf-8")


def copy_pictures(dataset: Dataset, folder: Path, log: ExportLog) -> None:
    """Copy all pictures below `images` under their flat names."""
    for picture in pictures_of(dataset, ExportLog()):
        picture.copy_picture(folder / "images" / picture.file_name, log)


def _names(dataset: Dataset) -> list[str]:
    stems = file_stems(dataset.file_names)
    suffixes = [split_page(name)[0].suffix for name in dataset.file_names]
    return [stem + suffix for stem, suffix in zip(stems, suffixes, strict=True)]


def picture_entry(picture: PictureObjects) -> dict[str, object]:
    """Return the entry of a picture in a list "images"."""
    height, width = picture.size
    return {
        "id": int(picture.dataset.image_ids[picture.position]),
        "file_name": picture.file_name,
        "height": height,
        "width": width,
    }
