"""Tables of robustness for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.padding import Padding
from rich.table import Table

from maskwright.evaluation.tables import percent

if TYPE_CHECKING:
    from maskwright.recipes.robustness_result import Robustness

__all__ = ["robustness_tables"]

_NAMES = {"segm": "mask AP", "boundary": "boundary AP", "bbox": "box AP"}


def robustness_tables(result: Robustness) -> Group:
    """Return the means of each kind, then AP and boundary AP by corruption and strength."""
    kinds = [kind for kind in (result.main_kind, "boundary") if kind in result.clean]
    note = (
        "mPC is the AP averaged over strengths, then over corruptions; rPC is mPC over the clean "
        "AP. In %; n/a: no true objects are left."
    )
    return Group(
        _means(result), *(_by_strength(result, kind) for kind in kinds), Padding(note, (0, 1))
    )


def _means(result: Robustness) -> Table:
    table = Table(title=f"Robustness over {result.num_images} pictures, in %")
    table.add_column("")
    for name in ("clean", "95 % interval", "mPC", "rPC"):
        table.add_column(name, justify="right")
    for kind in [kind for kind in _NAMES if kind in result.clean]:
        ends = result.clean_intervals.get(kind)
        table.add_row(
            _NAMES[kind],
            percent(result.clean[kind]["AP"]),
            "" if ends is None else f"{percent(ends[0])} to {percent(ends[1])}",
            percent(result.mpc(kind)),
            percent(result.rpc(kind)),
        )
    return table


def _by_strength(result: Robustness, kind: str) -> Table:
    rows = result.ap(kind)
    strengths = sorted({strength for row in rows.values() for strength in row})
    table = Table(title=f"{_NAMES[kind]} by strength", box=None, padding=(0, 2, 0, 0))
    table.add_column("")
    for strength in strengths:
        table.add_column(str(strength), justify="right")
    table.add_column("mean", justify="right")
    means = result.summary()[kind]["by_corruption"]
    for name, row in rows.items():
        cells = [percent(row[strength]) if strength in row else "" for strength in strengths]
        table.add_row(name, *cells, percent(means[name]))
    return table
