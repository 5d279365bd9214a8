"""The figures of datasets side by side in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from maskwright.data.normalisation import ChannelStatistics
from maskwright.data.statistics import DatasetStatistics

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["class_table", "overview_table"]


def overview_table(parts: Sequence[DatasetStatistics]) -> Table:
    """Return a table with a column per dataset."""
    from rich.markup import escape
    from rich.table import Table

    table = Table("")
    for part in parts:
        table.add_column(escape(part.name), justify="right")
    figures = [part.as_dict() for part in parts]
    for title, cell in (
        ("pictures", lambda one: str(one["pictures"])),
        ("  without objects", lambda one: str(one["pictures_without_objects"])),
        ("objects", lambda one: str(one["objects"])),
        ("  crowds, besides", lambda one: str(one["crowds"])),
        ("classes", lambda one: f"{one['classes_with_objects']} of {one['classes']}"),
    ):
        table.add_row(title, *map(cell, figures))
    table.add_section()
    for title, key in (
        ("objects / picture", "objects_per_picture"),
        ("side, px", "side"),
        ("area, %", "relative_area"),
        ("width / height", "aspect"),
        ("picture height", "height"),
        ("picture width", "width"),
    ):
        factor = 100 if key == "relative_area" else 1
        table.add_row(title, *(_spread(one[key], factor) for one in figures))
    table.add_row(
        "small/medium/large",
        *(f"{one['small']}/{one['medium']}/{one['large']}" for one in figures),
    )
    if any(part.channels is not None for part in parts):
        table.add_section()
        table.add_row("channel means", *(_channels(part.channels, "mean") for part in parts))
        table.add_row("channel std", *(_channels(part.channels, "std") for part in parts))
    table.caption = (
        "Spreads are median (5 %\u201395 %). The side is the square root of an object's area; "
        "small is below 32 x 32 pixels, large from 96 x 96. The area is relative to the picture."
    )
    table.caption_justify = "left"
    return table


def class_table(parts: Sequence[DatasetStatistics]) -> Table:
    """Return the objects of each class that has any; of a single dataset its pictures as well."""
    from rich.markup import escape
    from rich.table import Table

    table = Table("class")
    is_single = len(parts) == 1
    for part in parts:
        table.add_column("objects" if is_single else escape(part.name), justify="right")
    if is_single:
        table.add_column("pictures", justify="right")
    frames = [part.classes for part in parts]
    totals = np.sum([frame["objects"].to_numpy() for frame in frames], axis=0)
    for k in np.argsort(-totals, kind="stable").tolist():
        if not totals[k]:
            continue
        rows = [frame.iloc[k] for frame in frames]
        cells = [f"{row['objects']} ({100 * row['share']:.1f} %)" for row in rows]
        cells += [str(row["pictures"]) for row in rows if is_single]
        table.add_row(escape(parts[0].class_names[k]), *cells)
    without = int((totals == 0).sum())
    if without:
        table.caption = f"{without} without objects are left out"
        table.caption_justify = "left"
    return table


def _spread(summary: dict[str, Any], factor: float) -> str:
    if summary["median"] is None:
        return "-"
    median, low, high = (_number(factor * summary[key]) for key in ("median", "p5", "p95"))
    return f"{median} ({low}\u2013{high})" if low != high else median


def _number(value: float) -> str:
    return f"{value:.2g}" if abs(value) < 99.5 else f"{value:.0f}"


def _channels(channels: ChannelStatistics | None, which: str) -> str:
    if channels is None:
        return "-"
    return " ".join(f"{value:.3g}" for value in channels.as_dict()[which])
