"""The error analysis as figures. Each function returns a matplotlib figure and writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from maskwright.evaluation.analysis.breakdown import Breakdown, BreakdownBin
from maskwright.evaluation.analysis.calibration import CalibrationReport, Reliability
from maskwright.evaluation.analysis.confusion import ConfusionMatrix
from maskwright.evaluation.analysis.curves import ALL_CLASSES, Curve, Curves
from maskwright.evaluation.analysis.tide import ERROR_KINDS, TideErrors

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "plot_breakdown",
    "plot_confusion",
    "plot_f1",
    "plot_precision_recall",
    "plot_reliability",
    "plot_tide",
]

_MOST_CURVES = 9
"""Curves of classes in one figure: those of the most true objects."""

_MOST_NUMBERS = 15
"""Rows of a matrix up to which its cells carry numbers."""

_LONGEST_NAME = 24
"""Letters of a class name in a plot."""

_GREY = "0.55"


def plot_tide(errors: TideErrors) -> Figure:
    """Plot what each kind of mistake costs, in points of AP, with the number of mistakes."""
    figure, (main, special) = _figure((8, 3.6), 1, 2, width_ratios=[3, 1])
    total = errors.total
    costs = [100 * total.costs[kind] for kind in ERROR_KINDS]
    bars = main.bar(ERROR_KINDS, costs, color=_palette(len(ERROR_KINDS)))
    labels = [
        f"{cost:.1f}\n{total.counts[kind]} x" for kind, cost in zip(ERROR_KINDS, costs, strict=True)
    ]
    main.bar_label(bars, labels=labels, padding=2, fontsize=9)
    ap = "n/a" if total.ap < 0 else f"{100 * total.ap:.1f}"
    main.set(ylabel="AP won if mended", title=f"AP {ap} at IoU {errors.iou_threshold:g}")
    both = [100 * total.costs[name] for name in ("FP", "FN")]
    special.bar_label(
        special.bar(["false\npositives", "false\nnegatives"], both, color=_GREY),
        fmt="%.1f",
        padding=2,
        fontsize=9,
    )
    special.set(title="all of a side")
    for axes in (main, special):
        axes.grid(visible=False, axis="x")
        axes.set_ylim(0, max(*costs, *both, 1.0) * 1.25)
    return figure


def plot_confusion(
    confusion: ConfusionMatrix, *, shares: Literal["true", "found", "none"] = "true"
) -> Figure:
    """Plot the matrix, true classes down and found classes across.

    Args:
        confusion: What to plot.
        shares: Colour cells by their part of the true or of the found objects, or by counts. The
            numbers in the cells are counts.
    """
    counts = confusion.counts
    n = len(counts)
    figure, axes = _figure((min(2.6 + 0.55 * n, 14), min(2.2 + 0.5 * n, 13)))
    values = counts.astype(float) if shares == "none" else confusion.shares(shares)
    top = max(float(values.max()), 1e-9) if shares == "none" else 1.0
    image = axes.imshow(values, cmap="Blues", vmin=0, vmax=top)
    label = "objects" if shares == "none" else f"part of the {shares} objects"
    figure.colorbar(image, ax=axes, shrink=0.8, label=label)
    names = [*map(_short, confusion.class_names), "(nothing)"]
    axes.set_xticks(range(n), names, rotation=45, ha="right")
    axes.set_yticks(range(n), names)
    axes.set(
        xlabel="found",
        ylabel="true",
        title=f"IoU {confusion.iou_threshold:g}, scores from {confusion.score_threshold:.2f}",
    )
    axes.grid(visible=False)
    if n <= _MOST_NUMBERS:
        for i, j in np.argwhere(counts > 0).tolist():
            ink = "white" if values[i, j] > 0.55 * top else "black"
            axes.text(j, i, str(counts[i, j]), ha="center", va="center", color=ink, fontsize=9)
    return figure


def plot_precision_recall(curves: Curves) -> Figure:
    """Plot precision against recall, of all classes together and of the largest classes."""
    figure, axes = _figure((7.5, 5))
    for name, curve, style in _shown(curves):
        # From the axis on: above the first score nothing is kept, so precision is that of it.
        recall = np.concatenate([np.zeros(min(len(curve.recall), 1)), curve.recall])
        precision = np.concatenate([curve.precision[:1], curve.precision])
        axes.plot(recall, precision, label=name, **style)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    axes.set_title(f"IoU {curves.iou_threshold:g}")
    _legend(axes)
    return figure


def plot_f1(curves: Curves) -> Figure:
    """Plot F1 against the score threshold, with the highest point of each curve."""
    figure, axes = _figure((7.5, 5))
    for name, curve, style in _shown(curves):
        best = curve.best_f1()
        label = name if best is None else f"{name}: {best.f1:.2f} at {best.threshold:.2f}"
        line = axes.plot(curve.scores, curve.f1, label=label, **style)[0]
        if best is not None:
            axes.plot(best.threshold, best.f1, "o", markersize=5, color=line.get_color())
    highest = max([1.0, *curves.total.scores[:1].tolist()])  # other tools' scores may go beyond 1
    axes.set(xlabel="score threshold", ylabel="F1", xlim=(0, highest), ylim=(0, 1.02))
    axes.set_title(f"IoU {curves.iou_threshold:g}")
    _legend(axes)
    return figure


def plot_breakdown(breakdown: Breakdown) -> Figure:
    """Plot recall, precision and IoU by size, neighbours and overlap."""
    figure, panels = _figure((12, 4), 1, 3, sharey=True)
    divisions = (
        ("side of the object", breakdown.by_size),
        ("neighbours", breakdown.by_neighbours),
        ("overlap with another object", breakdown.by_overlap),
    )
    for axes, (heading, bins) in zip(panels, divisions, strict=True):
        _plot_bins(axes, bins)
        axes.set(xlabel=heading, ylim=(0, 1.05))
    panels[0].set(ylabel="part of the objects, or IoU")
    _legend(panels[-1])
    return figure


def plot_reliability(reports: Mapping[str, CalibrationReport]) -> Figure:
    """Plot the part that is right against the score, and how many objects have such scores.

    One panel for all classes together and one for each of the largest classes.

    Args:
        reports: Name -> what to draw, such as "before" and "held out".
    """
    first = next(iter(reports.values()))
    largest = sorted(first.per_class, key=lambda name: -first.per_class[name].num_found)
    names = largest[:1] if len(largest) == 1 else [ALL_CLASSES, *largest[: _MOST_CURVES - 1]]
    columns = min(len(names), 3) or 1
    rows = -(-len(names) // columns) or 1
    figure, panels = _figure((3.6 * columns + 1.2, 3.6 * rows), rows, columns, squeeze=False)
    for axes, name in zip(panels.flat, names, strict=False):
        axes.plot([0, 1], [0, 1], color=_GREY, linewidth=1, linestyle="--")
        for (title, report), colour in zip(reports.items(), _palette(len(reports)), strict=True):
            one = report.total if name == ALL_CLASSES else report.per_class.get(name)
            if one is not None and one.bins:
                _plot_reliability(axes, one, f"{title}: {100 * one.ece:.1f} %", colour)
        axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", title=_short(name))
        if axes.get_legend_handles_labels()[1]:
            axes.legend(title="calibration error", fontsize=8, title_fontsize=8, loc="upper left")
    for axes in panels.flat[len(names) :]:
        axes.set_axis_off()
    figure.supxlabel("score")
    figure.supylabel(f"part that is right (IoU {first.iou_threshold:g})")
    return figure


def _plot_reliability(axes: Axes, one: Reliability, label: str, colour: object) -> None:
    """A point per bin, its size by the objects in it."""
    most = max(each.num_found for each in one.bins)
    scores = [each.mean_score for each in one.bins]
    right = [each.precision for each in one.bins]
    sizes = [10 + 40 * each.num_found / most for each in one.bins]
    axes.plot(scores, right, color=colour, linewidth=1.2, label=label)
    axes.scatter(scores, right, s=sizes, color=colour, zorder=3)


def _plot_bins(axes: Axes, bins: Sequence[BreakdownBin]) -> None:
    place = np.arange(len(bins))
    for shift, name in enumerate(("recall", "precision", "mean_iou")):
        values = [max(getattr(one, name), 0.0) for one in bins]
        axes.bar(place + (shift - 1) * 0.27, values, 0.25, label=name.replace("mean_iou", "IoU"))
    names = [f"{one.name}\n{one.num_true} true" for one in bins]
    axes.set_xticks(place, names, rotation=30, ha="right", fontsize=8)
    axes.grid(visible=False, axis="x")


def _shown(curves: Curves) -> list[tuple[str, Curve, Mapping[str, Any]]]:
    """Name, curve and style: all classes together first, then the largest."""
    largest = sorted(curves.per_class.items(), key=lambda item: -item[1].num_true)[:_MOST_CURVES]
    thick = {"color": "black", "linewidth": 2.5}
    if len(curves.per_class) == 1:
        return [(_short(name), curve, thick) for name, curve in largest]
    colours = _palette(len(largest))
    return [
        (ALL_CLASSES, curves.total, thick),
        *(
            (_short(name), curve, {"color": colour, "linewidth": 1.3})
            for (name, curve), colour in zip(largest, colours, strict=True)
        ),
    ]


def _short(name: str) -> str:
    """A class name that leaves room for the plot, and that matplotlib takes as mere text.

    Dollars would begin a formula, and lines whose name begins with "_" have no legend.
    """
    cut = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 3]}..."
    escaped = cut.replace("$", r"\$")
    return f" {escaped}" if escaped.startswith("_") else escaped


def _palette(count: int) -> list[tuple[float, float, float]]:
    """Colours that the colour-blind tell apart."""
    import seaborn as sns

    return list(sns.color_palette("colorblind", count))


def _figure(
    size: tuple[float, float], rows: int = 1, columns: int = 1, **options: Any
) -> tuple[Figure, Any]:
    import seaborn as sns
    from matplotlib.figure import Figure

    with sns.axes_style("whitegrid"):
        figure = Figure(figsize=size, dpi=120, layout="constrained")
        return figure, figure.subplots(rows, columns, **options)


def _legend(axes: Axes) -> None:
    if not axes.get_legend_handles_labels()[1]:
        return
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
