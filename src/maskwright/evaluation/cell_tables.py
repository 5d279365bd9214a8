"""Tables of cell metrics for people: percent with one decimal, "n/a" where undefined."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from maskwright.evaluation.tables import interval_text, percent

if TYPE_CHECKING:
    from maskwright.evaluation.cells import CellMetrics

__all__ = ["cell_tables"]

_MEANINGS = {
    "AP": "TP / (TP + FP + FN), IoU 0.50 to 0.95",
    "AP50": "IoU 0.50",
    "AP75": "IoU 0.75",
    "F1": "IoU 0.50",
    "AJI": "aggregated Jaccard index",
    "AJI+": "paired one to one",
    "count error": "objects, found minus true",
    "count distance": "objects, absolute",
}


def cell_tables(metrics: CellMetrics) -> Group:
    """Return a table of the numbers with intervals, one by IoU, one by class, and the notes."""
    notes = [Padding(Text(f"Note: {note}"), (0, 1)) for note in metrics.notes]
    return Group(_numbers_table(metrics), _iou_table(metrics), _class_table(metrics), *notes)


def _numbers_table(metrics: CellMetrics) -> Table:
    title = (
        f"Cell metrics over {metrics.num_images} pictures, in %, "
        f"scores from {metrics.score_threshold:g}"
    )
    table = Table(title=title)
    table.add_column("")
    table.add_column("value", justify="right")
    table.add_column("95 % interval", justify="right")
    table.add_column("", style="dim")
    for name, value in metrics.numbers.items():
        show = _number if name.startswith("count") else percent
        ends = metrics.intervals.get(name)
        interval = "" if ends is None else f"{show(ends[0])} to {show(ends[1])}"
        table.add_row(name, show(value), interval, _MEANINGS[name])
    return table


def _iou_table(metrics: CellMetrics) -> Table:
    table = Table(title="By IoU, in %", box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for heading in ("IoU", "TP", "FP", "FN", "AP", "mean AP", "F1", "precision", "recall"):
        table.add_column(heading, justify="right")
    for iou, one in metrics.counts.items():
        counts = (one.true_positives, one.false_positives, one.false_negatives)
        ratios = (one.ap, metrics.mean_ap[iou], one.f1, one.precision, one.recall)
        table.add_row(f"{iou:.2f}", *map(str, counts), *map(percent, ratios))
    return table


def _class_table(metrics: CellMetrics) -> Table:
    table = Table(
        title="Per class at IoU 0.50, in %", box=None, padding=(0, 2, 0, 0), pad_edge=False
    )
    table.add_column("class", overflow="fold", min_width=10)
    headings = ["TP", "FP", "FN", "AP", "95 % interval", "F1", "precision", "recall"]
    if not metrics.class_intervals:
        headings.remove("95 % interval")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for name, one in metrics.per_class.items():
        counts = (one.true_positives, one.false_positives, one.false_negatives)
        if any(counts):
            ratios = [percent(each) for each in (one.ap, one.f1, one.precision, one.recall)]
            if metrics.class_intervals:
                ratios.insert(1, interval_text(metrics.class_intervals.get(name)))
            table.add_row(Text(name), *map(str, counts), *ratios)
    return table


def _number(value: float) -> str:
    return f"{value:.2f}"
