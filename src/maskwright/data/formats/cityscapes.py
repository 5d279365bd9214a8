"""Cityscapes: `leftImg8bit/.../x_leftImg8bit.png` and `gtFine/.../x_gtFine_instanceIds.png`.

A value of 1000 or more is an object: its class times 1000 and a number. A smaller value is a
region of a class without single objects: a crowd for the eight classes that have objects (groups
of people or cars), left out for the others. Classes are Cityscapes's own, or those of
`classes.json` ({"1": "name"}) where it is there. One object per pixel; the crowds of a class in a
picture are one region.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from maskwright.data.dataset import Dataset
from maskwright.data.formats.collector import Collector
from maskwright.data.formats.contract import Imported, ReadOptions, Source
from maskwright.data.formats.export import (
    ExportLog,
    PictureObjects,
    pictures_of,
    without_overlaps,
)
from maskwright.data.formats.json_files import Entry, load_json
from maskwright.data.formats.pairs import pictures_below
from maskwright.data.images import read_label_image
from maskwright.errors import AnnotationError, DataError
from maskwright.masks import Masks

__all__ = ["read", "sniff", "write"]

# cityscapesScripts, helpers/labels.py: the classes with hasInstances, by id.
_CITYSCAPES = {
    24: "person",
    25: "rider",
    26: "car",
    27: "truck",
    28: "bus",
    29: "caravan",
    30: "trailer",
    31: "train",
    32: "motorcycle",
    33: "bicycle",
}
_PICTURES, _MAPS = "leftImg8bit", "gtFine"
_TABLE = "classes.json"
_PER_CLASS = 1000
_MOST_CLASSES = 65  # 65 * 1000 + 535 is the last value of 16 bits


def sniff(source: Source) -> bool:
    """Say whether both folders are there."""
    return {_PICTURES, _MAPS} <= source.folders


def read(source: Source, options: ReadOptions) -> Imported:
    """Read all splits and cities.

    Raises:
        AnnotationError: A picture without a map, or a value of an unknown class.
        ImageError: A map cannot be read.
    """
    top, below = source.path / _PICTURES, source.path / _MAPS
    part = top if options.split is None else top / options.split
    if not part.is_dir():
        known = ", ".join(sorted(entry.name for entry in top.iterdir() if entry.is_dir()))
        raise AnnotationError(f"{source.path}: has no part {options.split!r}; it has {known}")
    names = _classes(source.path / _TABLE)
    ids = sorted(names)
    collector = Collector(
        source.path,
        crowd=options.crowd,
        faults=options.faults,
        class_names=[names[i] for i in ids],
        category_ids=ids,
    )
    for picture in pictures_below(part):
        name = picture.relative_to(top)
        stem = name.stem.removesuffix(f"_{_PICTURES}")
        path = below / name.parent / f"{stem}_{_MAPS}_instanceIds.png"
        if not path.is_file():
            raise AnnotationError(f"{path}: no such map, for the picture {picture}")
        masks, values = Masks.from_label_map(read_label_image(path))
        image = collector.add_image(name.as_posix(), masks.image_size)
        for k, value in enumerate(values.tolist()):
            class_id = value if value < _PER_CLASS else value // _PER_CLASS
            if class_id in names:
                collector.add_mask(image, names[class_id], masks[k], is_crowd=value < _PER_CLASS)
            elif value >= _PER_CLASS:
                raise AnnotationError(f"{path}: value {value} is of class {class_id}, not known")
    return Imported(*collector.finish(), top, source.path)


def write(dataset: Dataset, folder: Path, log: ExportLog) -> None:
    """Write both folders and classes.json."""
    ids = {name: class_id for class_id, name in _CITYSCAPES.items()}
    if not set(dataset.class_names) <= ids.keys():
        ids = {name: label + 1 for label, name in enumerate(dataset.class_names)}
    if len(ids) > _MOST_CLASSES:
        raise DataError(f"{len(ids)} classes, and Cityscapes's 16-bit maps hold {_MOST_CLASSES}")
    table = {str(ids[name]): name for name in dataset.class_names}
    (folder / _TABLE).write_text(json.dumps(table), encoding="utf-8")
    maps = folder / _MAPS / "all" / "pictures"
    maps.mkdir(parents=True)
    for full in pictures_of(dataset, log):
        picture = without_overlaps(full, log)
        stem, suffix = picture.stem, Path(picture.file_name).suffix
        target = folder / _PICTURES / "all" / "pictures" / f"{stem}_{_PICTURES}{suffix}"
        picture.copy_picture(target, log)
        values, kept = _values(picture, ids, log)
        label_map = picture.masks[kept].to_label_map(values=values).astype(np.uint16)
        Image.fromarray(label_map).save(maps / f"{stem}_{_MAPS}_instanceIds.png")


def _values(
    picture: PictureObjects, ids: dict[str, int], log: ExportLog
) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of the objects that have one, and which they are."""
    values, kept = [], []
    counts: Counter[int] = Counter()
    for k, name in enumerate(picture.class_names):
        class_id = ids[name]
        value = class_id if picture.is_crowd[k] else class_id * _PER_CLASS + counts[class_id]
        if picture.is_crowd[k]:
            if class_id in values:
                log.unmarked("crowds of a class are one region of a picture", picture.where(k))
        elif counts[class_id] == _PER_CLASS or value > np.iinfo(np.uint16).max:
            log.dropped("a picture holds 1000 objects of a class", picture.where(k))
            continue
        else:
            counts[class_id] += 1
        values.append(value)
        kept.append(k)
    return np.array(values, np.int64), np.array(kept, np.int64)


def _classes(path: Path) -> dict[int, str]:
    if not path.is_file():
        return _CITYSCAPES
    table = Entry(load_json(path), str(path))
    try:
        names = {int(key): table.text(key) for key in table.value}
    except ValueError:
        raise table.fault(f"has the keys {list(table.value)[:5]}, wanted numbers") from None
    wrong = [i for i in names if not 0 < i <= _MOST_CLASSES]
    if wrong:
        raise table.fault(f"class {wrong[0]}, wanted 1 to {_MOST_CLASSES}")
    return names
