"""Annotated pictures: reading, checking, splitting and batching them."""

from __future__ import annotations

from maskwright.data.coco_writer import write_coco_dataset
from maskwright.data.converting import Conversion, convert
from maskwright.data.dataset import Dataset
from maskwright.data.images import IMAGE_SUFFIXES, read_image
from maskwright.data.loader import Loader, Transform
from maskwright.data.opening import open_annotations, open_dataset
from maskwright.data.report import Finding, ImportReport
from maskwright.data.saving import encode_image, save_image
from maskwright.data.shards import ShardLoader, write_shards
from maskwright.data.split import split_dataset
from maskwright.data.windows import ArrayWindows, PictureWindows, open_windows

__all__ = [
    "IMAGE_SUFFIXES",
    "ArrayWindows",
    "Conversion",
    "Dataset",
    "Finding",
    "ImportReport",
    "Loader",
    "PictureWindows",
    "ShardLoader",
    "Transform",
    "convert",
    "encode_image",
    "open_annotations",
    "open_dataset",
    "open_windows",
    "read_image",
    "save_image",
    "split_dataset",
    "write_coco_dataset",
    "write_shards",
]
