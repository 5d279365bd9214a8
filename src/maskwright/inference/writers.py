"""Result files of one picture or one run, each written whole or not at all."""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from maskwright.conversions import OverlapRule, masks_of, to_label_map
from maskwright.data import encode_image, save_image
from maskwright.errors import MaskError
from maskwright.files import atomic_write
from maskwright.masks import Masks
from maskwright.structures import Instances

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "coco_text",
    "write_coco_results",
    "write_label_map",
    "write_large_label_map",
    "write_masks",
    "write_table",
]

_TILE = 256
"""Side of the tiles of a large label map in pixels; whole rows of them are made at a time."""


def write_coco_results(path: Path, results: Sequence[dict[str, Any]]) -> None:
    """Write COCO results, as `Instances.to_coco` makes them, as JSON with one object a line.

    Raises:
        OSError: The file cannot be written, or the disk is full.
    """
    with atomic_write(path) as partial:
        partial.write_text(f"[\n{coco_text(results)}\n]\n" if results else "[]\n", encoding="utf-8")


def coco_text(results: Sequence[dict[str, Any]]) -> str:
    """Return COCO results as the lines between the brackets of their file."""
    return ",\n".join(json.dumps(result, allow_nan=False) for result in results)


def write_label_map(
    path: Path, instances: Instances, *, overlap: OverlapRule | None = None
) -> None:
    """Write a 16-bit grey PNG: 0 is background, i + 1 object i; the surer object wins a pixel.

    Args:
        path: The PNG file.
        instances: The objects of one picture, with masks.
        overlap: Another rule for shared pixels, as in `Instances.to_label_map`.

    Raises:
        MaskError: More than 65,535 objects, or what `to_label_map` raises.
        OSError: The file cannot be written, or the disk is full.
    """
    if len(instances) > np.iinfo(np.uint16).max:
        raise MaskError(
            f"a 16-bit label map holds 65,535 objects, got {len(instances)}: raise the score "
            "threshold, or write COCO results or a large label map (TIFF) instead"
        )
    save_image(path, to_label_map(instances, overlap=overlap).astype(np.uint16))


def write_large_label_map(path: Path, instances: Instances) -> None:
    """Write a label map of a picture of any size as a tiled TIFF, a band of rows at a time.

    As `write_label_map` otherwise: 0 is background, i + 1 object i, and the surer object wins a
    pixel. 16 bits hold up to 65,535 objects, more take 32. Deflate; files above 4 GB as BigTIFF.

    Args:
        path: The TIFF file.
        instances: The found objects of one picture, with masks.

    Raises:
        MaskError: There are no masks.
        OSError: The file cannot be written, or the disk is full.
    """
    import tifffile

    masks = masks_of(instances, "a label map")
    height, width = instances.image_size
    dtype = np.uint16 if len(instances) <= np.iinfo(np.uint16).max else np.uint32
    is_large = height * width * np.dtype(dtype).itemsize > 2**31
    with atomic_write(path) as partial, tifffile.TiffWriter(partial, bigtiff=is_large) as file:
        file.write(
            _label_tiles(instances, masks, dtype),
            shape=(height, width),
            dtype=dtype,
            tile=(_TILE, _TILE),
            photometric="minisblack",
            compression="zlib",
            metadata=None,
        )


def _label_tiles(instances: Instances, masks: Masks, dtype: type) -> Iterator[np.ndarray]:
    """The tiles of a label map, row by row, full size also at the right and below."""
    height, width = instances.image_size
    boxes = masks.boxes
    scores = np.zeros(len(masks)) if instances.scores is None else instances.scores.numpy()
    order = np.argsort(-scores, kind="stable")
    for y in range(0, height, _TILE):
        bottom = min(y + _TILE, height)
        met = order[(boxes[order, 1] < bottom) & (boxes[order, 3] > y)]
        band: np.ndarray = np.zeros((_TILE, -(-width // _TILE) * _TILE), dtype)
        part = masks[met].crop((0, y, width, bottom))
        band[: bottom - y, :width] = part.to_label_map(overlap="first", values=met + 1)
        for x in range(0, band.shape[1], _TILE):
            yield band[:, x : x + _TILE]


def write_masks(folder: Path, instances: Instances) -> list[Path]:
    """Write one 8-bit PNG per object, 255 where it is, and replace what `folder` held.

    Files are named by the object's number and class, `0001_person.png`; overlaps are kept. All
    are written aside first, so `folder` never holds a part of them or leftovers of another run.

    Returns:
        The files, in the order of the objects.

    Raises:
        MaskError: There are no masks.
        OSError: The folder cannot be written, or the disk is full.
    """
    masks = masks_of(instances, "one picture per object")
    names = [f"{i:04d}_{_file_word(name)}.png" for i, name in enumerate(instances.names, 1)]
    # Hidden, and with a name that no other process or thread takes.
    unique = f"{os.getpid()}-{threading.get_ident()}"
    aside = folder.with_name(f".{folder.name}.{unique}.partial")
    outdated = folder.with_name(f".{folder.name}.{unique}.outdated")
    try:
        aside.mkdir(parents=True)
        for i, name in enumerate(names):
            picture = np.zeros(masks.image_size, np.uint8)
            bitmap, (x, y) = masks.bitmap(i)
            picture[y : y + bitmap.shape[0], x : x + bitmap.shape[1]] = bitmap.astype(bool) * 255
            (aside / name).write_bytes(encode_image(picture))
        if folder.exists():
            os.replace(folder, outdated)  # at one stroke, where deleting takes many
        os.replace(aside, folder)
    finally:
        for leftover in (aside, outdated):
            shutil.rmtree(leftover, ignore_errors=True)
    return [folder / name for name in names]


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, UTF-8, with the shortest digits that give the same numbers.

    Raises:
        OSError: The file cannot be written, or the disk is full.
    """
    with atomic_write(path) as partial:
        table.to_csv(partial, index=False)


def _file_word(name: str) -> str:
    """A class name as part of a file name: letters, digits, dot and hyphen of any script."""
    return re.sub(r"[^\w.]+", "-", name).strip("-.") or "object"
