"""Plots of what datasets hold, one colour per dataset or split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from maskwright.data.statistics import DatasetStatistics

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["PLOTS"]

_MOST_CLASSES = 40  # of the most frequent; more cannot be read on one page
_MOST_BINS = 40
_MOST_CENTRE_BINS = 32


def plot_objects_per_picture(parts: Sequence[DatasetStatistics]) -> Figure:
    """Plot how many pictures have how many objects, as shares of each dataset's pictures."""
    figure, axes = _figure(1)
    table = _joined(parts, "pictures")
    most = int(table["objects"].max()) if len(table) else 0
    step = max(1, -(-(most + 1) // _num_bins(table)))
    bins = np.arange(0, most + step + 1, step) - 0.5
    _histogram(table, "objects", axes[0], bins=bins)
    axes[0].set(xlabel="objects per picture", ylabel="% of pictures")
    return figure


def plot_areas(parts: Sequence[DatasetStatistics]) -> Figure:
    """Plot the sizes of objects, in pixels and relative to their picture, on log axes."""
    figure, (left, right) = _figure(2)
    table = _joined(parts, "objects")
    table = table[table["area"] > 0]
    _histogram(table, "side", left, log_scale=True)
    for limit in (32, 96):
        left.axvline(limit, color="0.5", linewidth=0.8, linestyle="--")
    left.set(xlabel="square root of the area in pixels (dashed: 32 and 96)", ylabel="% of objects")
    percent = table.assign(percent=100 * table["relative_area"])
    _histogram(percent, "percent", right, log_scale=True)
    right.set(xlabel="area in % of the picture", ylabel="% of objects")
    return figure


def plot_aspects(parts: Sequence[DatasetStatistics]) -> Figure:
    """Plot width over height of the objects' boxes on a log axis."""
    figure, axes = _figure(1)
    table = _joined(parts, "objects").dropna(subset=["aspect"])
    _histogram(table, "aspect", axes[0], log_scale=True)
    axes[0].axvline(1, color="0.5", linewidth=0.8, linestyle="--")
    axes[0].set(xlabel="width / height of the box", ylabel="% of objects")
    return figure


def plot_classes(parts: Sequence[DatasetStatistics]) -> Figure:
    """Plot the share of each class among the objects of each dataset, the largest first."""
    import pandas as pd
    import seaborn as sns

    frames = [part.classes.assign(dataset=part.name) for part in parts]
    table = pd.concat(frames, ignore_index=True)
    table["percent"] = 100 * table["share"]
    order = _frequent_classes(parts)
    figure, axes = _figure(1, height=max(2.5, 0.25 * len(order) * max(1, len(parts) / 2) + 1))
    if order:
        hue = {"hue": "dataset"} if len(parts) > 1 else {}
        sns.barplot(table, y="class", x="percent", order=order, ax=axes[0], **hue)
    axes[0].set(xlabel="% of objects" + _cut(parts, order), ylabel="")
    return figure


def plot_co_occurrence(parts: Sequence[DatasetStatistics]) -> Figure:
    """Plot in how many pictures of all datasets two classes stand together."""
    import seaborn as sns
    from matplotlib.colors import LogNorm

    order = _frequent_classes(parts)
    names = parts[0].class_names if parts else ()
    total = sum((part.co_occurrence for part in parts), np.zeros((len(names),) * 2, np.int64))
    chosen = [names.index(name) for name in order]
    table = total[np.ix_(chosen, chosen)]
    side = max(4.0, 0.28 * len(order) + 2.5)
    figure, axes = _figure(1, width=side + 1, height=side)
    if order:
        sns.heatmap(
            table,
            xticklabels=order,
            yticklabels=order,
            annot=len(order) <= 12,
            fmt="d",
            # Most pairs are rare beside the most frequent class: a logarithmic scale, zero white.
            norm=LogNorm(vmin=1, vmax=max(2, table.max())),
            mask=table == 0,
            cmap="viridis",
            square=True,
            linewidths=0.3,
            linecolor="0.9",
            cbar_kws={"label": "pictures with both", "shrink": 0.7},
            ax=axes[0],
        )
    axes[0].grid(False)
    axes[0].set(xlabel=_cut(parts, order).strip(" ()"))
    return figure


def plot_picture_sizes(parts: Sequence[DatasetStatistics]) -> Figure:
    """Plot height against width of the pictures; larger marks are more pictures of one size."""
    import seaborn as sns

    figure, axes = _figure(1, width=6.5, height=5)
    table = _joined(parts, "pictures")
    if len(table):
        counted = table.groupby(["dataset", "width", "height"], sort=False, observed=True)
        sizes = counted.size().reset_index(name="pictures")
        sns.scatterplot(
            sizes, x="width", y="height", size="pictures", sizes=(20, 250), alpha=0.6, ax=axes[0],
            hue="dataset" if len(parts) > 1 else None,
        )  # fmt: skip
        title = "pictures" if len(parts) == 1 else None
        axes[0].legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, title=title)
    axes[0].set(xlabel="width in pixels", ylabel="height in pixels", xlim=(0, None), ylim=(0, None))
    return figure


def plot_centres(parts: Sequence[DatasetStatistics]) -> Figure:
    """Plot where in the pictures the centres of the objects' boxes lie."""
    figure, axes = _figure(len(parts), width=4.2 * max(1, len(parts)), height=4)
    for part, here in zip(parts, axes, strict=True):
        # About five objects in a cell, or chance is all that is seen.
        bins = int(np.clip(np.sqrt(len(part.objects) / 5), 4, _MOST_CENTRE_BINS))
        counts, _, _ = np.histogram2d(
            part.objects["y"], part.objects["x"], bins=bins, range=[[0, 1], [0, 1]]
        )
        drawn = here.imshow(counts, extent=(0, 1, 1, 0), cmap="magma", interpolation="nearest")
        here.grid(False)
        here.set(title=part.name, xlabel="x / width", ylabel="y / height")
        figure.colorbar(drawn, ax=here, label="objects", shrink=0.75)
    return figure


PLOTS: dict[str, Callable[[Sequence[DatasetStatistics]], Figure]] = {
    "objects_per_picture": plot_objects_per_picture,
    "areas": plot_areas,
    "aspect_ratios": plot_aspects,
    "classes": plot_classes,
    "co_occurrence": plot_co_occurrence,
    "picture_sizes": plot_picture_sizes,
    "centres": plot_centres,
}
"""Every plot by the name of its file. All take one or more datasets with the same class names."""


def _figure(columns: int, *, width: float = 8.0, height: float = 4.5) -> tuple[Figure, list[Axes]]:
    import seaborn as sns
    from matplotlib.figure import Figure

    with sns.axes_style("whitegrid"):
        figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
        axes = figure.subplots(1, max(1, columns), squeeze=False)[0].tolist()
    return figure, axes


def _joined(
    parts: Sequence[DatasetStatistics], which: Literal["pictures", "objects"]
) -> pd.DataFrame:
    """Return the tables of all datasets below each other, with a column that names them."""
    import pandas as pd

    tables = [part.pictures if which == "pictures" else part.objects for part in parts]
    named = [table.assign(dataset=part.name) for table, part in zip(tables, parts, strict=True)]
    joined: pd.DataFrame = pd.concat(named, ignore_index=True)
    return joined


def _histogram(
    table: pd.DataFrame,
    column: str,
    axes: Axes,
    *,
    bins: np.ndarray | None = None,
    log_scale: bool = False,
) -> None:
    """Draw a histogram in per cent of each dataset's rows."""
    import seaborn as sns

    if not len(table):
        return
    several = table["dataset"].nunique() > 1
    sns.histplot(
        table,
        x=column,
        hue="dataset" if several else None,
        stat="percent",
        common_norm=False,
        element="step" if several else "bars",
        fill=not several,
        bins=_num_bins(table) if bins is None else bins,
        log_scale=log_scale,
        ax=axes,
    )
    if log_scale:
        _plain_numbers(axes)


def _num_bins(table: pd.DataFrame) -> int:
    """Return the number of bins for the smallest dataset: 3 n^(1/3), from 10 to 40."""
    smallest = int(table["dataset"].value_counts().min()) if len(table) else 0
    return int(np.clip(3 * np.cbrt(smallest), 10, _MOST_BINS))


def _plain_numbers(axes: Axes) -> None:
    """Label a logarithmic x axis with 0.1, 0.2, 0.5, 1 ... in place of powers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axes.get_xlim()
    subs = (1.0,) if high > 1000 * low else (1.0, 2.0, 5.0)
    axes.xaxis.set_major_locator(LogLocator(subs=subs, numticks=20))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _frequent_classes(parts: Sequence[DatasetStatistics]) -> list[str]:
    """Return the classes that have objects, the most frequent first, as many as can be read."""
    totals = np.sum([part.classes["objects"].to_numpy() for part in parts], axis=0)
    order = np.argsort(-totals, kind="stable")[:_MOST_CLASSES].tolist()
    return [parts[0].class_names[k] for k in order if totals[k]]


def _cut(parts: Sequence[DatasetStatistics], order: list[str]) -> str:
    total = np.sum([part.classes["objects"].to_numpy() for part in parts], axis=0)
    present = int((total > 0).sum())
    return f" ({len(order)} most frequent of {present} classes)" if present > len(order) else ""
