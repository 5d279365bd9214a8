"""An explanation as a table for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from maskwright.recipes.explaining import ExplainedObject, Explanation

__all__ = ["explanation_table"]


def explanation_table(explanation: Explanation) -> Table:
    """Return a row for each object; shares in %, deletion and insertion beside those of chance."""
    table = Table(title="What speaks for each object, and where it lies")
    table.add_column("object")
    for name in ("score", "in mask", "around", "elsewhere", "deletion (chance)"):
        table.add_column(name, justify="right")
    table.add_column("insertion (chance)", justify="right")
    table.add_column("method")
    table.add_column("nearest training objects (distance)")
    for one in explanation.objects:
        table.add_row(*_row(one))
    if not explanation.objects:
        table.add_row("none", *[""] * 8)
    return table


def _row(one: ExplainedObject) -> list[str]:
    shares, faithfulness = one.saliency.shares, one.saliency.faithfulness
    curves = ["", ""]
    if faithfulness is not None:
        curves = [
            f"{faithfulness.deletion:.2f} ({faithfulness.chance_deletion:.2f})",
            f"{faithfulness.insertion:.2f} ({faithfulness.chance_insertion:.2f})",
        ]
    return [
        f"{one.number} {one.class_name}",
        f"{one.score:.2f}",
        *(f"{100 * share:.0f} %" for share in (shares.inside, shares.around, shares.elsewhere)),
        *curves,
        one.saliency.attribution.method,
        ", ".join(f"{each.class_name} {each.distance:.3f}" for each in one.neighbours),
    ]
