"""A study as pictures: its course, what matters, and which values are good."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from maskwright.recipes.tuning.search_space import Choices, Range, SearchSpace
from maskwright.recipes.tuning.study import Study, Tried

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["PLOTS", "plot_study"]

_BEST, _DONE, _PRUNED, _FAILED = "#d55e00", "#0072b2", "0.6", "#cc79a7"
_COLUMNS = 4


def plot_study(name: str, study: Study, space: SearchSpace) -> Figure:
    """Draw one of `PLOTS`."""
    import seaborn as sns

    with sns.axes_style("whitegrid"):
        return PLOTS[name](study, space)


def _history(study: Study, space: SearchSpace) -> Figure:
    """Plot scores by trial with the best so far, beside the course of each training."""
    del space
    figure = _figure(11, 4.2)
    left, right = figure.subplots(1, 2)
    for state, colour, marker, label in (
        ("complete", _DONE, "o", "complete"),
        ("pruned", _PRUNED, "v", "pruned, best score until then"),
    ):
        shown = [one for one in study.trials if one.state == state and one.score is not None]
        if shown:
            numbers, scores = [one.number for one in shown], [_percent(one) for one in shown]
            left.scatter(numbers, scores, color=colour, marker=marker, label=label, zorder=3)
    failed = [one.number for one in study.trials if one.state == "failed"]
    if failed:
        left.scatter(failed, [0] * len(failed), color=_FAILED, marker="x", label="failed", zorder=3)
    steps, heights = _best_so_far(study.trials)
    left.step(steps, heights, where="post", color=_BEST, label="best so far", zorder=2)
    left.set(xlabel="trial", ylabel=f"{study.metric} (%)", title="scores by trial")
    left.xaxis.get_major_locator().set_params(integer=True)
    _plot_curves(right, study)
    for axes in (left, right):
        axes.set_ylim(bottom=0)
    if left.get_legend_handles_labels()[0]:
        left.legend(fontsize=8)
    return figure


def _importances(study: Study, space: SearchSpace) -> Figure:
    """Plot the share of each option in the differences of the scores."""
    del space
    names, shares = list(study.importances), list(study.importances.values())
    figure = _figure(7.5, 1.2 + 0.36 * max(len(names), 2))
    axes = figure.subplots()
    if not names:
        _say_nothing(axes, "too few complete trials (under ten) to say what matters")
        return figure
    bars = axes.barh(names, [100 * share for share in shares], color=_DONE)
    axes.bar_label(bars, fmt="%.0f %%", padding=3, fontsize=8)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set(xlabel="share in the differences of the scores (%)", xlim=(0, 112 * max(shares)))
    axes.set_title(f"what matters for the {study.metric} (PED-ANOVA)")
    return figure


def _slices(study: Study, space: SearchSpace) -> Figure:
    """Plot score against each option, a panel each."""
    rows = -(-len(space) // _COLUMNS)
    columns = min(_COLUMNS, len(space))
    figure = _figure(max(3.2 * columns, 5), 2.9 * rows)
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axes in panels.flat[len(space) :]:
        axes.set_visible(False)
    for axes, (name, wanted) in zip(panels.flat, space.items(), strict=False):
        place, ticks = _axis(wanted)
        for one in _scored(study):
            if name in one.values:
                shift = _jitter(one.number) if isinstance(wanted, Choices) else 0.0
                at = place(one.values[name]) + shift
                axes.scatter(at, _percent(one), **_style(study, one))
        _label(axes, wanted, ticks)
        axes.set_xlabel(name, fontsize=9)
        axes.tick_params(labelsize=8)
    for axes in panels[:, 0]:
        axes.set_ylabel(f"{study.metric} (%)")
        axes.set_ylim(bottom=0)
    figure.suptitle("score by option: complete trials filled, pruned ones hollow, the best orange")
    return figure


def _parallel(study: Study, space: SearchSpace) -> Figure:
    """Plot each trial as a line over all options, coloured by its score, the best on top."""
    import matplotlib as mpl

    figure = _figure(max(1.5 * (len(space) + 1) + 1, 6), 4.6)
    axes = figure.subplots()
    axes.grid(visible=False)
    scored = _scored(study)
    if not scored:
        _say_nothing(axes, "no trial has a score")
        return figure
    scores = [_percent(one) for one in scored]
    low = min(scores)
    high = max(*scores, low + 1e-6)
    norm = mpl.colors.Normalize(low, high)
    colours = mpl.colormaps["viridis"]
    for one in sorted(scored, key=_percent):
        heights = [
            _height(wanted, one.values[name]) if name in one.values else np.nan
            for name, wanted in space.items()
        ]
        is_best = one is study.best
        axes.plot(
            range(len(space) + 1), [*heights, norm(_percent(one))],
            color=_BEST if is_best else colours(norm(_percent(one))),
            linewidth=2.5 if is_best else 1.2, alpha=1.0 if is_best else 0.75,
            linestyle="-" if one.state == "complete" else ":",
        )  # fmt: skip
    for place, wanted in enumerate(space.values()):
        axes.axvline(place, color="0.4", linewidth=0.8)
        _name_heights(axes, place, wanted)
    axes.axvline(len(space), color="0.4", linewidth=0.8)
    axes.set_xticks(range(len(space) + 1), [*_broken(space), f"{study.metric}\n(%)"], fontsize=8)
    axes.set(yticks=[], ylim=(-0.05, 1.05), xlim=(-0.3, len(space) + 0.3))
    for spine in axes.spines.values():
        spine.set_visible(False)
    figure.colorbar(mpl.cm.ScalarMappable(norm, colours), ax=axes, label=f"{study.metric} (%)")
    axes.set_title("trials over all options: complete ones solid, pruned ones dotted, best orange")
    return figure


PLOTS: dict[str, Callable[[Study, SearchSpace], Figure]] = {
    "history": _history,
    "importances": _importances,
    "slices": _slices,
    "parallel": _parallel,
}
"""The plots by the names of their files."""


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=110, layout="constrained")


def _plot_curves(axes: Axes, study: Study) -> None:
    for one in study.trials:
        if not one.curve or one.state == "failed":
            continue
        is_best = one is study.best
        axes.plot(
            [100 * rung / study.evaluations for rung in one.curve],
            [100 * score for score in one.curve.values()],
            color=_BEST if is_best else _DONE if one.state == "complete" else _PRUNED,
            linewidth=2.2 if is_best else 1.0,
            alpha=1.0 if is_best else 0.7,
            marker=".",
            zorder=3 if is_best else 2,
        )
    axes.set(xlabel="share of the budget (%)", title="course of each training", xlim=(0, 102))


def _best_so_far(trials: Sequence[Tried]) -> tuple[list[int], list[float]]:
    numbers, heights = [], []
    best = -1.0
    for one in trials:
        if one.state == "complete" and one.score is not None:
            best = max(best, one.score)
        if best >= 0:
            numbers.append(one.number)
            heights.append(100 * best)
    return numbers, heights


def _scored(study: Study) -> list[Tried]:
    return [one for one in study.trials if one.state in ("complete", "pruned") and one.curve]


def _percent(one: Tried) -> float:
    return 100 * (one.score or 0.0)


def _style(study: Study, one: Tried) -> dict[str, Any]:
    colour = _BEST if one is study.best else _DONE
    if one.state == "pruned":
        return {"facecolors": "none", "edgecolors": _PRUNED, "zorder": 2, "s": 22}
    return {"color": colour, "zorder": 4 if one is study.best else 3, "s": 30}


def _axis(wanted: Range | Choices) -> tuple[Callable[[Any], float], list[str]]:
    """Where a value lies on its axis, and the names of choices."""
    if isinstance(wanted, Choices):
        places = {value: float(place) for place, value in enumerate(wanted.values)}
        return lambda value: places.get(value, np.nan), [str(value) for value in wanted.values]
    return float, []


def _label(axes: Axes, wanted: Range | Choices, ticks: list[str]) -> None:
    """Show the whole axis, with few and plain numbers."""
    if isinstance(wanted, Choices):
        axes.set_xticks(range(len(ticks)), ticks, rotation=20 if max(map(len, ticks)) > 8 else 0)
        axes.set_xlim(-0.5, len(ticks) - 0.5)
        return
    low, high = wanted.low, wanted.high
    middle = (low * high) ** 0.5 if wanted.log else (low + high) / 2
    margin = 0.05 * (np.log(high / low) if wanted.log else high - low)
    if wanted.log:
        axes.set_xscale("log")
        axes.set_xlim(low * np.exp(-margin), high * np.exp(margin))
    else:
        axes.set_xlim(low - margin, high + margin)
    axes.set_xticks([low, middle, high], [f"{tick:.2g}" for tick in (low, middle, high)])
    axes.set_xticks([], minor=True)


def _height(wanted: Range | Choices, value: Any) -> float:
    """A value's place between the lowest (0) and the highest (1)."""
    if isinstance(wanted, Choices):
        return wanted.values.index(value) / (len(wanted.values) - 1)
    low, high, at = wanted.low, wanted.high, float(value)
    if wanted.log:
        low, high, at = np.log(low), np.log(high), np.log(at)
    return float((at - low) / (high - low))


def _name_heights(axes: Axes, place: int, wanted: Range | Choices) -> None:
    for value in wanted.ends:
        text = f"{value:.3g}" if isinstance(value, float) else str(value)
        axes.annotate(
            text, (place, _height(wanted, value)), xytext=(3, 0), textcoords="offset points",
            fontsize=7, va="center", bbox={"facecolor": "white", "alpha": 0.7, "lw": 0, "pad": 0.5},
        )  # fmt: skip


def _broken(space: SearchSpace) -> list[str]:
    """The names, with a line for each step."""
    return [name.replace(".", ".\n").replace("_", "_\n", 1) for name in space]


def _jitter(number: int) -> float:
    """A little to one side, always alike, so that trials with equal values are all seen."""
    return 0.25 * (((number * 0.618034) % 1) - 0.5)


def _say_nothing(axes: Axes, why: str) -> None:
    axes.text(0.5, 0.5, why, ha="center", va="center", transform=axes.transAxes)
    axes.set_axis_off()
