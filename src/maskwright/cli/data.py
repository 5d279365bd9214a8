"""`maskwright data`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    from maskwright.data import Conversion

__all__ = ["convert", "shard"]


def convert(
    data: Path,
    /,
    *,
    to: Literal[
        "coco",
        "lvis",
        "yolo",
        "labelme",
        "voc",
        "cityscapes",
        "cvat",
        "labelstudio",
        "via",
        "geojson",
        "masks",
        "labelmap",
        "csv",
    ],
    out: Path,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    images: Path | None = None,
    crowd: Literal["keep", "ignore", "drop"] = "ignore",
    strict: Annotated[bool, Parameter(negative="")] = False,
    follow_links: Annotated[bool, Parameter(negative="")] = False,
    split: str | None = None,
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Write annotated pictures in another format, whole or not at all.

    Says what was read, changed and dropped, and what the new format could not hold.

    Args:
        data: Annotated pictures of any known format: a file or a folder.
        to: The format to write.
        out: Folder to make.
        from_: Format of the data, where looking at it does not tell.
        images: Folder of the pictures, if it is not beside the annotations.
        crowd: keep takes crowds for objects, ignore keeps them as regions where nothing counts
            as wrong, drop leaves them out.
        strict: Refuse if any object would change or be left out.
        split: Part to read of YOLO's data.yaml or of Cityscapes: train, val, test. By default all.
        follow_links: Follow symbolic links that lead out of the folder of the data.
        json_: Print both reports as JSON, and nothing else.
    """
    from maskwright.data import convert as convert_dataset

    conversion = convert_dataset(
        data,
        out,
        to=to,
        format=from_,
        images=images,
        crowd="object" if crowd == "keep" else crowd,
        strict=strict,
        follow_links=follow_links,
        split=split,
    )
    _print(conversion, as_json=json_)
    return 0


def shard(
    data: Path,
    /,
    *,
    out: str,
    pictures_per_shard: int = 500,
    images: Path | None = None,
    crowd: Literal["keep", "ignore", "drop"] = "ignore",
    seed: int = 0,
) -> int:
    """Write annotated pictures as tar shards in WebDataset's layout, to train from storage.

    Pictures are kept byte for byte, masks exactly. `maskwright.data.ShardLoader` reads them from
    a folder or from any URL of fsspec.

    Args:
        data: Annotated pictures of any known format: a file or a folder.
        out: Folder to make, or a URL of fsspec, such as s3://bucket/shards (extra shards).
        pictures_per_shard: Pictures of a tar file.
        images: Folder of the pictures, if it is not beside the annotations.
        crowd: keep takes crowds for objects, ignore keeps them as regions where nothing counts
            as wrong, drop leaves them out.
        seed: Of the order in which pictures are spread over the shards.
    """
    from maskwright.data import open_dataset, write_shards

    dataset = open_dataset(data, images=images, crowd="object" if crowd == "keep" else crowd)
    write_shards(dataset, out, pictures_per_shard=pictures_per_shard, seed=seed)
    num_shards = -(-len(dataset) // pictures_per_shard)
    print(dataset.report)  # noqa: T201
    print(f"{out}: {num_shards} shards and index.json")  # noqa: T201
    return 0


def _print(conversion: Conversion, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(conversion.as_dict()))  # noqa: T201
        return
    from rich.console import Console

    console = Console()
    for report in (conversion.imported, conversion.exported):
        if report.findings:
            console.print(report)
        else:
            console.print(str(report), highlight=False, soft_wrap=True)
