"""VIA (VGG Image Annotator) 2: a json of pictures with `regions`, bare or as a project.

Polygons, rectangles, circles and ellipses are objects; points and polylines have no area and are
dropped. The class is the region attribute called class, label, name, category or type, or the
only one there is. Pictures carry no size, so they must be at hand. A region attribute `crowd`
marks a crowd. A region is one polygon: neither holes nor parts.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from maskwright.data.dataset import Dataset
from maskwright.data.formats.collector import Collector, picture_size
from maskwright.data.formats.contract import Imported, ReadOptions, Source
from maskwright.data.formats.export import ExportLog, PictureObjects, pictures_of
from maskwright.data.formats.json_files import Entry, load_json
from maskwright.data.formats.rings import one_ring
from maskwright.data.formats.shapes import ellipse_mask, rectangle_ring
from maskwright.data.names import leads_outside
from maskwright.masks import Masks

__all__ = ["read", "sniff", "write"]

_CLASS_KEYS = ("class", "label", "name", "category", "type")
_WITHOUT_AREA = ("point", "polyline")


def sniff(source: Source) -> bool:
    """Say whether its json is a project or a table of pictures with regions."""
    content = source.json_sketch
    if not isinstance(content, dict) or not content:
        return False
    if "_via_img_metadata" in content:
        return True
    first = next(iter(content.values()))
    return isinstance(first, dict) and {"filename", "regions"} <= first.keys()


def read(source: Source, options: ReadOptions) -> Imported:
    """Read all pictures.

    Raises:
        AnnotationError: A region that is not what its kind says, or without a class.
        ImageError: A picture is missing or cannot be read.
    """
    path = source.json_file or source.path
    content = Entry(load_json(path), str(path))
    if "_via_img_metadata" in content:
        content = content.entry("_via_img_metadata")
    collector = Collector(path, crowd=options.crowd, faults=options.faults)
    folder = options.images or _picture_folder(path)
    for key in content.value:
        entry = content.entry(key)
        name = entry.text("filename").replace("\\", "/")
        if leads_outside(name):
            raise entry.fault(f"picture {name!r} leads out of the picture folder")
        image = collector.add_image(name, picture_size(folder / name))
        for region in _regions(entry):
            with collector.entry(image):
                _read_region(region, image, collector)
    return Imported(*collector.finish(), folder, path)


def write(dataset: Dataset, folder: Path, log: ExportLog) -> None:
    """Write annotations.json and images/."""
    content: dict[str, Any] = {}
    for picture in pictures_of(dataset, log):
        target = folder / "images" / picture.file_name
        picture.copy_picture(target, log)
        size = target.stat().st_size
        content[f"{picture.file_name}{size}"] = {
            "filename": picture.file_name,
            "size": size,
            "regions": [_region(picture, k, log) for k in range(len(picture.masks))],
            "file_attributes": {},
        }
    (folder / "annotations.json").write_text(json.dumps(content), encoding="utf-8")


def _region(picture: PictureObjects, k: int, log: ExportLog) -> dict[str, Any]:
    ring = one_ring(picture, k, picture.masks[k].to_polygons()[0], log)
    return {
        "shape_attributes": {
            "name": "polygon",
            "all_points_x": ring[:, 0].tolist(),
            "all_points_y": ring[:, 1].tolist(),
        },
        "region_attributes": {"class": picture.class_names[k]}
        | ({"crowd": "true"} if picture.is_crowd[k] else {}),
    }


def _picture_folder(path: Path) -> Path:
    images = path.parent / "images"
    return images if images.is_dir() else path.parent


def _regions(entry: Entry) -> list[Entry]:
    regions = entry.get("regions")
    # VIA 1 numbers them in an object, VIA 2 lists them.
    values = list(regions.values()) if isinstance(regions, dict) else entry.items("regions")
    return [Entry(value, f"{entry.where}: region {i}") for i, value in enumerate(values)]


def _read_region(region: Entry, image: int, collector: Collector) -> None:
    shape = region.entry("shape_attributes")
    if shape.text("name") in _WITHOUT_AREA:
        collector.dropped(f"a shape without area ({shape.text('name')})", image)
        return
    attributes = region.entry("region_attributes")
    is_crowd = str(attributes.get("crowd")).lower() in ("1", "true")
    mask = _mask(shape, collector.size_of(image))
    if isinstance(mask, Masks):
        collector.add_mask(image, _class_name(attributes), mask, is_crowd=is_crowd)
    else:
        collector.add_polygons(image, _class_name(attributes), [mask], is_crowd=is_crowd)


def _class_name(attributes: Entry) -> str:
    keys = [key for key in attributes.value if key != "crowd"]
    known = [key for key in keys if key.lower() in _CLASS_KEYS]
    if not known and len(keys) != 1:
        raise attributes.fault(
            f"has the attributes {', '.join(map(str, keys)) or 'none'}; call the one with the "
            "class 'class'"
        )
    found = attributes.get(known[0] if known else keys[0])
    if isinstance(found, dict):  # a check box: {"crack": true}
        found = ", ".join(sorted(str(name) for name, is_set in found.items() if is_set))
    if not isinstance(found, str | int) or not str(found).strip():
        raise attributes.fault(f"the class is {found!r:.60}, wanted text")
    return str(found).strip()


def _mask(shape: Entry, size: tuple[int, int]) -> list[float] | Masks:
    kind = shape.text("name")
    if kind in ("polygon", "polyline"):
        xs, ys = shape.items("all_points_x"), shape.items("all_points_y")
        if len(xs) != len(ys) or len(xs) < 3:
            raise shape.fault(f"has {len(xs)} x and {len(ys)} y, wanted as many, three or more")
        points = {"points": [list(point) for point in zip(xs, ys, strict=True)]}
        return [v for point in Entry(points, shape.where).points("points") for v in point]
    if kind == "rect":
        x, y = shape.number("x"), shape.number("y")
        return rectangle_ring(x, y, x + shape.number("width"), y + shape.number("height"))
    centre = shape.number("cx"), shape.number("cy")
    if kind == "circle":
        return ellipse_mask(centre, (shape.number("r"), shape.number("r")), size)
    if kind == "ellipse":
        turned = math.degrees(shape.number("theta")) if "theta" in shape else 0.0
        return ellipse_mask(centre, (shape.number("rx"), shape.number("ry")), size, turned)
    raise shape.fault(f"shape {kind!r:.40} is not one of VIA's")
