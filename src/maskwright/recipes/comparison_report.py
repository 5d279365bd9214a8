"""The comparison on paper: table, plot and sample pictures."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from maskwright.data import Dataset, save_image
from maskwright.files import atomic_write, write_json
from maskwright.inference import Predictor
from maskwright.recipes.recommendation import (
    ComparedModel,
    Recommendation,
    pareto_front,
    score_text,
)
from maskwright.recipes.samples import sample_sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Group

__all__ = ["comparison_table", "plot_comparison", "write_report"]

_COLUMNS = (
    "model", "mask AP % (95 %)", "boundary", "box", "ms", "memory MB", "params M", "GFLOPs",
    "file MB", "steps", "front",
)  # fmt: skip

_TERMINAL_TABLES = (
    ("model", "mask AP % (95 %)", "boundary", "box", "ms", "front"),
    ("model", "memory MB", "params M", "GFLOPs", "file MB", "steps"),
)


def write_report(
    folder: Path,
    models: Sequence[ComparedModel],
    recommendation: Recommendation,
    notes: Sequence[str],
    test: Dataset,
    predictors: Mapping[str, Predictor],
) -> None:
    """Write comparison.csv, .json, .md and .png, and samples.png.

    Args:
        folder: Where to.
        models: The rows, in order.
        recommendation: What to take.
        notes: What to say about the numbers.
        test: The pictures that were scored.
        predictors: The models by name, in the order of the samples.
    """
    import pandas as pd

    rows = [one.as_dict() for one in models]
    with atomic_write(folder / "comparison.csv") as partial:
        pd.DataFrame(rows).to_csv(partial, index=False)
    write_json(folder / "comparison.json", rows)
    with atomic_write(folder / "comparison.md") as partial:
        partial.write_text(_markdown(models, recommendation, notes), encoding="utf-8")
    drawn = io.BytesIO()
    plot_comparison(models).savefig(drawn, format="png")
    with atomic_write(folder / "comparison.png") as partial:
        partial.write_bytes(drawn.getvalue())
    save_image(folder / "samples.png", sample_sheet(test, predictors))


def comparison_table(models: Sequence[ComparedModel], reason: str, notes: Sequence[str]) -> Group:
    """Return the tables for a terminal, the recommendation below them, then the notes."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    # Narrow gaps, no lines, and two tables, so that they fit a terminal of 80 columns.
    tables = []
    for columns in _TERMINAL_TABLES:
        table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
        for name in columns:
            is_name = name == "model"
            table.add_column(name, justify="left" if is_name else "right", no_wrap=is_name)
        for one in models:
            cells = dict(zip(_COLUMNS, _cells(one), strict=True))
            style = "bold" if one.is_recommended else ""
            table.add_row(*(Text(cells[name]) for name in columns), style=style)
        tables.append(Padding(table, (0, 0, 1, 0)))
    below = [Padding(Text(text), (0, 1, 1, 1)) for text in (reason, *notes)]
    return Group(*tables, *below)


def plot_comparison(models: Sequence[ComparedModel]) -> Figure:
    """Plot milliseconds a picture against mask AP with intervals, and the Pareto front.

    Colour says the detector and shape the mask head; models on the front are named.
    """
    import pandas as pd
    import seaborn as sns
    from matplotlib.figure import Figure

    shown = [one for one in models if one.ms is not None and one.mask_ap >= 0]
    with sns.axes_style("whitegrid"):
        figure = Figure(figsize=(9, 5.5), dpi=120, layout="constrained")
        axes = figure.subplots()
    axes.set(xlabel="milliseconds per picture, file to masks", ylabel="mask AP (%)")
    if not shown:
        return figure
    table = pd.DataFrame(
        {
            "ms": [one.ms for one in shown],
            "mask AP": [100 * one.mask_ap for one in shown],
            "detector": [one.detector for one in shown],
            "mask head": [one.mask_head for one in shown],
        }
    )
    for one in shown:
        if one.mask_ap_low is not None and one.mask_ap_high is not None:
            ends = [100 * one.mask_ap_low, 100 * one.mask_ap_high]
            axes.plot([one.ms or 0] * 2, ends, color="0.75", linewidth=1.5, zorder=1)
    front = pareto_front(shown)
    axes.plot(
        [one.ms or 0 for one in front],
        [100 * one.mask_ap for one in front],
        drawstyle="steps-post",
        color="0.35",
        linestyle="--",
        linewidth=1,
        label="Pareto front",
        zorder=2,
    )
    sns.scatterplot(
        table, x="ms", y="mask AP", hue="detector", style="mask head", s=90, ax=axes, zorder=3
    )
    for one in front:
        axes.annotate(
            one.model,
            (one.ms or 0, 100 * one.mask_ap),
            xytext=(6, 6),
            textcoords="offset points",
            fontsize=8,
            fontweight="bold" if one.is_recommended else "normal",
        )
    times = [one.ms or 0 for one in shown]
    if max(times) > 4 * min(times) > 0:
        axes.set_xscale("log")
    axes.set(xlabel="milliseconds per picture, file to masks", ylabel="mask AP (%)")
    axes.set_ylim(bottom=0)
    axes.margins(x=0.15)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
    return figure


def _cells(one: ComparedModel) -> list[str]:
    """Return the cells of a row as text, in the order of `_COLUMNS`."""
    return [
        one.model,
        score_text(one),
        _percent(one.boundary_ap),
        _percent(one.box_ap),
        "" if one.ms is None else f"{one.ms:.1f}",
        "n/a" if one.peak_memory_mb is None else f"{one.peak_memory_mb:.0f}",
        f"{one.parameters / 1e6:.2f}",
        f"{one.gflops:.2f}",
        f"{one.file_mb:.1f}",
        str(one.steps),
        "recommended" if one.is_recommended else "yes" if one.is_on_front else "",
    ]


def _percent(value: float) -> str:
    return "n/a" if value < 0 else f"{100 * value:.1f}"


def _markdown(
    models: Sequence[ComparedModel], recommendation: Recommendation, notes: Sequence[str]
) -> str:
    lines = ["# Comparison", "", recommendation.reason, ""]
    lines += [f"| {' | '.join(_COLUMNS)} |", "|---" + "|--:" * (len(_COLUMNS) - 1) + "|"]
    lines += [f"| {' | '.join(_cells(one))} |" for one in models]
    lines += ["", "![Speed against accuracy](comparison.png)", "", "![Samples](samples.png)", ""]
    lines += [f"- {note}" for note in notes]
    return "\n".join(lines) + "\n"
