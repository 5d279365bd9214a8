"""LVIS: COCO's json without crowds, with a frequency per class and lists of what was checked.

Read with the reader of COCO; what LVIS says of classes checked per picture is not kept and noted.
Written with every class taken as checked on every picture.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from maskwright.data.cache import cached_index
from maskwright.data.coco import read_coco
from maskwright.data.dataset import Dataset
from maskwright.data.formats.coco import is_lvis, picture_entry
from maskwright.data.formats.contract import Imported, ReadOptions, Source
from maskwright.data.formats.export import ExportLog, pictures_of
from maskwright.data.formats.json_files import load_large_json
from maskwright.data.index import AnnotationIndex
from maskwright.data.json_pieces import JsonList, sketch_of
from maskwright.data.report import ImportReport

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
        read=lambda: _read(path, options, source.json),
        sketch=lambda: sketch_of(source.json),
    )
    return Imported(index, report, None, path)


def _read(path: Path, options: ReadOptions, content: Any) -> tuple[AnnotationIndex, ImportReport]:
    content = load_large_json(path) if content is None else content
    images = content.get("images") if isinstance(content, dict) else None
    if isinstance(images, list | JsonList):
        content = content | {"images": [_named(entry) for entry in images]}
    return read_coco(path, crowd=options.crowd, content=content)


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
    seen_in: defaultdict[int, int] = defaultdict(int)
    counts: defaultdict[int, int] = defaultdict(int)
    for full in pictures_of(dataset, log):
        picture = full.without_crowds(log)
        picture.copy_picture(folder / "images" / picture.file_name, log)
        entry = picture_entry(picture)
        present = {dataset.category_ids[label] for label in picture.labels}
        entry["neg_category_ids"] = sorted(set(dataset.category_ids) - present)
        entry["not_exhaustive_category_ids"] = []
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
            "frequency": _frequency(seen_in[category_id]),
        }
        for name, category_id in zip(dataset.class_names, dataset.category_ids, strict=True)
    ]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(content), encoding="utf-8")


def _frequency(num_images: int) -> str:
    return "r" if num_images <= _RARE else "c" if num_images <= _COMMON else "f"
