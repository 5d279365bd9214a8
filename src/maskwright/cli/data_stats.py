"""`maskwright data stats`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from maskwright.errors import ConfigError

if TYPE_CHECKING:
    from maskwright.data.statistics import DatasetStatistics

__all__ = ["stats"]


def stats(
    *data: Path,
    names: Annotated[
        tuple[str, ...], Parameter(consume_multiple=True, negative="", show_default=False)
    ] = (),
    out: Path | None = None,
    pixels: bool = True,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    images: Path | None = None,
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Count what annotated pictures hold; several parts of a dataset stand side by side.

    Objects per picture, sizes, aspect ratios, classes and which of them stand together, picture
    sizes, and the normalisation: mean and deviation of every channel, in the pictures' own units.

    Args:
        data: Annotated pictures of any known format, files or folders: one or more.
        names: What to call them; by default as their files.
        out: Folder to make for tables (CSV), figures (JSON) and plots (PNG).
        pixels: Read all pictures for the normalisation. Without it the pictures need not be there.
        from_: Format of the data, where looking at it does not tell.
        images: Folder of the pictures, if it is not beside the annotations.
        json_: Print the figures as JSON, and nothing else.
    """
    if not data:
        raise ConfigError("stats needs DATA: annotated pictures, a file or a folder")
    parts = _statistics(
        data, names, with_pixels=pixels, format_name=from_, images=images, quiet=json_
    )
    if out is not None:
        from maskwright.draw.statistics_folder import write_statistics

        write_statistics(parts, out)
    if json_:
        print(json.dumps([part.as_dict() for part in parts]))  # noqa: T201
        return 0
    from rich.console import Console

    from maskwright.data.statistics_tables import class_table, overview_table

    console = Console()
    console.print(overview_table(parts))
    console.print(class_table(parts))
    if out is not None:
        console.print(f"Tables and plots: {out}", highlight=False, soft_wrap=True)
    return 0


def _statistics(
    data: tuple[Path, ...],
    names: tuple[str, ...],
    *,
    with_pixels: bool,
    format_name: str | None,
    images: Path | None,
    quiet: bool,
) -> list[DatasetStatistics]:
    from maskwright.cli.progress import pictures_bar
    from maskwright.data import open_annotations, open_dataset
    from maskwright.data.normalisation import channel_statistics
    from maskwright.data.statistics import dataset_statistics, joint_class_names

    if names and len(names) != len(data):
        raise ConfigError(f"--names takes one for each of {len(data)} DATA, got {len(names)}")
    datasets = [
        open_dataset(path, images=images, format=format_name)
        if with_pixels
        else open_annotations(path, format=format_name)
        for path in data
    ]
    classes = joint_class_names(datasets)
    parts = []
    for name, dataset in zip(names or _names(data), datasets, strict=True):
        channels = None
        if with_pixels:
            with pictures_bar(f"Reading {name}", quiet=quiet) as progress:
                channels = channel_statistics(dataset, progress=progress)
        same = dataset.with_classes(classes)
        parts.append(dataset_statistics(same, name=name, channels=channels))
    return parts


def _names(data: tuple[Path, ...]) -> tuple[str, ...]:
    """Return the stems of the files, or their paths where stems are the same."""
    stems = tuple(path.resolve().stem for path in data)
    return stems if len(set(stems)) == len(stems) else tuple(map(str, data))
