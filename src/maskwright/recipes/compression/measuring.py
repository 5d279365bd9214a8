"""The table of a compression: what each version of the model costs, and what it finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from maskwright.data import Dataset
from maskwright.inference import load
from maskwright.inference.export.folder import read_header
from maskwright.model import load_checkpoint
from maskwright.recipes.compression.arithmetic import measure_multiply_adds, workload_of
from maskwright.recipes.costs import time_in_turn
from maskwright.recipes.pages.markdown import markdown_cell
from maskwright.recipes.parity import ShowProgress, measure_reference

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Measured", "Version", "compression_table", "markdown_table", "measure_versions"]

_TIMED_PICTURES = 50
"""Drawn evenly; the median of so many no longer moves with the choice."""

_SHOWN = ("box AP", "mask AP", "boundary AP", "mean IoU")


@dataclass(frozen=True, kw_only=True)
class Version:
    """A state of the model on its way.

    Args:
        name: For the table.
        path: A model file, or the folder of an export.
        source: The model file that an export was made of; None for a model file.
        refusal: Why there is no such version; `path` does not exist then.
    """

    name: str
    path: Path
    source: Path | None = None
    refusal: str | None = None


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a version costs, and its scores.

    Args:
        name: Of the version.
        path: Of its file or folder.
        runs_on: What it was timed on.
        megabytes: Of its file or graphs, in 10^6 bytes.
        multiply_adds: Of one picture.
        milliseconds: Median of a picture from file to objects with masks.
        scores: Name -> AP and the like in [0, 1] on the validation pictures.
        note: What else there is to know.
    """

    name: str
    path: str
    runs_on: str
    megabytes: float
    multiply_adds: int
    milliseconds: float
    scores: dict[str, float]
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for json."""
        return {**vars(self), "scores": dict(self.scores)}


def measure_versions(
    versions: Sequence[Version],
    train: Dataset,
    validation: Dataset,
    progress: ShowProgress | None = None,
) -> list[Measured]:
    """Time all versions in turn on the same pictures, then score each.

    Args:
        versions: The first is what the others are held against; refused ones are left out.
        train: Whose middle picture multiply-adds are counted on.
        validation: To time and score on.
        progress: See `ShowProgress`.
    """
    there = [each for each in versions if each.refusal is None]
    predictors = {each.name: load(each.path, device="cpu") for each in there}
    count = min(len(validation), _TIMED_PICTURES)
    chosen = np.linspace(0, len(validation) - 1, count).round().astype(int).tolist()
    times = time_in_turn(predictors, [validation.image_path(i) for i in chosen])
    found = []
    for each in there:
        model = load_checkpoint(each.source or each.path)
        reference = measure_reference(
            predictors[each.name], validation, _titled(progress, f"Scoring: {each.name}")
        )
        runs_on, note = _runtime(each)
        found.append(
            Measured(
                name=each.name,
                path=str(each.path),
                runs_on=runs_on,
                megabytes=_bytes(each.path) / 1e6,
                multiply_adds=measure_multiply_adds(model, workload_of(model, train)),
                milliseconds=times[each.name],
                scores=reference.numbers,
                note=note,
            )
        )
    return found


def compression_table(measured: Sequence[Measured], refused: Sequence[Version] = ()) -> Table:
    """Return the versions as a rich table, ready to be printed."""
    from rich import box
    from rich.table import Table

    header, rows = _rows(measured)
    # changes on a line of their own, so that all columns fit a terminal of 80
    table = Table(*header, title="Compression", box=box.SIMPLE, padding=(0, 1, 0, 0))
    for column in table.columns:
        column.overflow = "fold"
    table.columns[0].min_width = max(len(word) for name, *_ in rows for word in name.split())
    for column in table.columns[1:-1]:
        column.justify = "right"
    for name, *cells, runs_on in rows:
        table.add_row(name, *(cell.replace(" (", "\n(") for cell in cells), runs_on)
    table.caption = "\n".join(
        ["In brackets: times less than the first, or change of the score.", *_refusals(refused)]
    )
    return table


def markdown_table(measured: Sequence[Measured], refused: Sequence[Version] = ()) -> str:
    """Return the versions as a table in Markdown."""
    header, rows = _rows(measured)
    lines = ["| " + " | ".join(header) + " |", "|---" + "|---:" * (len(header) - 2) + "|---|"]
    lines += ["| " + " | ".join(markdown_cell(cell) for cell in row) + " |" for row in rows]
    return "\n".join([*lines, "", *(f"- {each}" for each in _refusals(refused))]).rstrip() + "\n"


def _rows(measured: Sequence[Measured]) -> tuple[list[str], list[list[str]]]:
    first = measured[0]
    scores = [name for name in _SHOWN if name in first.scores]
    header = ["version", "MB", "GMACs", "ms a picture"]
    header += [f"{name}, %" for name in scores] + ["runs on"]
    rows = []
    for each in measured:
        is_first = each is first
        row = [each.name]
        for value, reference, digits in (
            (each.megabytes, first.megabytes, 1),
            (each.multiply_adds / 1e9, first.multiply_adds / 1e9, 2),
            (each.milliseconds, first.milliseconds, 1),
        ):
            factor = "" if is_first else f" ({reference / value:.2f}x)"
            row.append(f"{value:.{digits}f}{factor}")
        for name in scores:
            change = 100 * (each.scores[name] - first.scores[name])
            row.append(f"{100 * each.scores[name]:.2f}" + ("" if is_first else f" ({change:+.2f})"))
        rows.append([*row, each.runs_on + (f", {each.note}" if each.note else "")])
    return header, rows


def _refusals(refused: Sequence[Version]) -> list[str]:
    return [f"{each.name} was not kept: {each.refusal}" for each in refused if each.refusal]


def _titled(progress: ShowProgress | None, title: str) -> ShowProgress | None:
    return None if progress is None else lambda _title: progress(title)


def _runtime(version: Version) -> tuple[str, str]:
    if version.source is None:
        return "torch fp32", ""
    header = read_header(version.path)
    kept = header.in_fp32
    return f"{header.to} {header.precision}", f"{', '.join(kept)} in fp32" if kept else ""


def _bytes(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(
        each.stat().st_size for each in path.iterdir() if each.suffix not in (".md", ".json")
    )
