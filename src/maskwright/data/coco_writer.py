"""COCO datasets out: pictures beside one json, masks as compressed run lengths."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from maskwright.data.saving import save_image
from maskwright.errors import DataError
from maskwright.files import atomic_write
from maskwright.structures import Sample

__all__ = ["write_coco_dataset"]


def write_coco_dataset(folder: str | os.PathLike[str], samples: Iterable[Sample]) -> Path:
    """Write pictures and their true objects, and return the path of the json.

    Masks are kept to the pixel. The json is written last, so a folder without one was not
    finished.

    Args:
        folder: Gets `annotations.json` and the pictures below `images`.
        samples: Their class names and category ids must agree; a picture is written under its
            `name`, in the format its suffix says (PNG keeps every pixel).

    Raises:
        DataError: Samples that disagree about classes, or two of one id or name.
        OSError: A file cannot be written, or the disk is full.
    """
    folder = Path(folder)
    classes: tuple[tuple[str, ...], tuple[int, ...]] | None = None
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    names: set[str] = set()
    ids: set[int] = set()
    for sample in samples:
        targets = sample.targets
        known = targets.class_names, targets.category_ids
        if classes is not None and known != classes:
            raise DataError(f"{sample.name} has the classes {known}, those before {classes}")
        if sample.name in names or sample.image_id in ids:
            raise DataError(f"{sample.name} with image id {sample.image_id} came twice")
        classes = known
        names.add(sample.name)
        ids.add(sample.image_id)
        save_image(folder / "images" / sample.name, sample.image)
        height, width = targets.image_size
        images.append(
            {"id": sample.image_id, "file_name": sample.name, "height": height, "width": width}
        )
        for entry in targets.to_coco(sample.image_id):
            entry.pop("category_name", None)
            annotations.append({"id": len(annotations) + 1} | entry)
    class_names, category_ids = classes or ((), ())
    categories = [
        {"id": category_id, "name": name}
        for name, category_id in zip(
            class_names, category_ids or range(1, len(class_names) + 1), strict=True
        )
    ]
    document = {"images": images, "annotations": annotations, "categories": categories}
    path = folder / "annotations.json"
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(document), encoding="utf-8")
    return path
