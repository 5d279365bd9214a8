"""All formats in one place, and which of them a source is."""

from __future__ import annotations

from maskwright.data.formats import (
    cityscapes,
    class_folders,
    coco,
    csv_table,
    cvat,
    geojson,
    labelmap,
    labelme,
    labelstudio,
    lvis,
    mask_files,
    panoptic,
    via,
    voc,
    yolo,
)
from maskwright.data.formats.contract import DataFormat, Source
from maskwright.errors import ConfigError, DataError, nearest_name

__all__ = ["FORMATS", "find_format", "format_named"]


def _both(name: str, title: str, module: object, *, has_splits: bool = False) -> DataFormat:
    read_only = _only(name, title, module)
    return DataFormat(
        name=name,
        title=title,
        sniff=read_only.sniff,
        read=read_only.read,
        write=module.write,  # type: ignore[attr-defined]
        has_splits=has_splits,
    )


def _only(name: str, title: str, module: object) -> DataFormat:
    return DataFormat(
        name=name,
        title=title,
        sniff=module.sniff,  # type: ignore[attr-defined]
        read=module.read,  # type: ignore[attr-defined]
    )


FORMATS = (
    _both("coco", "COCO json", coco),
    _both("lvis", "LVIS json", lvis),
    _only("panoptic", "COCO panoptic json and maps", panoptic),
    _both("yolo", "YOLO-seg texts and data.yaml", yolo, has_splits=True),
    _both("labelme", "LabelMe json per picture", labelme),
    _both("voc", "Pascal VOC xml and object maps", voc),
    _both("cityscapes", "Cityscapes instance maps", cityscapes, has_splits=True),
    _both("cvat", "CVAT for images xml", cvat),
    _both("labelstudio", "Label Studio json", labelstudio),
    _both("via", "VGG Image Annotator json", via),
    _both("geojson", "GeoJSON over GeoTIFF", geojson),
    _both("csv", "CSV with run-length codes", csv_table),
    _both("labelmap", "label maps of 8, 16 or 32 bits", labelmap),
    _both("masks", "one PNG per object", mask_files),
    _only("class-folders", "class folders of black-and-white masks", class_folders),
)


def find_format(source: Source) -> DataFormat:
    """Return the one format that a source looks like.

    Raises:
        DataError: It looks like none, or like several.
    """
    found = [one for one in FORMATS if one.sniff(source)]
    if len(found) == 1:
        return found[0]
    if found:
        names = " and ".join(f"{one.name} ({one.title})" for one in found)
        raise DataError(f"{source.path}: looks like {names}; say which with format=")
    if source.json_file is not None or not source.is_folder:
        return format_named("coco")  # whose reader says what is wrong with the json
    known = ", ".join(one.name for one in FORMATS)
    raise DataError(
        f"{source.path}: no .json in this folder nor in its folder annotations, and none of the "
        f"layouts of {known}"
    )


def format_named(name: str) -> DataFormat:
    """Return a format by its name.

    Raises:
        ConfigError: There is none of that name.
    """
    for one in FORMATS:
        if one.name == name:
            return one
    names = [one.name for one in FORMATS]
    raise ConfigError(
        f"unknown format {name!r}.{nearest_name(name, names)} Known: {', '.join(names)}"
    )
