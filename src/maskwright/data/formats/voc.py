"""Pascal VOC: `Annotations/x.xml`, `JPEGImages/x.jpg` and `SegmentationObject/x.png`.

Value i of an object map is the i-th object of the xml; where its box fits another object much
better, that one. 255 is void. A picture without a map has boxes only, and their masks are the
boxes. `difficult` objects are read as crowds: VOC's own scoring leaves them out. One object per
pixel, 254 objects at most.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, SubElement

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
from maskwright.data.formats.shapes import rectangle_ring
from maskwright.data.formats.xml_files import load_xml, number_in, text_in
from maskwright.data.images import read_label_image
from maskwright.errors import AnnotationError
from maskwright.masks import Masks

__all__ = ["palette", "read", "sniff", "write"]

_VOID = 255


def sniff(source: Source) -> bool:
    """Say whether it has Annotations with xml inside, or object maps."""
    if "Annotations" not in source.folders or "JPEGImages" not in source.folders:
        return False
    return next((source.path / "Annotations").glob("*.xml"), None) is not None


def read(source: Source, options: ReadOptions) -> Imported:
    """Read every xml.

    Raises:
        AnnotationError: An xml that is not VOC's, or a map with more values than objects.
        ImageError: A map cannot be read.
    """
    root = source.path
    collector = Collector(root, crowd=options.crowd, faults=options.faults)
    with_maps = {path.stem for path in (root / "SegmentationObject").glob("*.png")}
    for path in sorted((root / "Annotations").glob("*.xml")):
        tree = load_xml(path)
        name = text_in(tree, "filename", str(path))
        size = [number_in(tree.findtext(f"size/{side}"), f"{path}: {side}") for side in _SIDES]
        image = collector.add_image(name, [int(side) for side in size])
        objects = [(element, _box(element, str(path))) for element in tree.iter("object")]
        if path.stem in with_maps:
            _read_map(root / "SegmentationObject" / f"{path.stem}.png", objects, image, collector)
        else:
            _read_boxes(path, objects, image, collector)
    return Imported(*collector.finish(), options.images or root / "JPEGImages", root)


_SIDES = ("height", "width")
_Object = tuple[Element, list[float]]


def _box(element: Element, where: str) -> list[float]:
    """Return xyxy with ends outside; VOC counts pixels from 1 and includes the last."""
    x1, y1, x2, y2 = (
        number_in(element.findtext(f"bndbox/{side}"), f"{where}: {side}")
        for side in ("xmin", "ymin", "xmax", "ymax")
    )
    return [x1 - 1, y1 - 1, x2, y2]


def _name(element: Element, where: Path) -> tuple[str, bool]:
    is_difficult = (element.findtext("difficult") or "0").strip() == "1"
    return text_in(element, "name", str(where)), is_difficult


def _read_boxes(path: Path, objects: list[_Object], image: int, collector: Collector) -> None:
    for place, (element, box) in enumerate(objects):
        collector.report.changed("a box only: its mask is the box", f"{path}, object {place + 1}")
        class_name, is_crowd = _name(element, path)
        collector.add_polygons(image, class_name, [rectangle_ring(*box)], is_crowd=is_crowd)


def _read_map(path: Path, objects: list[_Object], image: int, collector: Collector) -> None:
    label_map = read_label_image(path)
    size = collector.size_of(image)
    if label_map.shape != size:
        raise AnnotationError(f"{path}: is {label_map.shape}, its xml says {size} (height, width)")
    masks, values = Masks.from_label_map(np.where(label_map == _VOID, 0, label_map))
    owners = _owners(masks.boxes, values.tolist(), [box for _, box in objects], path)
    for k, owner in enumerate(owners):
        class_name, is_crowd = _name(objects[owner][0], path)
        collector.add_mask(image, class_name, masks[k], is_crowd=is_crowd)
    for _ in range(len(objects) - len(owners)):
        collector.dropped("in the xml and not in the object map", image)


def _owners(
    found: np.ndarray, values: list[int], stated: list[list[float]], path: Path
) -> list[int]:
    """Return the object of the xml for each value, the best fitting first."""
    if len(values) > len(stated):
        raise AnnotationError(
            f"{path}: has {len(values)} objects, its xml {len(stated)}: one is of another version"
        )
    if not values:
        return []
    fit = _box_ious(found, np.array(stated))
    for row, value in enumerate(values):
        if value <= len(stated):
            fit[row, value - 1] += 0.5  # its number counts, unless another fits far better
    owners = [-1] * len(values)
    for _ in values:
        row, column = (int(place) for place in np.unravel_index(np.argmax(fit), fit.shape))
        owners[row] = column
        fit[row, :] = fit[:, column] = -1
    return owners


def _box_ious(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    both = np.clip(high - low, 0, None).prod(axis=2)
    areas = [np.clip(b[:, 2:] - b[:, :2], 0, None).prod(axis=1) for b in (one, other)]
    ious: np.ndarray = both / np.maximum(areas[0][:, None] + areas[1][None] - both, 1e-9)
    return ious


def write(dataset: Dataset, folder: Path, log: ExportLog) -> None:
    """Write JPEGImages, Annotations, SegmentationObject, SegmentationClass and ImageSets."""
    for name in ("Annotations", "SegmentationObject", "SegmentationClass", "ImageSets"):
        (folder / name).mkdir(parents=True)
    stems = []
    for full in pictures_of(dataset, log):
        picture = _at_most(without_overlaps(full, log), _VOID - 1, log)
        stems.append(picture.stem)
        picture.copy_picture(folder / "JPEGImages" / picture.file_name, log)
        classes = np.array(picture.labels, np.int64) + 1
        _save_map(folder / "SegmentationObject" / f"{picture.stem}.png", picture, None)
        if len(dataset.class_names) < _VOID:
            _save_map(folder / "SegmentationClass" / f"{picture.stem}.png", picture, classes)
        _xml(picture).write(folder / "Annotations" / f"{picture.stem}.xml", encoding="utf-8")
    sets = folder / "ImageSets" / "Segmentation"
    sets.mkdir()
    (sets / "trainval.txt").write_text("".join(f"{s}\n" for s in stems), encoding="utf-8")
    names = "".join(f"{name}\n" for name in ("background", *dataset.class_names))
    (folder / "class_names.txt").write_text(names, encoding="utf-8")


def _at_most(picture: PictureObjects, limit: int, log: ExportLog) -> PictureObjects:
    for k in range(limit, len(picture.masks)):
        log.dropped(f"an 8-bit map holds {limit} objects", picture.where(k))
    return picture.chosen(np.arange(min(limit, len(picture.masks))))


def _save_map(path: Path, picture: PictureObjects, values: np.ndarray | None) -> None:
    pixels = picture.masks.to_label_map(values=values).astype(np.uint8)
    image = Image.fromarray(pixels)
    image.putpalette(palette())
    image.save(path)


def palette() -> list[int]:
    """Return VOC's 256 colours, RGB in turn: the bits of the number, dealt to the channels."""
    colours = []
    for number in range(256):
        for channel in range(3):
            bits = [(number >> (3 * place + channel)) & 1 for place in range(8)]
            colours.append(sum(bit << (7 - place) for place, bit in enumerate(bits)) & 255)
    return colours


def _xml(picture: PictureObjects) -> ElementTree:
    root = Element("annotation")
    SubElement(root, "filename").text = picture.file_name
    size = SubElement(root, "size")
    for tag, value in zip(("width", "height", "depth"), (*picture.size[::-1], 3), strict=True):
        SubElement(size, tag).text = str(value)
    SubElement(root, "segmented").text = "1"
    for k, (x1, y1, x2, y2) in enumerate(picture.masks.boxes.astype(int).tolist()):
        element = SubElement(root, "object")
        SubElement(element, "name").text = picture.class_names[k]
        SubElement(element, "difficult").text = str(int(picture.is_crowd[k]))
        box = SubElement(element, "bndbox")
        sides = zip(("xmin", "ymin", "xmax", "ymax"), (x1 + 1, y1 + 1, x2, y2), strict=True)
        for tag, value in sides:
            SubElement(box, tag).text = str(value)
    return ElementTree(root)
