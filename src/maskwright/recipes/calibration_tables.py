"""A calibration as rich tables: percent with one decimal, "n/a" where undefined."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from maskwright.evaluation.analysis.calibration import Reliability
from maskwright.evaluation.analysis.curves import ALL_CLASSES

if TYPE_CHECKING:
    from maskwright.recipes.calibrating import Calibrated

__all__ = ["calibration_tables"]

_MOST_CLASSES = 20


def calibration_tables(calibrated: Calibrated) -> Group:
    """Return a table of reliability before and after, one of the classes, and the notes."""
    notes = [Padding(Text(f"Note: {note}"), (0, 1)) for note in calibrated.notes]
    held_out = calibrated.held_out
    if held_out is not None:
        numbers = (held_out.precision, held_out.recall, held_out.f1)
        precision, recall, f1 = map(_percent, numbers)
        sentence = (
            f"Threshold auto ({held_out.threshold}) on held-out pictures: precision {precision} %, "
            f"recall {recall} %, F1 {f1} %."
        )
        notes.insert(0, Padding(Text(sentence), (0, 1)))
    return Group(_reliability_table(calibrated), _class_table(calibrated), *notes)


def _reliability_table(calibrated: Calibrated) -> Table:
    before, after = calibrated.before, calibrated.after
    table = Table(title=f"Scores as probabilities, right from IoU {before.iou_threshold:g}, in %")
    table.add_column("class", overflow="fold")
    for heading in ("found", "right", "ECE before", "ECE held out", "bias before", "bias held out"):
        table.add_column(heading, justify="right")
    rows = {ALL_CLASSES: before.total} | dict(before.per_class)
    later: dict[str, Reliability] = {}
    if after is not None:
        later = {ALL_CLASSES: after.total} | dict(after.per_class)
    for name, one in list(rows.items())[: _MOST_CLASSES + 1]:
        if len(before.per_class) == 1 and name == ALL_CLASSES:
            continue
        then = later.get(name)
        cells = [_percent(one.ece), "n/a" if then is None else _percent(then.ece)]
        cells += [_signed(one.bias), "n/a" if then is None else _signed(then.bias)]
        table.add_row(Text(name), str(one.num_found), str(one.num_right), *cells)
    return table


def _class_table(calibrated: Calibrated) -> Table:
    calibration = calibrated.calibration
    table = Table(
        title=f"Stored in {calibrated.path.name}", box=None, padding=(0, 2, 0, 0), pad_edge=False
    )
    table.add_column("class", overflow="fold", min_width=10)
    shown = list(dict.fromkeys(("f1", calibration.default_threshold)))
    for heading in ("temperature", "shift", *(f"threshold ({name})" for name in shown)):
        table.add_column(heading, justify="right")
    for label, name in enumerate(calibration.class_names[:_MOST_CLASSES]):
        scores = (f"{calibration.thresholds[one][label]:.3f}" for one in shown)
        parameters = (calibration.temperatures[label], calibration.shifts[label])
        table.add_row(Text(name), *(f"{value:.2f}" for value in parameters), *scores)
    return table


def _percent(value: float) -> str:
    return "n/a" if value < 0 else f"{100 * value:.1f}"


def _signed(value: float) -> str:
    return f"{100 * value:+.1f}"
