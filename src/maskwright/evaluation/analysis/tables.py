"""The error analysis as rich tables: percent with one decimal, "n/a" where undefined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from maskwright.evaluation.analysis.breakdown import BreakdownBin
from maskwright.evaluation.analysis.calibration import CalibrationReport
from maskwright.evaluation.analysis.confusion import ConfusionMatrix
from maskwright.evaluation.analysis.curves import ALL_CLASSES, Curves
from maskwright.evaluation.analysis.listed import ListedObject
from maskwright.evaluation.analysis.mistakes import PictureScore
from maskwright.evaluation.analysis.tide import ERROR_KINDS, TideErrors

if TYPE_CHECKING:
    from maskwright.evaluation.analysis.report import ErrorAnalysis

__all__ = ["MISTAKE_MEANINGS", "analysis_tables"]

MISTAKE_MEANINGS = {
    "Cls": "well placed, wrong class",
    "Loc": "right class, badly placed",
    "Both": "wrong class, badly placed",
    "Dupe": "found a second time",
    "Bkg": "nothing is there",
    "Miss": "not found",
    "FP": "all that is wrong, ranked last",
    "FN": "all that nobody matched, taken out",
}
_MOST_CLASSES = 10
_HEAD = 5


def analysis_tables(analysis: ErrorAnalysis) -> Group:
    """Return the tables of the whole analysis, lists by their heads, and the notes."""
    breakdown = analysis.breakdown
    notes = [Padding(Text(f"Note: {note}"), (0, 1)) for note in analysis.notes]
    return Group(
        _tide_table(analysis.tide),
        *([_class_costs_table(analysis.tide)] if len(analysis.tide.per_class) > 1 else []),
        _confusion_table(analysis.confusion),
        _curve_table(analysis.curves),
        *([] if analysis.calibration is None else [_calibration_table(analysis.calibration)]),
        _breakdown_table("By size (side in pixels)", breakdown.by_size),
        _breakdown_table("By neighbours", breakdown.by_neighbours),
        _breakdown_table("By overlap with another object", breakdown.by_overlap),
        _pictures_table(analysis.pictures),
        _list_table("Most confident mistakes", analysis.confident_mistakes),
        _list_table("Missed objects, the largest", analysis.missed),
        _list_table("Look again at these annotations", analysis.suspects),
        *notes,
    )


def _tide_table(errors: TideErrors) -> Table:
    total = errors.total
    title = f"What mistakes cost: AP {_percent(total.ap)} at IoU {errors.iou_threshold:g}"
    table = Table(title=title)
    table.add_column("")
    table.add_column("AP won if mended", justify="right")
    table.add_column("mistakes", justify="right")
    table.add_column("", style="dim")
    for name, cost in total.costs.items():
        if name == "FP":
            table.add_section()
        count = total.counts.get(name)
        table.add_row(
            name, f"{100 * cost:.1f}", "" if count is None else str(count), MISTAKE_MEANINGS[name]
        )
    return table


def _class_costs_table(errors: TideErrors) -> Table:
    """The classes that lose most, with what each kind of mistake costs them."""
    table = _plain_table("AP won by class")
    table.add_column("class", overflow="fold", min_width=10)
    for heading in ("AP", *ERROR_KINDS):
        table.add_column(heading, justify="right")
    worst = sorted(errors.per_class.items(), key=lambda item: item[1].ap)[:_MOST_CLASSES]
    for name, one in worst:
        costs = (f"{100 * one.costs[kind]:.1f}" for kind in ERROR_KINDS)
        table.add_row(Text(name), _percent(one.ap), *costs)
    return table


def _confusion_table(confusion: ConfusionMatrix) -> Table:
    """Return the matrix where it is small, else its largest confusions."""
    title = f"True (down) and found (across), scores from {confusion.score_threshold:.2f}"
    if len(confusion.class_names) > _MOST_CLASSES:
        table = _plain_table("Classes taken for one another most often")
        for heading in ("true", "found"):
            table.add_column(heading, overflow="fold")
        table.add_column("times", justify="right")
        for true, found, count in confusion.most_confused():
            table.add_row(Text(true), Text(found), str(count))
        return table
    table = _plain_table(title)
    table.add_column("true", overflow="fold")
    frame = confusion.to_dataframe()
    for name in (*confusion.class_names, "nothing"):
        table.add_column(Text(name), justify="right")
    for name, row in zip((*confusion.class_names, "nothing"), frame.to_numpy(), strict=True):
        table.add_row(Text(name), *map(str, row.tolist()))
    return table


def _curve_table(curves: Curves) -> Table:
    table = _plain_table(f"Threshold of the highest F1 at IoU {curves.iou_threshold:g}, in %")
    table.add_column("class", overflow="fold", min_width=10)
    for heading in ("true", "threshold", "F1", "precision", "recall"):
        table.add_column(heading, justify="right")
    largest = sorted(curves.per_class.items(), key=lambda item: -item[1].num_true)
    for name, curve in [(ALL_CLASSES, curves.total), *largest]:
        best = curve.best_f1()
        if best is None:
            table.add_row(Text(name), str(curve.num_true), *["n/a"] * 4)
            continue
        ratios = map(_percent, (best.f1, best.precision, best.recall))
        table.add_row(Text(name), str(curve.num_true), f"{best.threshold:.3f}", *ratios)
    return table


def _calibration_table(report: CalibrationReport) -> Table:
    table = _plain_table("Scores as probabilities, in %")
    table.add_column("class", overflow="fold", min_width=10)
    for heading in ("found", "right", "mean error (ECE)", "too sure by"):
        table.add_column(heading, justify="right")
    largest = sorted(report.per_class.items(), key=lambda item: -item[1].num_found)
    for name, one in [(ALL_CLASSES, report.total), *largest[:_MOST_CLASSES]]:
        bias = "n/a" if not one.num_found else f"{100 * one.bias:+.1f}"
        counts = (str(one.num_found), str(one.num_right))
        table.add_row(Text(name), *counts, _percent(one.ece), bias)
    return table


def _breakdown_table(title: str, bins: Sequence[BreakdownBin]) -> Table:
    table = _plain_table(f"{title}, in %")
    table.add_column("", min_width=16)
    for heading in ("true", "found", "recall", "precision", "mean IoU"):
        table.add_column(heading, justify="right")
    for one in bins:
        ratios = map(_percent, (one.recall, one.precision, one.mean_iou))
        table.add_row(one.name, str(one.num_true), str(one.num_found), *ratios)
    return table


def _pictures_table(pictures: Sequence[PictureScore]) -> Table:
    table = _plain_table("Worst pictures")
    table.add_column("picture", overflow="fold")
    for heading in ("F1 %", "true", "right", "wrong", "missed"):
        table.add_column(heading, justify="right")
    for one in pictures[:_HEAD]:
        counts = (one.num_true, one.num_right, one.num_wrong, one.num_missed)
        name = Text(one.file_name or str(one.image_id))
        table.add_row(name, _percent(one.f1), *map(str, counts))
    return table


def _list_table(title: str, entries: Sequence[ListedObject]) -> Table:
    table = _plain_table(f"{title} ({len(entries)} listed)")
    for heading in ("picture", "class", "why", ""):
        table.add_column(heading, overflow="fold")
    for one in entries[:_HEAD]:
        name = Text(one.file_name or str(one.image_id))
        table.add_row(name, Text(one.class_name), one.reason, Text(one.explanation))
    return table


def _plain_table(title: str) -> Table:
    return Table(title=title, box=None, padding=(0, 2, 0, 0), pad_edge=False)


def _percent(value: float) -> str:
    return "n/a" if value < 0 else f"{100 * value:.1f}"
