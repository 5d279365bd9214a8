"""GeoJSON over GeoTIFF: `x.geojson` beside `x.tif`, features with polygons in its coordinates.

Positions are those of the raster's own reference system, from its scale and tie point or its
transformation (tags 33550, 33922, 34264); a picture without them counts in pixels. `properties`
hold `class` (or label, name, category, type) and `crowd`. Polygons have holes and features may
have several parts, so nothing is lost. No coordinates are projected: a file in longitude and
latitude over a raster in metres is refused, since its polygons lie off the picture.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64
from PIL import Image

from maskwright.data.dataset import Dataset
from maskwright.data.formats.collector import Collector, picture_size
from maskwright.data.formats.contract import Imported, ReadOptions, Source
from maskwright.data.formats.export import ExportLog, PictureObjects, pictures_of
from maskwright.data.formats.json_files import Entry, load_json, numbers
from maskwright.data.images import IMAGE_SUFFIXES
from maskwright.errors import AnnotationError
from maskwright.masks import Masks, Outline

__all__ = ["read", "sniff", "write"]

_SCALE, _TIE_POINT, _TRANSFORM, _GEO_KEYS = 33550, 33922, 34264, 34735
_CLASS_KEYS = ("class", "label", "name", "category", "type")
# GeoTIFF 1.1, section 7: keys that hold the EPSG code of a geographic or projected system.
_SYSTEM_KEYS = (3072, 2048)


def sniff(source: Source) -> bool:
    """Say whether it is a .geojson or a folder with one."""
    return bool(source.files(".geojson"))


def read(source: Source, options: ReadOptions) -> Imported:
    """Read every .geojson and the raster beside it.

    Raises:
        AnnotationError: A feature that is no polygon or lies off its raster; no raster.
        ImageError: A raster cannot be read.
    """
    folder = options.images or (source.path if source.is_folder else source.path.parent)
    collector = Collector(source.path, crowd=options.crowd, faults=options.faults)
    for path in source.files(".geojson"):
        raster = _raster(folder, path)
        size = picture_size(raster)
        image = collector.add_image(raster.relative_to(folder).as_posix(), size)
        document = Entry(load_json(path), str(path))
        to_pixels = np.linalg.inv(_pixel_to_map(raster))
        for place, value in enumerate(document.items("features")):
            _read_feature(Entry(value, f"{path}: feature {place}"), image, to_pixels, collector)
    return Imported(*collector.finish(), folder, source.path)


def write(dataset: Dataset, folder: Path, log: ExportLog) -> None:
    """Write a .geojson beside every picture, in its reference system where it has one."""
    for picture in pictures_of(dataset, log):
        raster = folder / picture.file_name
        picture.copy_picture(raster, log)
        to_map = _pixel_to_map(raster)
        features = [_feature(picture, k, to_map) for k in range(len(picture.masks))]
        document: dict[str, Any] = {"type": "FeatureCollection"}
        system = _system(raster)
        if system is not None:
            # Not in RFC 7946, which knows longitude and latitude only; GIS tools read it.
            name = f"urn:ogc:def:crs:EPSG::{system}"
            document["crs"] = {"type": "name", "properties": {"name": name}}
        text = json.dumps(document | {"features": features})
        (folder / f"{picture.stem}.geojson").write_text(text, encoding="utf-8")


def _feature(picture: PictureObjects, k: int, to_map: np.ndarray) -> dict[str, Any]:
    polygons = [
        [_closed(_moved(ring, to_map)) for ring in (outline.exterior, *outline.holes)]
        for outline in picture.masks[k].to_polygons()[0]
    ]
    is_one = len(polygons) == 1
    crowd = {"crowd": True} if picture.is_crowd[k] else {}
    return {
        "type": "Feature",
        "properties": {"class": picture.class_names[k]} | crowd,
        "geometry": {
            "type": "Polygon" if is_one else "MultiPolygon",
            "coordinates": polygons[0] if is_one else polygons,
        },
    }


def _closed(ring: np.ndarray) -> list[list[float]]:
    points: list[list[float]] = ring.tolist()
    return [*points, points[0]]


def _moved(points: np.ndarray, matrix: np.ndarray) -> Float64[np.ndarray, "p 2"]:
    moved: np.ndarray = points.astype(np.float64) @ matrix[:2, :2].T + matrix[:2, 2]
    return moved


def _raster(folder: Path, path: Path) -> Path:
    for suffix in (".tif", ".tiff", *sorted(IMAGE_SUFFIXES)):
        if (folder / (path.stem + suffix)).is_file():
            return folder / (path.stem + suffix)
    raise AnnotationError(f"{path}: no raster {path.stem}.tif in {folder}")


def _tags(path: Path) -> dict[int, Any]:
    if path.suffix.lower() not in (".tif", ".tiff"):
        return {}
    with Image.open(path) as image:  # its header was read before, so it opens
        return dict(getattr(image, "tag_v2", {}))


def _pixel_to_map(path: Path) -> Float64[np.ndarray, "3 3"]:
    """Return the matrix from pixel corners (x, y, 1) to positions."""
    tags = _tags(path)
    matrix = np.eye(3)
    if len(tags.get(_TRANSFORM, ())) == 16:
        full = np.array(tags[_TRANSFORM], np.float64).reshape(4, 4)
        matrix[:2, :2], matrix[:2, 2] = full[:2, :2], full[:2, 3]
    elif len(tags.get(_SCALE, ())) >= 2 and len(tags.get(_TIE_POINT, ())) >= 6:
        (scale_x, scale_y), tie = tags[_SCALE][:2], tags[_TIE_POINT]
        matrix[0] = scale_x, 0, tie[3] - tie[0] * scale_x
        matrix[1] = 0, -scale_y, tie[4] + tie[1] * scale_y
    if not np.isfinite(matrix).all() or not np.linalg.det(matrix):
        raise AnnotationError(f"{path}: its georeference cannot be undone: {matrix[:2].tolist()}")
    return matrix


def _system(path: Path) -> int | None:
    keys = tuple(_tags(path).get(_GEO_KEYS, ()))
    found = {keys[i]: keys[i + 3] for i in range(4, len(keys) - 3, 4) if keys[i + 1] == 0}
    return next((int(found[key]) for key in _SYSTEM_KEYS if key in found), None)


def _read_feature(feature: Entry, image: int, to_pixels: np.ndarray, collector: Collector) -> None:
    geometry = feature.entry("geometry")
    kind = geometry.text("type")
    if kind not in ("Polygon", "MultiPolygon"):
        collector.dropped(f"a geometry without area ({kind:.40})", image)
        return
    polygons = (
        [geometry.items("coordinates")] if kind == "Polygon" else geometry.items("coordinates")
    )
    outlines = []
    for polygon in polygons:
        if not isinstance(polygon, list) or not polygon:
            raise geometry.fault("a polygon without rings")
        rings = [_moved(_ring(ring, geometry), to_pixels) for ring in polygon]
        outlines.append(Outline(rings[0], tuple(rings[1:])))
    height, width = collector.size_of(image)
    corners = np.concatenate([outline.exterior for outline in outlines] or [np.zeros((0, 2))])
    if (
        not np.isfinite(corners).all()
        or not ((corners >= 0).all(axis=1) & (corners <= (width, height)).all(axis=1)).any()
    ):
        raise feature.fault(
            "lies off its raster: are its coordinates in the raster's reference system?"
        )
    properties = feature.entry("properties")
    try:
        mask = Masks.from_outlines([outlines], (height, width))
    except ValueError as error:
        raise feature.fault(str(error)) from error
    crowd = properties.get("crowd") in (True, 1)
    collector.add_mask(image, _class_name(properties), mask, is_crowd=crowd)


def _ring(ring: Any, geometry: Entry) -> np.ndarray:
    if not isinstance(ring, list) or len(ring) < 4:
        raise geometry.fault("a ring of fewer than four positions")
    points = []
    for point in ring:
        if not isinstance(point, list) or len(point) < 2:
            raise geometry.fault(f"position {point!r:.40}, wanted [x, y]")
        points.append(numbers(point[:2], geometry.where))
    return np.array(points[:-1] if points[0] == points[-1] else points)


def _class_name(properties: Entry) -> str:
    for key in _CLASS_KEYS:
        found = properties.get(key)
        if isinstance(found, str) and found:
            return found
    raise properties.fault(f"none of {', '.join(_CLASS_KEYS)} names the class")
