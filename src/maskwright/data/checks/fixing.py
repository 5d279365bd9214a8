"""A new dataset with everything mended that can be mended without asking; the old one stays.

A part becomes a COCO dataset: `annotations.json` beside the folder `images`; of several parts each
has a folder of its own, named like the part. Pictures are copied byte for byte unless they are
turned. Segmentations stay as the source wrote them unless they are clipped.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from maskwright.data.checks.check import Place
from maskwright.data.checks.diagnosis import Diagnosis
from maskwright.data.checks.survey import Part, PictureFacts
from maskwright.data.formats.export import ExportReport, file_stems
from maskwright.data.images import read_image_header
from maskwright.data.report import ImportReportBuilder
from maskwright.errors import DataError

__all__ = ["write_fixed"]

_ORIENTATION_TAG = 0x0112


def write_fixed(diagnosis: Diagnosis, out: str | Path) -> ExportReport:
    """Write what was checked as COCO, mended where that is safe.

    What is done about each defect stands in the table of checks; the rest is written as it is.
    Pictures whose file is missing or cannot be read, or has not the annotated size, are left out
    with their objects, and so are entries that no object can be made of.

    Args:
        diagnosis: From `check_dataset`.
        out: The folder to make; an empty one is taken. It appears when everything is in it.

    Returns:
        What was changed and dropped, by check.

    Raises:
        DataError: `out` is not empty, or nothing could be read.
        OSError: A file cannot be written, or the disk is full.
    """
    parts = diagnosis.survey.parts
    if not parts:
        raise DataError(f"nothing to write to {out}: no annotations could be read")
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out}: is not an empty folder; name a new one, or empty it")
    plan = _plan(diagnosis)
    partial = out.absolute().with_name(f".{out.absolute().name}.{os.getpid()}.partial")
    counts = [0, 0]
    try:
        for number, part in enumerate(parts):
            folder = partial / _folder_name(part.name) if len(parts) > 1 else partial
            written = _write_part(part, number, folder, plan)
            counts = [have + new for have, new in zip(counts, written, strict=True)]
        if out.exists():
            out.rmdir()
        os.replace(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return ExportReport(
        target=str(out),
        format_name="coco",
        num_images=counts[0],
        num_objects=counts[1],
        findings=plan.report.findings(),
    )


@dataclass
class _Plan:
    """What is to be done, by picture and by (part, item)."""

    pictures: defaultdict[str, set[Place]] = field(default_factory=lambda: defaultdict(set))
    objects: defaultdict[str, set[tuple[int, int]]] = field(
        default_factory=lambda: defaultdict(set)
    )
    report: ImportReportBuilder = field(default_factory=ImportReportBuilder)


def _plan(diagnosis: Diagnosis) -> _Plan:
    plan = _Plan()
    log = {
        "drop picture": plan.report.dropped_picture,
        "turn picture": plan.report.changed_picture,
        "set size": plan.report.changed_picture,
        "measure": plan.report.changed,
        "clip": plan.report.changed,
        "number anew": plan.report.changed,
        "drop objects": plan.report.dropped,
        "leave out": plan.report.dropped,
    }
    for result in diagnosis.results:
        for defect in result.defects:
            remedy = result.remedy_of(defect)
            if not remedy:
                continue
            log[remedy](f"{result.check.name} ({remedy})", diagnosis.where(defect))
            if defect.place is not None:
                plan.pictures[remedy].add(defect.place)
            if defect.part is not None:
                items = defect.items if defect.drop is None else defect.drop
                plan.objects[remedy] |= {(defect.part, item) for item in items}
    return plan


def _kept_pictures(part: Part, plan: _Plan) -> list[PictureFacts]:
    """Return the pictures that are written, and log those that cannot be."""
    kept = []
    for facts in part.pictures:
        if facts.place in plan.pictures["drop picture"]:
            continue
        if facts.fits or facts.place in plan.pictures["set size"]:
            kept.append(facts)
        else:  # its check was skipped
            plan.report.dropped_picture("cannot be read at its annotated size", facts.file_name)
    return kept


def _write_part(part: Part, number: int, folder: Path, plan: _Plan) -> tuple[int, int]:
    """Write one part; returns how many pictures and objects it has now."""
    index = part.inspected.index
    (folder / "images").mkdir(parents=True)
    kept = _kept_pictures(part, plan)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    names = tuple(facts.file_name for facts in kept)
    for facts, stem in zip(kept, file_stems(names), strict=True):
        position = facts.place.picture
        name = stem + Path(facts.file_name).suffix
        size = tuple(index.sizes[position].tolist())
        if facts.place in plan.pictures["set size"]:
            size = read_image_header(facts.path)[0]
        is_turned = facts.place in plan.pictures["turn picture"]
        _copy(facts.path, folder / "images" / name, size if is_turned else None)
        images.append(
            {
                "id": int(index.image_ids[position]),
                "file_name": name,
                "height": size[0],
                "width": size[1],
            }
        )
        annotations += _entries(part, number, position, (size[0], size[1]), plan)
    if len({entry["id"] for entry in annotations}) < len(annotations):
        for new_id, entry in enumerate(annotations, start=1):
            entry["id"] = new_id
    categories = [
        {"id": category_id, "name": name}
        for category_id, name in zip(index.category_ids, index.class_names, strict=True)
    ]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(content), encoding="utf-8")
    return len(images), len(annotations)


def _entries(
    part: Part, number: int, position: int, size: tuple[int, int], plan: _Plan
) -> list[dict[str, Any]]:
    """Return the entries of the objects of one picture that stay."""
    index = part.inspected.index
    objects = index.objects_of(position)
    entries = []
    for item in range(objects.start, objects.stop):
        key = number, item
        if key in plan.objects["drop objects"]:
            continue
        entry = {
            "id": int(index.annotation_ids[item]),
            "image_id": int(index.image_ids[position]),
            "category_id": index.category_ids[index.labels[item]],
            "segmentation": index.segmentation(item),
            "area": float(index.areas[item]),
            "bbox": index.xywh[item].tolist(),
            "iscrowd": int(index.is_crowd[item]),
        }
        if key in plan.objects["measure"] or key in plan.objects["clip"]:
            entry |= _measured(part, item, size, is_clipped=key in plan.objects["clip"])
        entries.append(entry)
    return entries


def _measured(part: Part, item: int, size: tuple[int, int], *, is_clipped: bool) -> dict[str, Any]:
    """Return box and area of the mask, and the mask itself where it is clipped."""
    mask = part.inspected.index.masks(size, np.array([item]))
    x1, y1, x2, y2 = mask.boxes[0].tolist()
    measured = {"area": float(mask.area[0]), "bbox": [x1, y1, x2 - x1, y2 - y1]}
    return measured | {"segmentation": mask.to_coco()[0]} if is_clipped else measured


def _copy(source: Path, target: Path, turned_size: tuple[int, ...] | None) -> None:
    """Copy a picture; with a size, save it of that size without its EXIF turn."""
    if turned_size is None:
        shutil.copyfile(source, target)
        return
    with Image.open(source) as image:
        image.load()
        upright = ImageOps.exif_transpose(image)
        is_upright = (upright.height, upright.width) == tuple(turned_size)
        picture = upright if is_upright else image
        exif = picture.getexif()
        exif.pop(_ORIENTATION_TAG, None)
        lossless = {"quality": 95, "subsampling": 0} if image.format == "JPEG" else {}
        picture.save(target, format=image.format, exif=exif, **lossless)


def _folder_name(name: str) -> str:
    return name.replace("/", "_").replace("\\", "_").strip(".") or "part"
