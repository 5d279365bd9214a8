"""The error analysis in a report: mistakes, confusions, curves, calibration, sizes, crowding."""

from __future__ import annotations

from collections.abc import Sequence

from maskwright.evaluation.analysis import (
    ERROR_KINDS,
    BreakdownBin,
    CalibrationReport,
    ConfusionMatrix,
    Curves,
    ErrorAnalysis,
    Reliability,
    TideErrors,
)
from maskwright.evaluation.analysis.curves import ALL_CLASSES
from maskwright.evaluation.analysis.plots import (
    plot_breakdown,
    plot_confusion,
    plot_f1,
    plot_precision_recall,
    plot_reliability,
    plot_tide,
)
from maskwright.evaluation.analysis.tables import MISTAKE_MEANINGS
from maskwright.recipes.report.document import Block, Plot, Section, Table, headed_table
from maskwright.recipes.report.wording import percent, points

__all__ = ["error_sections"]

_LARGEST_MATRIX = 12
"""Classes up to which the confusion matrix is a table; above, its largest entries are."""

_LARGEST_HEATMAP = 40
"""Classes up to which the matrix is drawn: beyond, its names cannot be read."""


def error_sections(analysis: ErrorAnalysis) -> list[Section]:
    """Return the sections in the order of the page."""
    sections = [
        _mistakes(analysis.tide),
        _confusions(analysis.confusion),
        _curves(analysis.curves),
        _sizes_and_crowding(analysis),
    ]
    if analysis.calibration is not None:
        sections.insert(3, _calibration(analysis.calibration))
    return sections


def _mistakes(tide: TideErrors) -> Section:
    total = tide.total
    rows = [
        (
            name,
            MISTAKE_MEANINGS[name],
            f"{100 * cost:.1f}",
            f"{total.counts[name]:,}" if name in total.counts else "",
        )
        for name, cost in total.costs.items()
    ]
    said = ", ".join(f"{kind} {100 * total.costs[kind]:.1f}" for kind in ERROR_KINDS)
    ap = percent(total.ap)
    blocks: list[Block] = [
        Plot(
            name="tide",
            figure=plot_tide(tide),
            alt=f"Bars: points of AP won by mending one kind of mistake. {said}.",
            caption="What each kind of mistake costs, and how many there are.",
        ),
        headed_table(
            "What mistakes cost, in points of AP", ("", "", "AP won", "mistakes"), rows, num_text=2
        ),
    ]
    if len(tide.per_class) > 1:
        worst = sorted(tide.per_class.items(), key=lambda item: item[1].ap)
        costs = [
            (name, percent(one.ap), *(f"{100 * one.costs[kind]:.1f}" for kind in ERROR_KINDS))
            for name, one in worst
        ]
        columns = ("class", "AP", *ERROR_KINDS)
        blocks.append(headed_table("By class, the lowest AP first", columns, costs, folded=True))
    return Section(
        slug="mistakes",
        title="Mistakes and what they cost",
        intro=(
            f"TIDE's AP at IoU {tide.iou_threshold:g} is {ap} %. The cost of a kind is the AP "
            "won when it alone is mended; costs do not add up to what is missing from 100."
        ),
        blocks=tuple(blocks),
    )


def _confusions(confusion: ConfusionMatrix) -> Section:
    k = len(confusion.class_names)
    right, missed = int(confusion.counts[:k, :k].trace()), int(confusion.counts[:k, k].sum())
    crossed = int(confusion.counts[:k, :k].sum()) - right
    made_up = int(confusion.counts[k, :k].sum())
    said = (
        f"{right:,} objects found as what they are, {crossed:,} as another class, {missed:,} not "
        f"found, {made_up:,} found where nothing is annotated."
    )
    blocks: list[Block] = []
    if k <= _LARGEST_HEATMAP:
        blocks.append(
            Plot(
                name="confusion",
                figure=plot_confusion(confusion),
                alt=f"Matrix of true against found classes: {said}",
                caption="Numbers are objects; colour is their part of the true objects.",
            )
        )
    blocks.append(_matrix(confusion) if k <= _LARGEST_MATRIX else _most_confused(confusion))
    return Section(
        slug="confusion",
        title="Classes taken for one another",
        intro=(
            "Objects are paired by the overlap of their masks, whatever their classes (IoU "
            f"{confusion.iou_threshold:g}, scores from {confusion.score_threshold:.2f}): {said}"
        ),
        blocks=tuple(blocks),
    )


def _matrix(confusion: ConfusionMatrix) -> Table:
    names = (*confusion.class_names, "(nothing)")
    rows = [
        (name, *(f"{count:,}" for count in row))
        for name, row in zip(names, confusion.counts.tolist(), strict=True)
    ]
    return headed_table("True (down) and found (across)", ("true", *names), rows)


def _most_confused(confusion: ConfusionMatrix) -> Table:
    rows = [(true, found, f"{count:,}") for true, found, count in confusion.most_confused(20)]
    caption = "Classes taken for one another most often"
    return headed_table(caption, ("true", "found", "times"), rows, num_text=2)


def _curves(curves: Curves) -> Section:
    best = curves.total.best_f1()
    peak = (
        "No found object is right."
        if best is None
        else f"The highest F1 of all classes together is {percent(best.f1)} % at score "
        f"{best.threshold:.2f}, with precision {percent(best.precision)} and recall "
        f"{percent(best.recall)}."
    )
    rows = []
    largest = sorted(curves.per_class.items(), key=lambda item: -item[1].num_true)
    for name, curve in [(ALL_CLASSES, curves.total), *largest]:
        point = curve.best_f1()
        cells: tuple[str, ...] = ("n/a",) * 4
        if point is not None:
            ratios = (percent(value) for value in (point.f1, point.precision, point.recall))
            cells = (f"{point.threshold:.3f}", *ratios)
        rows.append((name, f"{curve.num_true:,}", *cells))
    columns = ("class", "true", "threshold", "F1", "precision", "recall")
    return Section(
        slug="curves",
        title="Precision, recall and F1",
        intro=f"At IoU {curves.iou_threshold:g}. {peak}",
        blocks=(
            Plot(
                name="precision_recall",
                figure=plot_precision_recall(curves),
                alt=f"Curves of precision against recall, of all and of single classes. {peak}",
                caption="Precision against recall.",
            ),
            Plot(
                name="f1",
                figure=plot_f1(curves),
                alt=f"Curves of F1 against the score threshold. {peak}",
                caption="F1 against the score threshold; dots mark the highest.",
            ),
            headed_table("Threshold of the highest F1, in %", columns, rows),
        ),
    )


def _calibration(report: CalibrationReport) -> Section:
    total = report.total
    if not total.num_found:
        return Section(
            slug="calibration", title="Calibration", intro="Nothing was found.", blocks=()
        )
    said = (
        f"Scores are off by {percent(total.ece)} % in the mean (expected calibration error); they "
        f"are too {'high' if total.bias > 0 else 'low'} by {abs(100 * total.bias):.1f} points "
        "over all."
    )
    largest = sorted(report.per_class.items(), key=lambda item: -item[1].num_found)
    rows = [_reliability_row(name, one) for name, one in [(ALL_CLASSES, total), *largest]]
    columns = ("class", "found", "right", "mean error (ECE)", "largest error", "too high by")
    bins = [
        (
            f"{one.low:.3f} to {one.high:.3f}",
            f"{one.num_found:,}",
            percent(one.mean_score),
            percent(one.precision),
        )
        for one in total.bins
    ]
    heads = ("scores", "found", "mean score", "right")
    return Section(
        slug="calibration",
        title="Calibration",
        intro=(
            f"Whether a score of 0.8 is right eight times in ten, at IoU {report.iou_threshold:g}. "
            f"{said} maskwright calibrate makes scores probabilities."
        ),
        blocks=(
            Plot(
                name="reliability",
                figure=plot_reliability({"scores": report}),
                alt=f"Part of the objects that is right against their score. {said}",
                caption="On the dashed line scores are probabilities; above it they are too low.",
            ),
            headed_table("Calibration error, in %", columns, rows),
            headed_table("Bins of all classes together, in %", heads, bins, folded=True),
        ),
    )


def _reliability_row(name: str, one: Reliability) -> tuple[str, ...]:
    return (
        name,
        f"{one.num_found:,}",
        f"{one.num_right:,}",
        percent(one.ece),
        percent(one.largest_error),
        points(one.bias) if one.num_found else "n/a",
    )


def _sizes_and_crowding(analysis: ErrorAnalysis) -> Section:
    breakdown = analysis.breakdown
    by_size = [one for one in breakdown.by_size if one.recall >= 0]
    said = "; ".join(f"{one.name}: {percent(one.recall)}" for one in by_size)
    return Section(
        slug="sizes",
        title="Size and crowding",
        intro=(
            f"At IoU {breakdown.iou_threshold:g}, found objects from score "
            f"{breakdown.score_threshold:.2f}. The side is the square root of the area. "
            "Neighbours are objects whose boxes meet when each is grown by a quarter of its sides."
        ),
        blocks=(
            Plot(
                name="breakdown",
                figure=plot_breakdown(breakdown),
                alt=f"Bars of recall, precision and IoU. Recall by size in %: {said or 'n/a'}.",
                caption="Recall, precision and mean IoU by size, neighbours and overlap.",
            ),
            _bins("By size (side in pixels), in %", breakdown.by_size),
            _bins("By neighbours, in %", breakdown.by_neighbours),
            _bins("By overlap with another object, in %", breakdown.by_overlap),
        ),
    )


def _bins(caption: str, bins: Sequence[BreakdownBin]) -> Table:
    rows = [
        (
            one.name,
            f"{one.num_true:,}",
            f"{one.num_found:,}",
            *(percent(value) for value in (one.recall, one.precision, one.mean_iou)),
        )
        for one in bins
    ]
    return headed_table(caption, ("", "true", "found", "recall", "precision", "mean IoU"), rows)
