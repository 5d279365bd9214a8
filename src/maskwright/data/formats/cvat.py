"""CVAT for images: `annotations.xml` beside `images/`.

Boxes, polygons, ellipses and masks are objects; those of one `group_id` and label that is not 0
are one. Points, polylines, cuboids and skeletons have no area and are dropped. An attribute
`is_crowd` marks a crowd. Written as masks, so nothing is lost. (CVAT's COCO export is COCO.)
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, SubElement

import numpy as np

from maskwright.data.dataset import Dataset
from maskwright.data.formats.collector import Collector
from maskwright.data.formats.contract import Imported, ReadOptions, Source
from maskwright.data.formats.export import ExportLog, PictureObjects, pictures_of
from maskwright.data.formats.shapes import ellipse_mask, placed_bitmap, rectangle_ring
from maskwright.data.formats.xml_files import load_xml, number_in
from maskwright.errors import AnnotationError
from maskwright.masks import Masks

__all__ = ["read", "sniff", "write"]

_WITH_AREA = ("box", "polygon", "ellipse", "mask")
_WITHOUT_AREA = ("points", "polyline", "cuboid", "skeleton")
_HEAD = 4096


def sniff(source: Source) -> bool:
    """Say whether an xml lies there that begins as CVAT's do."""
    return _xml_file(source) is not None


def read(source: Source, options: ReadOptions) -> Imported:
    """Read all pictures of the file.

    Raises:
        AnnotationError: Not CVAT's XML, a document type, or a shape that is not what it says.
    """
    path = _xml_file(source) or source.path
    root = load_xml(path)
    if root.tag != "annotations":
        raise AnnotationError(f"{path}: its root is <{root.tag}>, wanted CVAT's <annotations>")
    if root.find("track") is not None:
        raise AnnotationError(f"{path}: holds video tracks; export it as 'CVAT for images'")
    listed = [e.text or "" for e in root.iterfind("meta//labels/label/name")]
    collector = Collector(
        path,
        crowd=options.crowd,
        faults=options.faults,
        class_names=list(dict.fromkeys(listed)) or None,
    )
    for place, element in enumerate(root.iter("image")):
        where = f"{path}: image {place}"
        name = element.get("name", "").replace("\\", "/")
        if not name:
            raise AnnotationError(f"{where} has no name")
        size = [int(number_in(element.get(side), f"{where}: {side}")) for side in _SIDES]
        _read_shapes(element, collector.add_image(name, size), f"{path}: {name}", collector)
    return Imported(*collector.finish(), None, path)


_SIDES = ("height", "width")


def write(dataset: Dataset, folder: Path, log: ExportLog) -> None:
    """Write annotations.xml and images/."""
    root = Element("annotations")
    SubElement(root, "version").text = "1.1"
    task = SubElement(SubElement(root, "meta"), "task")
    labels = SubElement(task, "labels")
    for name in dataset.class_names:
        SubElement(SubElement(labels, "label"), "name").text = name
    for picture in pictures_of(dataset, log):
        picture.copy_picture(folder / "images" / picture.file_name, log)
        height, width = picture.size
        element = SubElement(
            root,
            "image",
            id=str(picture.position),
            name=picture.file_name,
            width=str(width),
            height=str(height),
        )
        for k in range(len(picture.masks)):
            _add_mask(element, picture, k)
    ElementTree(root).write(folder / "annotations.xml", encoding="utf-8", xml_declaration=True)


def _add_mask(image: Element, picture: PictureObjects, k: int) -> None:
    bitmap, (x, y) = picture.masks.bitmap(k)
    flat = np.concatenate([[0], bitmap.reshape(-1), [1 - bitmap.reshape(-1)[-1]]])
    # Counts begin with unset pixels, row by row inside the box.
    ends = np.flatnonzero(np.diff(flat))
    counts = np.diff(np.concatenate([[0], ends]))
    mask = SubElement(
        image,
        "mask",
        label=picture.class_names[k],
        source="file",
        occluded="0",
        rle=", ".join(map(str, counts.tolist())),
        left=str(x),
        top=str(y),
        width=str(bitmap.shape[1]),
        height=str(bitmap.shape[0]),
        z_order="0",
    )
    if picture.is_crowd[k]:
        SubElement(mask, "attribute", name="is_crowd").text = "true"


def _xml_file(source: Source) -> Path | None:
    for path in source.files(".xml"):
        with path.open("rb") as file:
            head = file.read(_HEAD)
        if not source.is_folder or b"<annotations" in head:
            return path
    return None


def _read_shapes(element: Element, image: int, where: str, collector: Collector) -> None:
    groups: dict[object, list[Element]] = {}
    for place, shape in enumerate(element):
        if shape.tag in _WITHOUT_AREA:
            collector.dropped(f"a shape without area ({shape.tag})", image)
        elif shape.tag in _WITH_AREA:
            group = shape.get("group_id", "0")
            key = place if group == "0" else (group, shape.get("label"))
            groups.setdefault(key, []).append(shape)
    for shapes in groups.values():
        with collector.entry(image):
            _read_object(shapes, image, where, collector)


def _read_object(shapes: list[Element], image: int, where: str, collector: Collector) -> None:
    size = collector.size_of(image)
    masks = [_mask(shape, size, where) for shape in shapes]
    label = shapes[0].get("label", "")
    crowd = any(_is_crowd(shape) for shape in shapes)
    rings = [ring for ring in masks if isinstance(ring, list)]
    if len(rings) == len(masks):
        collector.add_polygons(image, label, rings, is_crowd=crowd)
        return
    drawn = [Masks.from_polygons([[m]], size) if isinstance(m, list) else m for m in masks]
    collector.add_mask(image, label, Masks.concatenate(drawn).union(), is_crowd=crowd)


def _is_crowd(shape: Element) -> bool:
    marks = (a.text for a in shape.iterfind("attribute") if a.get("name") == "is_crowd")
    return any((mark or "").strip().lower() in ("1", "true") for mark in marks)


def _mask(shape: Element, size: tuple[int, int], where: str) -> list[float] | Masks:
    def number(key: str) -> float:
        return number_in(shape.get(key), f"{where}: {shape.tag} {key}")

    if shape.tag == "box":
        turned = number("rotation") if "rotation" in shape.attrib else 0.0
        return rectangle_ring(
            number("xtl"), number("ytl"), number("xbr"), number("ybr"), degrees=turned
        )
    if shape.tag == "ellipse":
        turned = number("rotation") if "rotation" in shape.attrib else 0.0
        centre, radii = (number("cx"), number("cy")), (number("rx"), number("ry"))
        return ellipse_mask(centre, radii, size, turned)
    if shape.tag == "polygon":
        words = shape.get("points", "").replace(";", ",").split(",")
        return [number_in(word, f"{where}: polygon point") for word in words]
    left, top, width, height = (int(number(key)) for key in ("left", "top", "width", "height"))
    pixels = _decode(shape.get("rle", ""), height * width, where)
    return placed_bitmap(pixels.reshape(height, width), left, top, size)


def _decode(text: str, num_pixels: int, where: str) -> np.ndarray:
    try:
        counts = [int(word) for word in text.split(",")]
    except ValueError:
        raise AnnotationError(f"{where}: mask rle {text!r:.40}, wanted counts") from None
    if num_pixels > 2**28 or min(counts) < 0 or sum(counts) != num_pixels:
        raise AnnotationError(
            f"{where}: mask rle has counts of {sum(counts)} pixels, its box {num_pixels}"
        )
    ends = np.cumsum(counts)
    pixels = np.zeros(num_pixels, bool)
    for begin, end in list(pairwise(ends.tolist()))[::2]:
        pixels[begin:end] = True
    return pixels
