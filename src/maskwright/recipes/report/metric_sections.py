"""The numbers of a report: headlines, COCO's numbers, classes, sizes, further families."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from maskwright.evaluation.analysis import ErrorAnalysis
from maskwright.recipes.report.document import Block, Headline, Section, Table, headed_table
from maskwright.recipes.report.scores import FamilyScores, ReportScores
from maskwright.recipes.report.wording import (
    interval_text,
    number_text,
    percent,
    with_interval,
)

__all__ = ["family_section", "headlines", "metric_section"]

_KINDS = {"segm": "mask", "boundary": "boundary", "bbox": "box"}
_MEANINGS = {
    "AP": "IoU 0.50 to 0.95",
    "AP50": "IoU 0.50",
    "AP75": "IoU 0.75",
    "APs": "small objects",
    "APm": "medium",
    "APl": "large",
    "AR1": "recall with 1 found object",
    "AR10": "with 10",
    "ARs": "recall of small objects",
    "ARm": "medium",
    "ARl": "large",
}
_SIZES = {
    "small": ("area up to 32² px", "s"),
    "medium": ("32² to 96² px", "m"),
    "large": ("from 96² px", "l"),
}


def headlines(scores: ReportScores, analysis: ErrorAnalysis) -> list[Headline]:
    """Return the numbers of the first look."""
    shown = []
    for kind, word in _KINDS.items():
        if kind in scores.metrics.numbers:
            ends = interval_text(scores.interval(kind, "AP"))
            shown.append(
                Headline(
                    label=f"{word} AP %",
                    value=percent(scores.metrics[kind]["AP"]),
                    detail=f"95 %: {ends}" if ends else "IoU 0.50 to 0.95",
                )
            )
    main = scores.main_kind
    if "AP50" in scores.metrics[main]:
        ends = interval_text(scores.interval(main, "AP50"))
        shown.append(
            Headline(
                label=f"{_KINDS[main]} AP50 %",
                value=percent(scores.metrics[main]["AP50"]),
                detail=f"95 %: {ends}" if ends else "IoU 0.50",
            )
        )
    return [*shown, *_from_analysis(analysis)]


def metric_section(scores: ReportScores) -> Section:
    """Return COCO's numbers of every kind with their intervals, by class and by size."""
    limit = scores.metrics.max_detections
    return Section(
        slug="metrics",
        title="Metrics",
        intro=(
            "COCO's numbers in %, at the pictures' own size, with up to "
            f"{limit} found objects of a class in a picture. Intervals hold 95 % of the values "
            "that other draws of as many pictures of this kind would give; that another training "
            "would give another model is not in them."
        ),
        blocks=(_numbers(scores), _classes(scores), _sizes(scores)),
    )


def family_section(name: str, family: FamilyScores) -> Section:
    """Return the numbers of a further family of metrics, and its tables."""
    values = family.values
    intervals = values.get("intervals", {})
    rows = []
    for number, value in values["numbers"].items():
        ends = intervals.get(number)
        of_objects = number in family.in_objects
        text = "" if ends is None else interval_text((ends[0], ends[1]))
        if ends is not None and of_objects:
            text = f"{ends[0]:.2f} to {ends[1]:.2f}"
        rows.append((number, _cell(value, of_objects), text))
    blocks: list[Block] = [headed_table("Numbers", ("", "value", "95 % interval"), rows)]
    tables = dict(values.get("tables", {}))
    tables |= {
        title: values[key]
        for key, title in (("by_iou", "By IoU"), ("per_class", "By class"))
        if key in values
    }
    for title, table in tables.items():
        if table:
            blocks.append(_nested(title, table, family.in_objects))
    intro = " ".join((family.intro, *values.get("notes", ())))
    return Section(slug=name, title=family.title, intro=intro, blocks=tuple(blocks))


def _from_analysis(analysis: ErrorAnalysis) -> list[Headline]:
    best = analysis.curves.total.best_f1()
    shown = []
    if best is not None:
        shown.append(
            Headline(
                label="highest F1 %",
                value=percent(best.f1),
                detail=f"at score {best.threshold:.2f}",
            )
        )
    if analysis.calibration is not None and analysis.calibration.total.num_found:
        total = analysis.calibration.total
        shown.append(
            Headline(
                label="calibration error %",
                value=percent(total.ece),
                detail=f"scores too {'high' if total.bias > 0 else 'low'} by "
                f"{abs(100 * total.bias):.1f}",
            )
        )
    objects = analysis.objects
    shown.append(
        Headline(
            label="pictures",
            value=f"{len(objects.truth.image_ids):,}",
            detail=f"{int(objects.is_single.sum()):,} objects",
        )
    )
    return shown


def _numbers(scores: ReportScores) -> Table:
    kinds = [kind for kind in _KINDS if kind in scores.metrics.numbers]
    names = list(scores.metrics[kinds[0]]) if kinds else []
    meanings = _MEANINGS | {"AR100": f"with {scores.metrics.max_detections}"}
    rows = [
        (
            name,
            meanings.get(name, ""),
            *(with_interval(scores.metrics[k][name], scores.interval(k, name)) for k in kinds),
        )
        for name in names
    ]
    columns = ("", "", *(_KINDS[kind] for kind in kinds))
    return headed_table(
        "COCO's numbers, with 95 % intervals in brackets", columns, rows, num_text=2
    )


def _classes(scores: ReportScores) -> Table:
    """Rows by class, those with most true objects first; classes of nothing are left out."""
    report = scores.metrics.report()["per_class"]
    kinds = [kind for kind in _KINDS if kind in report]
    main = scores.main_kind
    rows = []
    for name, one in report[main].items():
        if not one["objects"] and not one["detections"]:
            continue
        ends = one.get("AP_interval")
        own = with_interval(one["AP"], None if ends is None else (ends[0], ends[1]))
        others = (percent(report[kind][name]["AP"]) for kind in kinds if kind != main)
        rest = (percent(one["AP50"]), percent(one["AR"]))
        counts = (f"{one['objects']:,}", f"{one['detections']:,}")
        rows.append((name, *counts, own, *others, *rest))
    other_names = (f"{_KINDS[kind]} AP" for kind in kinds if kind != main)
    columns = ("class", "true", "found", f"{_KINDS[main]} AP", *other_names, "AP50", "AR")
    return headed_table("By class, in %", columns, rows)


def _sizes(scores: ReportScores) -> Table:
    """Rows by COCO's three sizes."""
    kinds = [kind for kind in _KINDS if kind in scores.metrics.numbers]
    rows = []
    for size, (meaning, letter) in _SIZES.items():
        cells: list[str] = []
        for kind in kinds:
            for number in ("AP", "AR"):
                name = f"{number}{letter}"
                value = scores.metrics[kind][name]
                cells.append(with_interval(value, scores.interval(kind, name)))
        rows.append((size, meaning, *cells))
    columns = [f"{_KINDS[kind]} {number}" for kind in kinds for number in ("AP", "AR")]
    return headed_table("By COCO's sizes, in %", ("", "", *columns), rows, num_text=2)


def _nested(
    title: str, table: Mapping[str, Mapping[str, Any]], in_objects: frozenset[str]
) -> Table:
    """Return a table of rows of numbers by name."""
    columns = list(next(iter(table.values())))
    rows = []
    for name, row in table.items():
        cells = (
            f"{row[c][0]:.3f} to {row[c][1]:.3f}"
            if isinstance(row[c], list)
            else _cell(row[c], c in in_objects)
            for c in columns
        )
        rows.append((name, *cells))
    headings = ("", *(column.replace("_", " ") for column in columns))
    return headed_table(title, headings, rows, folded=len(rows) > 20)


def _cell(value: float | int | None, in_objects: bool) -> str:
    if value is None or isinstance(value, int) or in_objects:
        return number_text(value)
    return percent(value)
