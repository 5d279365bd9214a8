"""Label Studio: its JSON export, a list of tasks with regions in percent of the picture.

Polygons, rectangles, ellipses and brush masks are objects; regions whose `parentID` names another
one are parts of it. Key points and the like are dropped. Of several annotations of a task the
first that was not cancelled counts. The note "crowd" on a region marks a crowd. Written as brush
masks, so nothing is lost. (Its COCO export is COCO.)
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from maskwright.data.dataset import Dataset
from maskwright.data.formats.collector import Collector, picture_size
from maskwright.data.formats.contract import Imported, ReadOptions, Source
from maskwright.data.formats.export import ExportLog, PictureObjects, pictures_of
from maskwright.data.formats.json_files import Entry, load_json
from maskwright.data.formats.shapes import ellipse_mask, rectangle_ring
from maskwright.errors import AnnotationError, MaskError
from maskwright.masks import Masks
from maskwright.masks.brush import decode_brush, encode_brush

__all__ = ["read", "sniff", "write"]

_KINDS = {
    "polygonlabels": "polygonlabels",
    "rectanglelabels": "rectanglelabels",
    "ellipselabels": "ellipselabels",
    "brushlabels": "brushlabels",
}


def sniff(source: Source) -> bool:
    """Say whether its json is a list of tasks."""
    content = source.json_sketch
    first = content[0] if isinstance(content, list) and content else None
    return isinstance(first, dict) and {"data", "annotations"} <= first.keys()


def read(source: Source, options: ReadOptions) -> Imported:
    """Read all tasks.

    Raises:
        AnnotationError: A region that is not what its kind says.
        ImageError: A picture without regions, and so without a size, is missing.
    """
    path = source.json_file or source.path
    tasks = load_json(path)
    if not isinstance(tasks, list):
        raise AnnotationError(f"{path}: wanted a list of tasks")
    collector = Collector(path, crowd=options.crowd, faults=options.faults)
    folder = options.images or _picture_folder(path)
    for place, value in enumerate(tasks):
        task = Entry(value, f"{path}: task {place}")
        regions = _regions(task)
        name = _picture_name(task, folder)
        sizes = {(r.whole("original_height"), r.whole("original_width")) for r in regions}
        if len(sizes) > 1:
            raise task.fault(f"its regions are of pictures of different sizes: {sorted(sizes)}")
        image = collector.add_image(name, sizes.pop() if sizes else picture_size(folder / name))
        _read_regions(regions, image, collector)
    return Imported(*collector.finish(), folder, path)


def write(dataset: Dataset, folder: Path, log: ExportLog) -> None:
    """Write annotations.json and images/."""
    tasks = []
    for picture in pictures_of(dataset, log):
        picture.copy_picture(folder / "images" / picture.file_name, log)
        result = [_region(picture, k) for k in range(len(picture.masks))]
        tasks.append(
            {
                "id": picture.position + 1,
                "data": {"image": f"images/{picture.file_name}"},
                "annotations": [{"id": picture.position + 1, "result": result}],
            }
        )
    (folder / "annotations.json").write_text(json.dumps(tasks), encoding="utf-8")


def _region(picture: PictureObjects, k: int) -> dict[str, Any]:
    height, width = picture.size
    code = encode_brush(picture.masks[k].to_dense()[0]).tolist()
    region: dict[str, Any] = {
        "id": f"object{k + 1}",
        "type": "brushlabels",
        "from_name": "label",
        "to_name": "image",
        "original_height": height,
        "original_width": width,
        "image_rotation": 0,
        "value": {"format": "rle", "rle": code, "brushlabels": [picture.class_names[k]]},
    }
    return region | ({"meta": {"text": ["crowd"]}} if picture.is_crowd[k] else {})


def _picture_folder(path: Path) -> Path:
    images = path.parent / "images"
    return images if images.is_dir() else path.parent


def _picture_name(task: Entry, folder: Path) -> str:
    """Return the file of a task; uploads carry a code before their name and servers a query."""
    stated = task.entry("data").text("image")
    try:
        address = urlsplit(stated)
    except ValueError:
        raise task.fault(f"its picture {stated!r:.60} is no address") from None
    local = parse_qs(address.query).get("d", [address.path])[0]
    name = unquote(local).replace("\\", "/").rpartition("/")[2]
    if not name or "\0" in name:
        raise task.fault(f"its picture {stated!r:.60} names no file")
    without_code = name.partition("-")[2]
    if without_code and not (folder / name).is_file() and (folder / without_code).is_file():
        return without_code
    return name


def _regions(task: Entry) -> list[Entry]:
    """Return the regions of the first annotation that was not cancelled."""
    for place, value in enumerate(task.items("annotations")):
        annotation = Entry(value, f"{task.where}: annotation {place}")
        if annotation.get("was_cancelled") is not True:
            results = annotation.items("result")
            return [
                Entry(result, f"{annotation.where}: region {i}")
                for i, result in enumerate(results)
                if not (isinstance(result, dict) and "original_width" not in result)
            ]
    return []


def _read_regions(regions: list[Entry], image: int, collector: Collector) -> None:
    ids = {str(region.get("id")) for region in regions if "id" in region}
    groups: dict[str, list[Entry]] = {}
    for place, region in enumerate(regions):
        kind = region.get("type")
        if not isinstance(kind, str) or kind not in _KINDS:
            collector.dropped(f"a region without area ({kind!s:.40})", image)
            continue
        parent = str(region.get("parentID"))
        own = str(region.get("id")) if "id" in region else f"region {place}"
        groups.setdefault(parent if parent in ids else own, []).append(region)
    for members in groups.values():
        with collector.entry(image):
            _read_object(members, image, collector)


def _read_object(members: list[Entry], image: int, collector: Collector) -> None:
    size = collector.size_of(image)
    masks = [_mask(region, size) for region in members]
    name, is_crowd = _class_name(members[0]), any(_is_crowd(r) for r in members)
    rings = [ring for ring in masks if isinstance(ring, list)]
    if len(rings) == len(masks):
        collector.add_polygons(image, name, rings, is_crowd=is_crowd)
        return
    drawn = [Masks.from_polygons([[m]], size) if isinstance(m, list) else m for m in masks]
    collector.add_mask(image, name, Masks.concatenate(drawn).union(), is_crowd=is_crowd)


def _is_crowd(region: Entry) -> bool:
    meta = region.get("meta")
    notes = meta.get("text") if isinstance(meta, dict) else None
    return isinstance(notes, list) and "crowd" in notes


def _class_name(region: Entry) -> str:
    labels = region.entry("value").items(_KINDS[region.text("type")])
    if len(labels) != 1 or not isinstance(labels[0], str):
        raise region.fault(f"has the labels {labels!r:.60}, wanted one")
    return labels[0]


def _mask(region: Entry, size: tuple[int, int]) -> list[float] | Masks:
    kind, value = region.text("type"), region.entry("value")
    x_unit, y_unit = size[1] / 100, size[0] / 100
    if kind == "polygonlabels":
        points = value.points("points", least=3)
        return [number for x, y in points for number in (x * x_unit, y * y_unit)]
    if kind == "brushlabels":
        try:
            return Masks.from_dense(decode_brush(value.items("rle"), size)[None])
        except (MaskError, TypeError, ValueError, OverflowError) as error:
            raise region.fault(str(error)) from error
    x, y = value.number("x") * x_unit, value.number("y") * y_unit
    turned = value.number("rotation") if "rotation" in value else 0.0
    if kind == "rectanglelabels":
        x2 = x + value.number("width") * x_unit
        y2 = y + value.number("height") * y_unit
        return rectangle_ring(x, y, x2, y2, degrees=turned, about_corner=True)
    radii = value.number("radiusX") * x_unit, value.number("radiusY") * y_unit
    return ellipse_mask((x, y), radii, size, turned)
