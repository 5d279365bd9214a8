"""COCO panoptic: a json with `segments_info` and a folder of maps with ids coded in colours.

Things are objects; stuff has no single objects and is dropped. Read only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from maskwright.data.formats.coco import is_panoptic
from maskwright.data.formats.collector import Collector
from maskwright.data.formats.contract import Imported, ReadOptions, Source
from maskwright.data.formats.json_files import Entry, load_json
from maskwright.data.images import read_rgb_numbers
from maskwright.data.names import leads_outside
from maskwright.errors import AnnotationError
from maskwright.masks import Masks

__all__ = ["read", "sniff"]


def sniff(source: Source) -> bool:
    """Say whether its json is COCO-shaped with segments."""
    return isinstance(source.json_sketch, dict) and is_panoptic(source.json_sketch)


def read(source: Source, options: ReadOptions) -> Imported:
    """Read the json and the maps, which lie in a folder named like the json beside it.

    Raises:
        AnnotationError: A segment that its map does not have, or the other way round.
        ImageError: A map is missing or not RGB.
    """
    path = source.json_file or source.path
    content = Entry(load_json(path) if source.json is None else source.json, str(path))
    names, things = _categories(content)
    collector = Collector(
        path,
        crowd=options.crowd,
        faults=options.faults,
        class_names=[names[i] for i in sorted(things)],
        category_ids=sorted(things),
    )
    pictures = {}
    for place, value in enumerate(content.items("images")):
        entry = Entry(value, f"{path}: picture {place}")
        size = entry.whole("height"), entry.whole("width")
        image = collector.add_image(entry.text("file_name"), size)
        pictures[entry.whole("id")] = image
    for place, value in enumerate(content.items("annotations")):
        entry = Entry(value, f"{path}: annotation {place}")
        image_id = entry.whole("image_id")
        if image_id not in pictures:
            raise entry.fault(f'picture {image_id} is not in "images"')
        _read_map(_map_folder(path), entry, pictures[image_id], names, things, collector)
    return Imported(*collector.finish(), None, path)


def _categories(content: Entry) -> tuple[dict[int, str], set[int]]:
    names: dict[int, str] = {}
    things = set()
    for place, value in enumerate(content.items("categories")):
        entry = Entry(value, f"{content.where}: category {place}")
        category_id = entry.whole("id")
        if category_id in names:
            raise entry.fault(f"id {category_id} is used twice")
        names[category_id] = entry.text("name")
        if entry.get("isthing") in (None, 1, True):
            things.add(category_id)
    return names, things


def _map_folder(path: Path) -> Path:
    for folder in (path.with_suffix(""), path.parent.parent / path.stem, path.parent / "panoptic"):
        if folder.is_dir():
            return folder
    raise AnnotationError(
        f"{path}: its maps are not beside it; wanted the folder {path.with_suffix('')}"
    )


def _read_map(
    folder: Path,
    entry: Entry,
    image: int,
    names: dict[int, str],
    things: set[int],
    collector: Collector,
) -> None:
    name = entry.text("file_name")
    if leads_outside(name):
        raise entry.fault(f"the map {name!r} leads out of {folder}")
    masks, values = Masks.from_label_map(read_rgb_numbers(folder / name))
    if masks.image_size != collector.size_of(image):
        raise AnnotationError(
            f"{folder / name}: is {masks.image_size}, its picture {collector.size_of(image)}"
        )
    rows = {value: k for k, value in enumerate(values.tolist())}
    for place, value in enumerate(entry.items("segments_info")):
        segment = Entry(value, f"{entry.where}: segment {place}")
        category_id, segment_id = segment.whole("category_id"), segment.whole("id")
        if category_id not in names:
            raise segment.fault(f'category {category_id} is not in "categories"')
        if segment_id not in rows:
            raise segment.fault(f"the map {name} has no pixel of the id {segment_id}")
        if category_id not in things:
            collector.dropped("stuff, which has no single objects", image)
            continue
        crowd: Any = segment.get("iscrowd")
        mask = masks[rows[segment_id]]
        collector.add_mask(image, names[category_id], mask, is_crowd=crowd in (1, True))
