"""A study as tables: for a terminal, as Markdown and as CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from maskwright.recipes.pages.markdown import markdown_cell
from maskwright.recipes.tuning.search_space import Value
from maskwright.recipes.tuning.study import Study, Tried

if TYPE_CHECKING:
    from rich.console import Group

__all__ = ["csv_rows", "headline", "markdown_table", "study_tables"]

_SHOWN = 12
"""Trials of the table for a terminal; STUDY/trials.csv has all."""


def study_tables(study: Study) -> Group:
    """Return the best trials, what matters and what must be known, ready to be printed by rich."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("trial", justify="right")
    table.add_column(f"{study.metric} %", justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("values", overflow="fold")
    ordered = ranked(study.trials)
    for one in ordered[:_SHOWN]:
        detail = one.reason if one.state == "failed" else values_text(one.values)
        cells = [str(one.number), _percent(one.score), _state(study, one), detail]
        table.add_row(*map(Text, cells), style="bold" if one is study.best else "")
    below = [headline(study), *study.notes]
    if len(ordered) > _SHOWN:
        below.insert(0, f"and {len(ordered) - _SHOWN} more trials, see trials.csv")
    shares = ", ".join(f"{_short(name)} {share:.0%}" for name, share in study.importances.items())
    if shares:
        below.append(f"share of each option in the differences of the scores: {shares}")
    return Group(table, *(Padding(Text(text), (1, 1, 0, 1)) for text in below))


def headline(study: Study) -> str:
    """Say how good the best trial is, and what it gained over the first."""
    best = study.best
    if best is None:
        return "No trial was completed."
    sentence = f"Trial {best.number} is the best: {study.metric} {_percent(best.score)} %"
    if study.test is not None:
        sentence += f" on the validation pictures, {_percent(study.test)} % on the test pictures"
    first = study.trials[0]
    if not study.is_first_plain or first.state != "complete":
        return f"{sentence}."
    if first is best:
        return f"{sentence}; it is what train chooses by itself."
    on_which = "" if study.test is None else " on the validation pictures"
    plain = f"trial 0, what train chooses by itself, has {_percent(first.score)} %{on_which}"
    return f"{sentence}; {plain}."


def ranked(trials: Sequence[Tried]) -> list[Tried]:
    """Return the trials by score, complete ones before others, the best first."""
    order = {"complete": 0, "pruned": 1, "running": 2, "interrupted": 3, "failed": 4}
    return sorted(trials, key=lambda one: (order[one.state], -(one.score or 0.0), one.number))


def markdown_table(study: Study) -> list[str]:
    """Return the lines of the table of all trials."""
    varied = _varied(study)
    columns = ["trial", f"{study.metric} %", "state", *varied, "steps", "seconds"]
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for one in ranked(study.trials):
        cells = [str(one.number), _percent(one.score), _state(study, one)]
        cells += [_shown(one.values.get(name, "")) for name in varied]
        cells += [str(one.steps), f"{one.seconds:.0f}"]
        cells = [markdown_cell(cell) for cell in cells]
        if one is study.best:
            cells[:3] = [f"**{cell}**" for cell in cells[:3]]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def csv_rows(study: Study) -> list[dict[str, Any]]:
    """Return a flat row per trial."""
    return [
        {
            "trial": one.number,
            "state": one.state,
            "score": one.score,
            "steps": one.steps,
            "seconds": one.seconds,
            **{name: one.values.get(name) for name in _varied(study)},
            "validations": len(one.curve),
            "reason": one.reason,
            "run": one.run,
        }
        for one in study.trials
    ]


def values_text(values: Mapping[str, Value]) -> str:
    """Say in a line what a trial tries.

    >>> values_text({"optimizer.learning_rate": 0.0123456, "preset": "tiny"})
    'learning_rate 0.0123, preset tiny'
    """
    return ", ".join(f"{_short(name)} {_shown(value)}" for name, value in values.items())


def _varied(study: Study) -> list[str]:
    names: dict[str, None] = {}
    for one in study.trials:
        names |= dict.fromkeys(one.values)
    return list(names)


def _state(study: Study, one: Tried) -> str:
    if one is study.best:
        return "best"
    if one.state == "pruned":
        return f"pruned at {max(one.curve, default=0) / study.evaluations:.0%}"
    return one.state


def _short(name: str) -> str:
    """The last step of a dotted name."""
    return name.rpartition(".")[2]


def _shown(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _percent(score: float | None) -> str:
    return "" if score is None else f"{100 * score:.1f}"
