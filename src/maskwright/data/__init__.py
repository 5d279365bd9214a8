"""Annotated pictures: reading, checking, splitting and batching them."""

from __future__ import annotations

from maskwright.data.checks import Diagnosis, check_dataset, write_fixed
from maskwright.data.coco_writer import write_coco_dataset
from maskwright.data.converting import Conversion, convert
from maskwright.data.dataset import Dataset
from maskwright.data.formats.export import ExportReport
from maskwright.data.groups import group_pictures
from maskwright.data.images import IMAGE_SUFFIXES, read_image, split_page
from maskwright.data.likeness import Duplicates, find_duplicates, fingerprint_dataset
from maskwright.data.loader import Loader, Transform
from maskwright.data.opening import open_annotations, open_dataset
from maskwright.data.pixel_format import (
    PictureRule,
    PixelFormat,
    as_pixels,
    check_pixels,
    measure_pixel_format,
    read_picture,
)
from maskwright.data.report import Finding, ImportReport
from maskwright.data.sample_reader import Place, SampleReader, choose_transform
from maskwright.data.saving import encode_image, save_image
from maskwright.data.shards import ShardLoader, write_shards
from maskwright.data.split import fold_dataset, split_dataset
from maskwright.data.splitting import write_split
from maskwright.data.stored_pictures import is_page, look_at_picture, pages_of, read_stored
from maskwright.data.windows import ArrayWindows, PictureWindows, open_windows

__all__ = [
    "IMAGE_SUFFIXES",
    "ArrayWindows",
    "Conversion",
    "Dataset",
    "Diagnosis",
    "Duplicates",
    "ExportReport",
    "Finding",
    "ImportReport",
    "Loader",
    "PictureRule",
    "PictureWindows",
    "PixelFormat",
    "Place",
    "SampleReader",
    "ShardLoader",
    "Transform",
    "as_pixels",
    "check_dataset",
    "check_pixels",
    "choose_transform",
    "convert",
    "encode_image",
    "find_duplicates",
    "fingerprint_dataset",
    "fold_dataset",
    "group_pictures",
    "is_page",
    "look_at_picture",
    "measure_pixel_format",
    "open_annotations",
    "open_dataset",
    "open_windows",
    "pages_of",
    "read_image",
    "read_picture",
    "read_stored",
    "save_image",
    "split_dataset",
    "split_page",
    "write_coco_dataset",
    "write_fixed",
    "write_shards",
    "write_split",
]
