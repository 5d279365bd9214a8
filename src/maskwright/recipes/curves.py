"""The course of a run as a picture: losses, learning rate and scores by step."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from maskwright.errors import DataError
from maskwright.files import atomic_write

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["draw_curves"]

_SPAN = 40
"""Points that a loss curve is smoothed to, so that its course is seen and not its noise."""


def draw_curves(metrics: Path, out: Path) -> None:
    """Draw a run's `metrics.csv` as a PNG; the single steps stay visible behind the smooth line.

    Args:
        metrics: The log of a run.
        out: The PNG to write.

    Raises:
        DataError: The log is missing or is none.
    """
    import pandas as pd
    import seaborn as sns
    from matplotlib.figure import Figure

    try:
        table = pd.read_csv(metrics).set_index("step")
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{metrics} is no log of a run ({error}): give RUN/metrics.csv") from error
    with sns.axes_style("whitegrid"):
        figure = Figure(figsize=(10, 6.5), dpi=110, layout="constrained")
        (left, right), (rate, speed) = figure.subplots(2, 2, height_ratios=(3, 1), sharex=True)
    columns = [str(name) for name in table]
    losses = [name for name in columns if name.startswith("loss/")]
    for name in sorted(losses, key=lambda name: name == "loss/total"):
        _plot_smoothed(left, table[name].dropna(), name.removeprefix("loss/"))
    left.set(title="losses", yscale="log")
    for name in [name for name in columns if name.startswith("val/")]:
        scores = table[name].dropna()
        right.plot(scores.index, scores, marker="o", markersize=3, label=name.removeprefix("val/"))
    right.set(title="validation", ylim=(0, None))
    for axes, name, title in (
        (rate, "train/learning_rate", "learning rate"),
        (speed, "train/images_per_second", "pictures a second"),
    ):
        if name in table:
            axes.plot(table[name].dropna(), linewidth=1, color="0.3")
        axes.set(title=title, xlabel="step", ylim=(0, None))
    for axes in (left, right):
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=8)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    with atomic_write(out) as partial:
        partial.write_bytes(drawn.getvalue())


def _plot_smoothed(axes: Axes, values: pd.Series, label: str) -> None:
    smooth = values.ewm(span=max(1, len(values) / _SPAN)).mean()
    width = 2.0 if label == "total" else 1.2
    (line,) = axes.plot(smooth.index, smooth, linewidth=width, label=label)
    axes.plot(values.index, values, linewidth=0.5, alpha=0.25, color=line.get_color())
