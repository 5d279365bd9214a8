"""Tables of metrics for people: percent with one decimal, "n/a" where a number is undefined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from maskwright.evaluation.metrics import Metrics
    from maskwright.evaluation.resampling import Interval
    from maskwright.evaluation.semantic import SemanticMetrics

__all__ = ["interval_text", "metrics_tables", "percent", "semantic_tables", "threshold_range"]

_HEADINGS = {"bbox": "box", "segm": "mask", "boundary": "boundary"}

_MEANINGS = {
    "AP50": "IoU 0.50",
    "AP75": "IoU 0.75",
    "APs": "small, up to 32² px",
    "APm": "medium, 32² to 96² px",
    "APl": "large, from 96² px",
    "AR1": "1 detection per picture",
    "AR10": "10 detections",
    "ARs": "small",
    "ARm": "medium",
    "ARl": "large",
}


def metrics_tables(metrics: Metrics) -> Group:
    """Return a table of the COCO numbers, one by size, one of the classes, and the notes.

    A number stands above its 95 % interval, where there is one. Classes that are neither in the
    truth nor in the predictions are left out; the others come with the most true objects first.
    Beside an interval there is no room for AR, which `Metrics.report` holds.
    """
    kinds = list(metrics.numbers)
    parts = [
        _numbers_table(metrics, kinds),
        _size_table(metrics, kinds),
        _class_table(metrics, kinds),
    ]
    return Group(*parts, *_notes(metrics.notes))


def semantic_tables(metrics: SemanticMetrics) -> Group:
    """Return a table of mean IoU and pixel accuracy, one of the classes, and the notes.

    Classes that are neither in the truth nor found are left out; the others come with the most
    true pixels first.
    """
    title = f"Class maps of {metrics.num_images} pictures, in %"
    numbers = Table(title=title, show_header=False)
    numbers.add_row("mIoU", percent(metrics.miou), "mean over classes, with the background")
    numbers.add_row("pixel accuracy", percent(metrics.pixel_accuracy), "")
    classes = Table(title="Per class, in %", box=None, padding=(0, 1, 0, 0), pad_edge=False)
    classes.add_column("class", overflow="fold", min_width=10)
    for heading in ("IoU", "true pixels", "found pixels"):
        classes.add_column(heading, justify="right", no_wrap=True)
    total = max(int(metrics.confusion.sum()), 1)
    true, found = metrics.confusion.sum(axis=1), metrics.confusion.sum(axis=0)
    for channel in sorted(range(len(true)), key=lambda channel: -true[channel]):
        if metrics.iou[channel] >= 0:
            shares = [percent(pixels[channel] / total) for pixels in (true, found)]
            name = Text(metrics.names[channel])
            classes.add_row(name, percent(metrics.iou[channel]), *shares)
    return Group(numbers, classes, *_notes(metrics.notes))


def _notes(notes: Sequence[str]) -> list[Padding]:
    return [Padding(Text(f"Note: {note}"), (0, 1)) for note in notes]


def _numbers_table(metrics: Metrics, kinds: Sequence[str]) -> Table:
    table = Table(title=f"COCO numbers over {metrics.num_images} pictures, in %")
    table.add_column("")
    for kind in kinds:
        table.add_column(_HEADINGS[kind], justify="right")
    table.add_column("", style="dim")
    meanings = _MEANINGS | {
        "AP": threshold_range(metrics.iou_thresholds),
        "AR100": f"{metrics.max_detections} detections",
    }
    for name in next(iter(metrics.numbers.values())):
        cells = [
            _with_interval(metrics.numbers[kind][name], metrics.intervals.get(kind, {}).get(name))
            for kind in kinds
        ]
        table.add_row(name, *cells, meanings[name], end_section=name in ("APl", "AR100"))
    return table


def threshold_range(thresholds: Sequence[float]) -> str:
    """Say which IoU thresholds a number is averaged over.

    >>> threshold_range((0.5, 0.75)), threshold_range((0.5, 0.6, 0.7))
    ('IoU 0.50 and 0.75', 'IoU 0.50 to 0.70')
    """
    if len(thresholds) < 3:
        return "IoU " + " and ".join(f"{iou:.2f}" for iou in thresholds)
    return f"IoU {thresholds[0]:.2f} to {thresholds[-1]:.2f}"


def _with_interval(value: float, interval: Interval | None) -> str:
    if interval is None:
        return percent(value)
    return f"{percent(value)}\n[dim]{interval_text(interval)}[/dim]"


def _size_table(metrics: Metrics, kinds: Sequence[str]) -> Table:
    table = Table(title="By size, in %", box=None, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("\nobjects", min_width=10)
    table.add_column("\ntrue", justify="right", no_wrap=True)
    for kind in kinds:
        for name in ("AP", "AP50", "AR"):
            above = _HEADINGS[kind] if name == "AP" else ""
            table.add_column(f"{above}\n{name}", justify="right", no_wrap=True)
    for name, first in metrics.per_size.get(kinds[0], {}).items():
        cells = []
        for kind in kinds:
            one = metrics.per_size[kind][name]
            cells += [percent(one.ap), percent(one.ap50), percent(one.ar)]
        table.add_row(name, str(first.num_objects), *cells)
    return table


def _class_table(metrics: Metrics, kinds: Sequence[str]) -> Table:
    # Without lines and with narrow gaps, so that three kinds fit a terminal of 80 columns.
    table = Table(title="Per class, in %", box=None, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("\nclass", overflow="fold", min_width=10)
    table.add_column("\ntrue", justify="right", no_wrap=True)
    table.add_column("\nfound", justify="right", no_wrap=True)
    decisive = "segm" if "segm" in kinds else kinds[0]
    has_intervals = any(one.interval for one in metrics.per_class[decisive].values())
    for kind in kinds:
        for name in ("AP", "AP50") if has_intervals else ("AP", "AP50", "AR"):
            above = _HEADINGS[kind] if name == "AP" else ""
            table.add_column(f"{above}\n{name}", justify="right", no_wrap=True)
            if has_intervals and kind == decisive and name == "AP":
                table.add_column("\n95 % interval", justify="right", no_wrap=True)
    for name, first in metrics.per_class[kinds[0]].items():
        if not first.num_objects and not first.num_detections:
            continue
        cells = []
        for kind in kinds:
            one = metrics.per_class[kind][name]
            ends = [interval_text(one.interval)] if has_intervals and kind == decisive else []
            cells += [percent(one.ap), *ends, percent(one.ap50)]
            cells += [] if has_intervals else [percent(one.ar)]
        # Text, since a class may be called "[bold]".
        table.add_row(Text(name), str(first.num_objects), str(first.num_detections), *cells)
    return table


def interval_text(interval: Interval | None) -> str:
    """Return both ends in percent, "" without an interval."""
    return "" if interval is None else f"{percent(interval[0])} to {percent(interval[1])}"


def percent(value: float) -> str:
    """Return a share in percent, "n/a" below 0: undefined."""
    return "n/a" if value < 0 else f"{100 * value:.1f}"
