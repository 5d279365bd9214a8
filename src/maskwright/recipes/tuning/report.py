"""The files of a study for people: table, plots and what to do with the best values."""

from __future__ import annotations

import io
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maskwright.files import atomic_write, write_json
from maskwright.recipes.tuning.plots import PLOTS, plot_study
from maskwright.recipes.tuning.search_space import SearchSpace, Value
from maskwright.recipes.tuning.study import Study
from maskwright.recipes.tuning.tables import csv_rows, headline, markdown_table
from maskwright.recipes.tuning.trial import Common, trial_request

__all__ = ["best_test_score", "train_command", "write_study"]

_CAPTIONS = {
    "history": "Scores by trial, and the course of each training.",
    "importances": "What matters.",
    "slices": "Score by option.",
    "parallel": "All options of all trials.",
}


def write_study(study: Study, space: SearchSpace) -> list[Path]:
    """Write report.md, study.json, trials.csv and the plots into the study's folder.

    Returns:
        The files.
    """
    import pandas as pd

    folder = study.path
    written = [folder / "trials.csv", folder / "study.json"]
    with atomic_write(written[0]) as partial:
        pd.DataFrame(csv_rows(study)).to_csv(partial, index=False)
    write_json(written[1], study.as_dict())
    for name in PLOTS:
        drawn = io.BytesIO()
        plot_study(name, study, space).savefig(drawn, format="png")
        written.append(folder / "plots" / f"{name}.png")
        with atomic_write(written[-1]) as partial:
            partial.write_bytes(drawn.getvalue())
    written.append(folder / "report.md")
    with atomic_write(written[-1]) as partial:
        partial.write_text(_markdown(study, space), encoding="utf-8")
    return written


def train_command(common: Common, values: Mapping[str, Value]) -> str:
    """Return the command that trains with these values, longer or on other pictures."""
    request = trial_request(common, values)
    words = ["maskwright", "train", str(request.data)]
    if request.validation is not None:
        words += ["--val", str(request.validation)]
    words += ["--out", "RUN"]
    for name, default in (
        ("task", "instances"), ("preset", None), ("model", None), ("backbone", None),
        ("weights", None), ("augment", None),
    ):  # fmt: skip
        if (given := getattr(request, name)) not in (default, "default"):
            words += [f"--{name}", str(given)]
    for name, value in (request.overrides or {}).items():
        words += ["--set", f"{name}={_text(value)}"]
    return shlex.join(words)


def best_test_score(folder: Path) -> float | None:
    """Return the score of the best model on the test pictures, where there are some."""
    path = folder / "best" / "scores.json"
    if not path.is_file():
        return None
    test = json.loads(path.read_text(encoding="utf-8")).get("test")
    if not test:
        return None
    score: float = test["segm"]["AP"] if "segm" in test else test["semantic"]["mIoU"]
    return score


def _markdown(study: Study, space: SearchSpace) -> str:
    lines = ["# Study", "", headline(study), ""]
    if study.best is not None:
        lines += [
            "Its model is `best/best.safetensors`. The same values, for a longer training:",
            "",
        ]
        lines += ["```", study.command, "```", ""]
    lines += [f"- {note}" for note in study.notes]
    lines += ["", "## Trials", "", *markdown_table(study), "", "## What was searched", ""]
    lines += ["| option | values |", "|---|---|"]
    lines += [f"| `{name}` | `{wanted.text}` |" for name, wanted in space.items()]
    if study.importances:
        lines += ["", "## What matters", "", "| option | share |", "|---|---|"]
        lines += [f"| `{name}` | {share:.0%} |" for name, share in study.importances.items()]
    failures = [one for one in study.trials if one.state == "failed"]
    if failures:
        lines += ["", "## Failed trials", ""]
        lines += [f"- trial {one.number}: {one.reason} (`{one.run}/error.txt`)" for one in failures]
    lines += ["", "## Plots", ""]
    for name, caption in _CAPTIONS.items():
        lines += [caption, "", f"![{caption}](plots/{name}.png)", ""]
    return "\n".join(lines)


def _text(value: Any) -> str:
    """A value as `--set` reads it."""
    if value is None:
        return "none"
    if isinstance(value, list | tuple | dict):
        return json.dumps(value)
    return repr(value) if isinstance(value, float) else str(value)
