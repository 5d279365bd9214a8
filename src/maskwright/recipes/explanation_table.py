"""An explanation as a table for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAVY
from rich.table import Table

if TYPE_CHECKING:
    from maskwright.recipes.explaining import ExplainedObject, Explanation

__all__ = ["explanation_table"]

_NEAREST = 3
"""Neighbours in the table, which fits 80 columns; the sheet and the JSON have all."""


def explanation_table(explanation: Explanation) -> Table:
    """Return a row for each object; shares in %, deletion and insertion with those of chance."""
    methods = {one.saliency.attribution.method for one in explanation.objects}
    by = f", by {', '.join(sorted(methods))}" if methods else ""
    table = Table(title=f"What speaks for each object{by}", box=SIMPLE_HEAVY, padding=(0, 1, 0, 0))
    table.add_column("object", no_wrap=True)
    for name in ("score", "in mask", "around", "elsewhere", "deletion", "insertion"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("nearest in training")
    for one in explanation.objects:
        table.add_row(*_row(one))
    if not explanation.objects:
        table.add_row("none", *[""] * 7)
    if any(one.saliency.faithfulness for one in explanation.objects):
        table.caption = "deletion (lower is better) and insertion (higher): map/order by chance"
    return table


def _row(one: ExplainedObject) -> list[str]:
    shares, faithfulness = one.saliency.shares, one.saliency.faithfulness
    curves = ["", ""]
    if faithfulness is not None:
        curves = [
            f"{faithfulness.deletion:.2f}/{faithfulness.chance_deletion:.2f}",
            f"{faithfulness.insertion:.2f}/{faithfulness.chance_insertion:.2f}",
        ]
    return [
        f"{one.number} {one.class_name}",
        f"{one.score:.2f}",
        *(f"{100 * share:.0f} %" for share in (shares.inside, shares.around, shares.elsewhere)),
        *curves,
        "\n".join(f"{each.distance:.3f} {each.class_name}" for each in one.neighbours[:_NEAREST]),
    ]
