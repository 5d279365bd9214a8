"""Reading shards: the samples of a tar file in sequence, as bytes, and as samples."""

from __future__ import annotations

import json
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from maskwright.data.pixel_format import PixelFormat, read_picture
from maskwright.data.shards.storage import ShardFile, read_all
from maskwright.data.shards.writing import INDEX, VERSION
from maskwright.errors import DataError, ImageError, MaskError
from maskwright.masks import Masks
from maskwright.structures import Instances, Sample

__all__ = ["RawSample", "ShardSet", "decode_sample", "open_shards", "read_shard"]


class RawSample(NamedTuple):
    """The two members of a sample, not decoded, and where they were found."""

    where: str
    suffix: str
    picture: bytes
    description: bytes


@dataclass(frozen=True, kw_only=True)
class ShardSet:
    """What index.json says.

    Args:
        url: The folder.
        class_names: Names by label.
        category_ids: Ids by label.
        names: Of the tar files.
        sizes: Their lengths in bytes.
        counts: Their samples.
    """

    url: str
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    names: tuple[str, ...]
    sizes: tuple[int, ...]
    counts: tuple[int, ...]


def open_shards(url: str, *, tries: int = 5) -> ShardSet:
    """Read the index of a folder of shards.

    Raises:
        DataError: There is none, or it is none of ours.
    """
    url = url.rstrip("/")
    where = f"{url}/{INDEX}"
    try:
        content = json.loads(read_all(where, tries=tries))
        if content["maskwright_shards"] != VERSION:
            raise ValueError(f"version {content['maskwright_shards']}, wanted {VERSION}")
        shards = content["shards"]
        return ShardSet(
            url=url,
            class_names=tuple(map(str, content["class_names"])),
            category_ids=tuple(map(int, content["category_ids"])),
            names=tuple(str(shard["name"]) for shard in shards),
            sizes=tuple(int(shard["bytes"]) for shard in shards),
            counts=tuple(int(shard["samples"]) for shard in shards),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{where}: not an index of shards ({error})") from error


def read_shard(shards: ShardSet, number: int, *, tries: int = 5) -> Iterator[RawSample]:
    """Yield the samples of a tar file in sequence; nothing in it is ever run or unpacked.

    Raises:
        DataError: It could not be read, is damaged, or holds other samples than the index says.
    """
    url = f"{shards.url}/{shards.names[number]}"
    count = 0
    file: Any = ShardFile(url, shards.sizes[number], tries=tries)
    try:
        with tarfile.open(fileobj=file, mode="r|") as tar:
            picture: tuple[str, str, bytes] | None = None
            for member in tar:
                stream = tar.extractfile(member) if member.isfile() else None
                key, _, suffix = member.name.partition(".")
                if stream is None:
                    raise DataError(f"{url}: {member.name!r} is not a file")
                if suffix != "json":
                    picture = (key, f".{suffix}", stream.read())
                    continue
                if picture is None or picture[0] != key:
                    raise DataError(f"{url}: {member.name!r} has no picture before it")
                count += 1
                yield RawSample(f"{url}: {key}", *picture[1:], stream.read())
    except (tarfile.TarError, EOFError) as error:
        raise DataError(f"{url}: damaged after {count} samples ({error})") from error
    if count != shards.counts[number]:
        raise DataError(f"{url}: {count} samples, the index says {shards.counts[number]}")


def decode_sample(shards: ShardSet, raw: RawSample, *, pixels: PixelFormat | None = None) -> Sample:
    """Return a sample with its picture, in this pixel format, and exact masks.

    Raises:
        DataError: The description is not one.
        ImageError: The picture cannot be read.
    """
    try:
        said = json.loads(raw.description)
        size = int(said["height"]), int(said["width"])
        objects = said["objects"]
        codes = [entry["segmentation"] for entry in objects]
        masks = Masks.from_rle(codes, size) if codes else Masks.empty(size)
        labels = np.array([int(entry["label"]) for entry in objects], np.int64)
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(shards.class_names):
            raise ValueError(f"labels from {labels.min()} to {labels.max()}")
        targets = Instances(
            image_size=size,
            boxes=torch.from_numpy(masks.boxes),
            labels=torch.from_numpy(labels),
            masks=masks,
            is_crowd=torch.tensor([bool(entry["iscrowd"]) for entry in objects], dtype=torch.bool),
            class_names=shards.class_names,
            category_ids=shards.category_ids,
        )
        image_id, name = int(said["image_id"]), str(said["file_name"])
    except (ValueError, KeyError, TypeError, MaskError) as error:
        raise DataError(f"{raw.where}: not a description of objects ({error})") from error
    return Sample(image=_picture(raw, size, pixels), targets=targets, image_id=image_id, name=name)


def _picture(raw: RawSample, size: tuple[int, int], pixels: PixelFormat | None) -> np.ndarray:
    # By way of a file: a picture of a shard is then read by the very rules of a dataset's.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"picture{raw.suffix}"
        path.write_bytes(raw.picture)
        try:
            return read_picture(path, pixels, expected_size=size)
        except ImageError as error:
            raise ImageError(str(error).replace(str(path), raw.where)) from error
