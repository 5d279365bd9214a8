"""Label maps: a picture of whole numbers, one number per object, 0 where there is none.

Layouts: `images/` beside `labels/` (or `masks/`, `labelmaps/`, `instances/`) with equal names;
DAVIS's `JPEGImages/` beside `Annotations/`; `x-color.png` beside `x-label.png` in one folder. Maps
may have 8, 16 or 32 bits. `objects.csv` with the columns map, value, class and crowd names the
objects; without it every number is an object of class "object". One object per pixel.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from maskwright.data.dataset import Dataset
from maskwright.data.formats.collector import Collector
from maskwright.data.formats.contract import Imported, ReadOptions, Source
from maskwright.data.formats.export import ExportLog, pictures_of, without_overlaps
from maskwright.data.formats.pairs import pair_by_stem, pictures_below
from maskwright.data.images import IMAGE_SUFFIXES, read_label_image
from maskwright.errors import AnnotationError
from maskwright.masks import Masks

__all__ = ["read", "sniff", "write"]

_MAP_SUFFIXES = frozenset({".bmp", ".png", ".tif", ".tiff"})
_LAYOUTS = (
    ("images", "labels"),
    ("images", "labelmaps"),
    ("images", "instances"),
    ("images", "masks"),
    ("JPEGImages", "Annotations"),
)
_ENDINGS = (("-color", "-label"), ("_color", "_label"))
_TABLE = "objects.csv"

_Table = dict[tuple[str, int], tuple[str, bool]]


def sniff(source: Source) -> bool:
    """Say whether one of the layouts is there, with maps in it."""
    return _layout(source) is not None or bool(_side_by_side(source))


def read(source: Source, options: ReadOptions) -> Imported:
    """Read the maps.

    Raises:
        AnnotationError: Pictures without maps or the other way round; values the table lacks.
        ImageError: A map cannot be read or is in colour.
    """
    layout = _layout(source)
    if layout is None:
        top = source.path
        pairs = [(picture, label, label.name) for picture, label in _side_by_side(source)]
    else:
        top, below = source.path / layout[0], source.path / layout[1]
        pictures = pictures_below(top)
        maps = [path for path in pictures_below(below) if path.suffix.lower() in _MAP_SUFFIXES]
        names = pair_by_stem(pictures, maps, top, below)
        pairs = [
            (p, m, m.relative_to(below).as_posix()) for p, m in zip(pictures, names, strict=True)
        ]
    table = _read_table(source.path / _TABLE)
    collector = Collector(source.path, crowd=options.crowd, faults=options.faults)
    for picture, label_map, name in pairs:
        masks, values = Masks.from_label_map(read_label_image(label_map))
        image = collector.add_image(picture.relative_to(top).as_posix(), masks.image_size)
        for k, value in enumerate(values.tolist()):
            if table is not None and (name, value) not in table:
                raise AnnotationError(
                    f"{source.path / _TABLE}: no line for value {value} of the map {name}"
                )
            class_name, is_crowd = ("object", False) if table is None else table[name, value]
            collector.add_mask(image, class_name, masks[k], is_crowd=is_crowd)
    return Imported(*collector.finish(), top, source.path)


def write(dataset: Dataset, folder: Path, log: ExportLog) -> None:
    """Write images/, labels/ with 16-bit maps (32-bit TIFF past 65535 objects), objects.csv."""
    (folder / "labels").mkdir(parents=True)
    with (folder / _TABLE).open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("map", "value", "class", "crowd"))
        for full in pictures_of(dataset, log):
            picture = without_overlaps(full, log)
            label_map = picture.masks.to_label_map()
            is_small = len(picture.masks) < 2**16
            name = picture.stem + (".png" if is_small else ".tif")
            Image.fromarray(label_map.astype(np.uint16) if is_small else label_map).save(
                folder / "labels" / name
            )
            picture.copy_picture(folder / "images" / picture.file_name, log)
            marks = zip(picture.class_names, picture.is_crowd, strict=True)
            table.writerows((name, k + 1, *_marks) for k, _marks in enumerate(marks))


def _layout(source: Source) -> tuple[str, str] | None:
    for pictures, maps in _LAYOUTS:
        if {pictures, maps} <= source.folders:
            below = source.path / maps
            found = next((path for path in below.rglob("*") if path.is_file()), None)
            has_text = next(below.rglob("*.xml"), None) or next(below.rglob("*.txt"), None)
            if found is not None and has_text is None and found.suffix.lower() in _MAP_SUFFIXES:
                return pictures, maps
    return None


def _side_by_side(source: Source) -> list[tuple[Path, Path]]:
    files = {path.stem: path for path in source.files(*IMAGE_SUFFIXES)}
    return [
        (path, files[stem.removesuffix(colour) + label])
        for colour, label in _ENDINGS
        for stem, path in files.items()
        if stem.endswith(colour) and stem.removesuffix(colour) + label in files
    ]


def _read_table(path: Path) -> _Table | None:
    if not path.is_file():
        return None
    table: _Table = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            for row in csv.DictReader(file, strict=True):
                is_crowd = (row.get("crowd") or "").strip().lower() in ("1", "true")
                table[row["map"], int(row["value"])] = (row["class"] or "", is_crowd)
    except (KeyError, ValueError, TypeError, csv.Error) as error:
        raise AnnotationError(
            f"{path}: after {len(table)} objects: {error!r}; wanted the columns map, value, class"
        ) from error
    return table
