"""LVIS: COCO's json without crowds, with a frequency per class and lists of what was checked.

Read with the reader of COCO; what LVIS says of frequencies and of the classes that were looked for
in each picture is kept (`maskwright.data.federation`) and written again. Of other sources every
class is taken as looked for in every picture, and frequencies are counted.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from maskwright.data.cache import cached_index
from maskwright.data.coco import read_coco
from maskwright.data.coco_objects import is_id
from maskwright.data.dataset import Dataset
from maskwright.data.federation import Federation
from maskwright.data.formats.coco import is_lvis, picture_entry
from maskwright.data.formats.contract import Imported, ReadOptions, Source
from maskwright.data.formats.export import ExportLog, pictures_of
from maskwright.data.formats.json_files import load_large_json
from maskwright.data.index import AnnotationIndex
from maskwright.data.json_pieces import JsonList, sketch_of
from maskwright.data.report import ImportReport
from maskwright.errors import AnnotationError

__all__ = ["read", "sniff", "write"]

# Gupta et al. 2019, "LVIS", section 3: rare up to 10 pictures, common up to 100.
_RARE, _COMMON = 10, 100


def sniff(source: Source) -> bool:
    """Say whether its json is COCO-shaped with LVIS's fields."""
    content = source.json_sketch
    return isinstance(content, dict) and "annotations" in content and is_lvis(content)


def read(source: Source, options: ReadOptions) -> Imported:
    """Read it; pictures without a file name are named by the end of their `coco_url`."""
    path = source.json_file or source.path
    index, report = cached_index(
        path,
        kind="lvis",
        crowd=options.crowd,
        faults=options.faults,
        read=lambda: _read(path, options, source.json),
        sketch=lambda: sketch_of(source.json),
    )
    return Imported(index, report, None, path)


def _read(path: Path, options: ReadOptions, content: Any) -> tuple[AnnotationIndex, ImportReport]:
    content = load_large_json(path) if content is None else content
    images = content.get("images") if isinstance(content, dict) else None
    if isinstance(images, list | JsonList):
        content = content | {"images": [_named(entry) for entry in images]}
    index, report = read_coco(path, crowd=options.crowd, content=content, faults=options.faults)
    return replace(index, federation=_federation(path, content, index)), report


def _federation(path: Path, content: dict[str, Any], index: AnnotationIndex) -> Federation:
    """Return LVIS's fields, in the order of the pictures that were read."""
    label_of = {category_id: label for label, category_id in enumerate(index.category_ids)}
    frequency_of = {one["id"]: str(one.get("frequency", "")) for one in content["categories"]}
    entries: dict[tuple[int, str], dict[str, Any]] = {}
    for entry in content["images"]:
        # Others were refused, or left out where the faults are logged.
        if isinstance(entry, dict) and is_id(entry.get("id")) and entry.get("file_name"):
            entries.setdefault((entry["id"], str(entry["file_name"])), entry)
    pictures = zip(index.image_ids.tolist(), index.file_names.tolist(), strict=True)
    checked = [entries[picture] for picture in pictures]
    lists: dict[str, list[list[int]]] = {}
    for key in ("neg_category_ids", "not_exhaustive_category_ids"):
        lists[key] = []
        for entry in checked:
            ids = entry.get(key, [])
            unknown = ids
            if isinstance(ids, list):
                unknown = [one for one in ids if not (is_id(one) and one in label_of)]
            if unknown or not isinstance(ids, list):
                raise AnnotationError(
                    f"{path}: picture {entry['file_name']!r}: {key} names {unknown!r:.60}, wanted "
                    "ids of the list categories"
                )
            lists[key].append([label_of[one] for one in ids])
    frequencies = [frequency_of[one] for one in index.category_ids]
    return Federation.of(frequencies, *lists.values())


def _named(entry: Any) -> Any:
    if not isinstance(entry, dict) or "file_name" in entry:
        return entry
    url = entry.get("coco_url")
    if not isinstance(url, str):
        return entry
    # LVIS mixes the pictures of train2017 and val2017, so their folder is part of the name.
    return entry | {"file_name": "/".join(urlsplit(url).path.split("/")[-2:])}


def write(dataset: Dataset, folder: Path, log: ExportLog) -> None:
    """Write annotations.json and images/."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    federation = dataset.federation
    seen_in: defaultdict[int, int] = defaultdict(int)
    counts: defaultdict[int, int] = defaultdict(int)
    for full in pictures_of(dataset, log):
        picture = full.without_crowds(log)
        picture.copy_picture(folder / "images" / picture.file_name, log)
        entry = picture_entry(picture)
        present = {dataset.category_ids[label] for label in picture.labels}
        entry |= _checked(dataset, federation, picture.position, present)
        images.append(entry)
        for category_id in present:
            seen_in[category_id] += 1
        boxes = picture.masks.boxes.astype(np.float64)
        boxes[:, 2:] -= boxes[:, :2]
        areas = picture.masks.area.tolist()
        for k, code in enumerate(picture.masks.to_coco()):
            category_id = dataset.category_ids[picture.labels[k]]
            counts[category_id] += 1
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": entry["id"],
                    "category_id": category_id,
                    "segmentation": code,
                    "area": float(areas[k]),
                    "bbox": boxes[k].tolist(),
                }
            )
    categories = [
        {
            "id": category_id,
            "name": name,
            "synset": name,
            "synonyms": [name],
            "def": "",
            "image_count": seen_in[category_id],
            "instance_count": counts[category_id],
            "frequency": stated or _frequency(seen_in[category_id]),
        }
        for name, category_id, stated in zip(
            dataset.class_names,
            dataset.category_ids,
            federation.frequencies if federation else [""] * len(dataset.class_names),
            strict=True,
        )
    ]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(content), encoding="utf-8")


def _checked(
    dataset: Dataset, federation: Federation | None, position: int, present: set[int]
) -> dict[str, list[int]]:
    """The lists of one picture: the source's own, or every class that it does not show."""
    ids = dataset.category_ids
    if federation is None:
        return {
            "neg_category_ids": sorted(set(ids) - present),
            "not_exhaustive_category_ids": [],
        }
    return {
        "neg_category_ids": [ids[label] for label in federation.negative(position)],
        "not_exhaustive_category_ids": [ids[label] for label in federation.partial(position)],
    }


def _frequency(num_images: int) -> str:
    return "r" if num_images <= _RARE else "c" if num_images <= _COMMON else "f"
