"""Tables of a paired comparison for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from maskwright.evaluation.paired import PairedComparison

__all__ = ["paired_tables"]

_IN_OBJECTS = ("bias", "MAE", "RMSE", "count error", "count distance")


def paired_tables(comparison: PairedComparison) -> Group:
    """Return the verdict, a table of numbers, one of deciding pictures, and the notes."""
    notes = [
        *comparison.notes,
        "p is of a sign-flip test over pictures, two-sided, and the interval of a paired "
        f"bootstrap, {comparison.num_replicates} replicates each. One number was to decide "
        f"({comparison.primary}); of the others, some fall below 0.05 by chance.",
    ]
    return Group(
        Padding(Text(comparison.verdict, style="bold"), (0, 1)),
        _numbers_table(comparison),
        *([_pictures_table(comparison)] if comparison.deciding else []),
        *(Padding(Text(f"Note: {note}"), (0, 1)) for note in notes),
    )


def _numbers_table(comparison: PairedComparison) -> Table:
    a, b = comparison.names
    names = [name.removeprefix("counting ").removeprefix("cells ") for name in comparison.numbers]
    unit = "in %, counts in objects" if {*names} & {*_IN_OBJECTS} else "in %"
    title = Text(f"{b} against {a} on {comparison.num_images} pictures, {unit}", "italic")
    table = Table(title=title)
    table.add_column("")
    for name in (a, b):
        table.add_column(Text(name), justify="right", overflow="fold")
    for heading in ("difference", "95 % interval", "p"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, one in comparison.numbers.items():
        factor = 1 if name.removeprefix("counting ").removeprefix("cells ") in _IN_OBJECTS else 100
        ends = ""
        if one.interval is not None:
            low, high = one.interval
            ends = f"{factor * low:+.1f} to {factor * high:+.1f}"
        table.add_row(
            name,
            _number(one.a, factor),
            _number(one.b, factor),
            _number(one.difference, factor, sign="+"),
            ends,
            "" if one.p_value is None else f"{one.p_value:.3f}",
            end_section=name == comparison.primary,
            style="bold" if name == comparison.primary else "",
        )
    return table


def _pictures_table(comparison: PairedComparison) -> Table:
    a, b = comparison.names
    # Without lines, so that two names and the counts fit a terminal of 80 columns.
    table = Table(
        title=f"Pictures that decide {comparison.primary}: what each adds to the difference",
        box=None,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("picture", overflow="fold", min_width=10)
    for heading in ("adds", "true", "A right", "A wrong", "B right", "B wrong"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in comparison.deciding:
        counts = (one.num_true, one.a_right, one.a_wrong, one.b_right, one.b_wrong)
        factor = 1 if comparison.primary in _IN_OBJECTS else 100
        table.add_row(Text(one.file_name), f"{factor * one.influence:+.2f}", *map(str, counts))
    table.caption = Text(f"A is {a}, B is {b}; right and wrong at IoU 0.50", "dim italic")
    return table


def _number(value: float | None, factor: int, sign: str = "") -> str:
    return "n/a" if value is None else f"{factor * value:{sign}.1f}"
