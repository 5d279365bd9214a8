"""Writing shards: tar files of pictures and their objects, and an index.json beside them.

A sample is two members, `KEY.SUFFIX` (the picture file, byte for byte) and `KEY.json`: image_id,
file_name, height, width and objects, each with label, iscrowd and its exact mask as COCO's run
lengths. It is the layout of WebDataset, whose tools read it.
"""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.data.dataset import Dataset
from maskwright.data.images import split_page
from maskwright.data.shards.sending import is_url, refuse_filled, send_file
from maskwright.errors import ConfigError, DataError
from maskwright.files import atomic_write, write_json

__all__ = ["INDEX", "VERSION", "write_shards"]

INDEX, VERSION = "index.json", 1


def write_shards(
    dataset: Dataset, out: str | Path, *, pictures_per_shard: int = 500, seed: int | None = 0
) -> str | Path:
    """Write a dataset as tar shards into a new folder or to object storage; returns where.

    The index is written last: a folder with one is whole.

    Args:
        dataset: Pictures with their objects; those without pixels are left out.
        out: The folder to make; an empty one is taken. Or a URL of fsspec, such as
            "s3://bucket/shards" (extra `shards`, and the package of that storage): each shard is
            sent as soon as it is written, so the disk holds one at a time.
        pictures_per_shard: Pictures of a tar file.
        seed: Pictures are spread over the shards in random order, since they are read in sequence;
            None keeps the order.

    Raises:
        ConfigError: A number out of range.
        DataError: The folder is not empty, a picture is missing, or the storage takes nothing.
        MissingExtraError: A URL, and fsspec is not installed.
    """
    if pictures_per_shard < 1:
        raise ConfigError(f"pictures_per_shard must be at least 1, got {pictures_per_shard}")
    if is_url(out):
        with tempfile.TemporaryDirectory() as folder:
            send = partial(send_file, url=str(out).rstrip("/"))
            refuse_filled(str(out).rstrip("/"))
            _write(dataset, Path(folder), pictures_per_shard, seed, send)
        return str(out)
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out}: is not an empty folder; name a new one, or empty it")
    _write(dataset, out, pictures_per_shard, seed, _keep)
    return out


def _keep(path: Path) -> None:
    """Leave a file where it is."""


def _write(
    dataset: Dataset,
    out: Path,
    pictures_per_shard: int,
    seed: int | None,
    finish: Callable[[Path], None],
) -> None:
    """Write the shards, then the index; each file is handed to `finish` once it is whole."""
    order = np.arange(len(dataset))
    if seed is not None:
        order = np.random.default_rng(seed).permutation(order)
    shards = []
    for number, start in enumerate(range(0, len(order), pictures_per_shard)):
        chosen = order[start : start + pictures_per_shard].tolist()
        path = out / f"shard-{number:06d}.tar"
        with (
            atomic_write(path) as partial,
            tarfile.open(partial, "w", format=tarfile.GNU_FORMAT) as tar,
        ):
            for place, image in enumerate(chosen, start):
                _add_sample(tar, f"{place:09d}", dataset, image)
        shards.append({"name": path.name, "bytes": path.stat().st_size, "samples": len(chosen)})
        finish(path)
    content = {
        "maskwright_shards": VERSION,
        "class_names": list(dataset.class_names),
        "category_ids": list(dataset.category_ids),
        "shards": shards,
    }
    write_json(out / INDEX, content)
    finish(out / INDEX)


def _add_sample(tar: tarfile.TarFile, key: str, dataset: Dataset, image: int) -> None:
    path = dataset.image_path(image)
    if split_page(path)[1] is not None:
        raise DataError(
            f"{path}: is a page of a file, and shards hold whole files: write the pages as files "
            "of their own first, for example with maskwright data convert"
        )
    try:
        picture = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    _add(tar, key + path.suffix.lower(), picture)
    _add(tar, key + ".json", json.dumps(_description(dataset, image)).encode())


def _description(dataset: Dataset, image: int) -> dict[str, Any]:
    targets = dataset.targets(image)
    assert targets.masks is not None
    assert targets.is_crowd is not None
    height, width = targets.image_size
    rows = zip(
        targets.labels.tolist(), targets.is_crowd.tolist(), targets.masks.to_coco(), strict=True
    )
    return {
        "image_id": int(dataset.image_ids[image]),
        "file_name": dataset.file_names[image],
        "height": height,
        "width": width,
        "objects": [
            {"label": label, "iscrowd": int(is_crowd), "segmentation": code}
            for label, is_crowd, code in rows
        ],
    }


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)  # no owner and no time: equal data, equal shards
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))
