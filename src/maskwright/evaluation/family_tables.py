"""Tables of LVIS, panoptic, counting and agnostic metrics for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from maskwright.evaluation.tables import percent

if TYPE_CHECKING:
    from maskwright.evaluation.family import FamilyMetrics

__all__ = ["family_tables"]


def family_tables(metrics: FamilyMetrics) -> Group:
    """Return a table of the numbers with intervals, one by class or size each, and the notes."""
    notes = [Padding(Text(f"Note: {note}"), (0, 1)) for note in metrics.notes]
    more = [_rows_table(metrics, title) for title, rows in metrics.tables.items() if rows]
    return Group(_numbers_table(metrics), *more, *notes)


def _numbers_table(metrics: FamilyMetrics) -> Table:
    table = Table(title=f"{metrics.title} over {metrics.num_images} pictures{_unit(metrics)}")
    table.add_column("")
    table.add_column("value", justify="right")
    table.add_column("95 % interval", justify="right")
    table.add_column("", style="dim")
    for name, value in metrics.numbers.items():
        show = _shown(metrics, name)
        ends = metrics.intervals.get(name)
        interval = "" if ends is None else f"{show(ends[0])} to {show(ends[1])}"
        table.add_row(name, show(value), interval, metrics.meanings.get(name, ""))
    return table


def _rows_table(metrics: FamilyMetrics, title: str) -> Table:
    rows: Mapping[str, Mapping[str, float | None]] = metrics.tables[title]
    intervals = metrics.table_intervals.get(title, {})
    table = Table(title=title, box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("", overflow="fold", min_width=10)
    columns = list(next(iter(rows.values())))
    for place, name in enumerate(columns):
        table.add_column(name, justify="right", no_wrap=True)
        if place == 0 and intervals:
            table.add_column("95 % interval", justify="right", no_wrap=True)
    for row, values in rows.items():
        cells = []
        for place, name in enumerate(columns):
            show = _shown(metrics, name)
            cells.append(show(values[name]))
            if place == 0 and intervals:
                ends = intervals.get(row)
                cells.append("" if ends is None else f"{show(ends[0])} to {show(ends[1])}")
        table.add_row(Text(row), *cells)  # Text, since a class may be called "[bold]"
    return table


def _unit(metrics: FamilyMetrics) -> str:
    return "" if metrics.in_objects >= metrics.numbers.keys() else ", in %"


def _shown(metrics: FamilyMetrics, name: str) -> Callable[[float | None], str]:
    return _objects if name in metrics.in_objects else _share


def _objects(value: float | None) -> str:
    if value is None:
        return "n/a"
    return f"{value:.0f}" if isinstance(value, int) else f"{value:.2f}"


def _share(value: float | None) -> str:
    return "n/a" if value is None else percent(value)
