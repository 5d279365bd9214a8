"""LabelMe: a json per picture with `shapes` of named kinds.

Shapes of one `group_id` and label are one object. Polygons, rectangles, oriented rectangles,
circles and masks have an area; points, lines and line strips have none and are dropped. The flag
`crowd` marks a crowd. Written as one polygon per part, or as a mask shape where there are holes,
so nothing is lost.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from maskwright.data.dataset import Dataset
from maskwright.data.formats.collector import Collector, picture_size
from maskwright.data.formats.contract import Imported, ReadOptions, Source
from maskwright.data.formats.export import ExportLog, PictureObjects, pictures_of
from maskwright.data.formats.json_files import Entry, load_json
from maskwright.data.formats.rings import has_holes
from maskwright.data.formats.shapes import ellipse_mask, placed_bitmap, rectangle_ring
from maskwright.data.names import leads_outside
from maskwright.data.saving import encode_image
from maskwright.errors import AnnotationError
from maskwright.masks import Masks

__all__ = ["read", "sniff", "write"]

_WITHOUT_AREA = ("point", "points", "line", "linestrip")


def sniff(source: Source) -> bool:
    """Say whether its first json has shapes and an imagePath."""
    return (
        isinstance(source.json_sketch, dict)
        and {"shapes", "imagePath"} <= source.json_sketch.keys()
    )


def read(source: Source, options: ReadOptions) -> Imported:
    """Read the json, or every json in the folder and its folders.

    Raises:
        AnnotationError: A shape that is not what its kind says; a picture outside the folder.
        ImageError: A picture whose size is not stated cannot be read.
    """
    root = source.path if source.is_folder else source.path.parent
    files = sorted(source.path.rglob("*.json")) if source.is_folder else [source.path]
    collector = Collector(source.path, crowd=options.crowd, faults=options.faults)
    for path in files:
        document = Entry(load_json(path), str(path))
        name = _picture_name(document, path.parent, root, options)
        folder = options.images or root
        if "imageHeight" in document and "imageWidth" in document:
            size = document.whole("imageHeight"), document.whole("imageWidth")
        else:
            size = picture_size(folder / name)
        image = collector.add_image(name, size)
        _read_shapes(document, image, collector)
    return Imported(*collector.finish(), options.images or root, source.path)


def write(dataset: Dataset, folder: Path, log: ExportLog) -> None:
    """Write a json beside every picture."""
    for picture in pictures_of(dataset, log):
        picture.copy_picture(folder / picture.file_name, log)
        height, width = picture.size
        document: dict[str, Any] = {
            "version": "5.5.0",
            "flags": {},
            "shapes": [shape for k in range(len(picture.masks)) for shape in _shapes(picture, k)],
            "imagePath": picture.file_name,
            "imageData": None,
            "imageHeight": height,
            "imageWidth": width,
        }
        (folder / f"{picture.stem}.json").write_text(json.dumps(document), encoding="utf-8")


def _shapes(picture: PictureObjects, k: int) -> list[dict[str, Any]]:
    common = {
        "label": picture.class_names[k],
        "flags": {"crowd": True} if picture.is_crowd[k] else {},
        "description": "",
    }
    outlines = picture.masks[k].to_polygons()[0]
    if has_holes(outlines):
        bitmap, (x, y) = picture.masks.bitmap(k)
        height, width = bitmap.shape
        mask = {
            "shape_type": "mask",
            "group_id": None,
            "points": [[x, y], [x + width - 1, y + height - 1]],
            "mask": base64.b64encode(encode_image(bitmap * 255)).decode("ascii"),
        }
        return [common | mask]
    group = k + 1 if len(outlines) > 1 else None
    return [
        common
        | {
            "shape_type": "polygon",
            "group_id": group,
            "points": outline.exterior.astype(float).tolist(),
            "mask": None,
        }
        for outline in outlines
    ]


def _picture_name(document: Entry, here: Path, root: Path, options: ReadOptions) -> str:
    stated = document.text("imagePath").replace("\\", "/")
    if "\0" in stated:
        raise document.fault(f"imagePath is {stated!r:.60}, wanted a file name")
    if options.images is not None:
        return stated.rpartition("/")[2] if leads_outside(stated) else stated
    # By the words alone: a link in the folder may lead to its picture elsewhere.
    name = os.path.relpath(os.path.join(here, stated), root).replace(os.sep, "/")
    if leads_outside(name):
        raise document.fault(
            f"imagePath {stated!r} leads out of {root}: name the pictures' folder with images="
        )
    return name


def _read_shapes(document: Entry, image: int, collector: Collector) -> None:
    groups: dict[Any, list[Entry]] = {}
    for place, value in enumerate(document.items("shapes")):
        shape = Entry(value, f"{document.where}: shape {place}")
        group = shape.get("group_id")
        if group is not None and not isinstance(group, int | str):
            raise shape.fault(f'"group_id" is {group!r:.60}, wanted a number')
        key = place if group is None else (group, shape.text("label"))
        groups.setdefault(key, []).append(shape)
    for shapes in groups.values():
        with collector.entry(image):
            _read_object(shapes, image, collector)


def _read_object(shapes: list[Entry], image: int, collector: Collector) -> None:
    size = collector.size_of(image)
    parts = [part for part in (_read_shape(shape, size) for shape in shapes) if part]
    if not parts:
        kind = shapes[0].get("shape_type")
        collector.dropped(f"a shape without area ({kind})", image)
        return
    label = shapes[0].text("label")
    crowd = any(_is_crowd(shape) for shape in shapes)
    if all(isinstance(part, list) for part in parts):
        collector.add_polygons(image, label, parts, is_crowd=crowd)  # type: ignore[arg-type]
        return
    masks = [
        Masks.from_polygons([[part]], size) if isinstance(part, list) else part for part in parts
    ]
    collector.add_mask(image, label, Masks.concatenate(masks).union(), is_crowd=crowd)


def _is_crowd(shape: Entry) -> bool:
    flags = shape.get("flags")
    return isinstance(flags, dict) and flags.get("crowd") is True


def _read_shape(shape: Entry, size: tuple[int, int]) -> list[float] | Masks | None:
    kind = shape.get("shape_type") or "polygon"
    if kind in _WITHOUT_AREA:
        return None
    if kind in ("polygon", "oriented_rectangle"):
        return [value for point in shape.points("points", least=3) for value in point]
    points = shape.points("points", least=2)
    if kind == "rectangle":
        return rectangle_ring(*points[0], *points[1])
    if kind == "circle":
        radius = math.dist(points[0], points[1])
        return ellipse_mask((points[0][0], points[0][1]), (radius, radius), size)
    if kind == "mask":
        return placed_bitmap(_bitmap(shape), round(points[0][0]), round(points[0][1]), size)
    raise shape.fault(f"shape_type {kind!r:.40} is not one of LabelMe's")


def _bitmap(shape: Entry) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(base64.b64decode(shape.text("mask")))) as image:
            pixels: np.ndarray = np.asarray(image.convert("L")) > 0
    except (binascii.Error, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as e:
        raise AnnotationError(f'{shape.where}: "mask" is no PNG in base64 ({e})') from e
    return pixels
