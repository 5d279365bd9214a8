"""Scores over the folds of a cross-validation: mean, spread and interval, for people and programs.

The folds share most of their training pictures, so their scores are not independent and the usual
interval of a mean is too narrow. Nadeau and Bengio (2003, "Inference for the Generalization
Error", section 3) correct the variance of the mean to (1 / k + n_test / n_train) s^2; the interval
is Student's with k - 1 degrees of freedom.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskwright.evaluation.tables import percent
from maskwright.recipes.pages.markdown import markdown_cell

if TYPE_CHECKING:
    from rich.console import Group

__all__ = ["CrossValidation", "FoldScores", "MeanScore", "mean_score"]

_SHOWN = {
    ("segm", "AP"): "mask AP",
    ("segm", "AP50"): "mask AP50",
    ("boundary", "AP"): "boundary AP",
    ("bbox", "AP"): "box AP",
    ("semantic", "mIoU"): "mIoU",
    ("semantic", "pixel_accuracy"): "pixel accuracy",
}


@dataclass(frozen=True, kw_only=True)
class FoldScores:
    """What the run of one fold came to.

    Args:
        fold: Its number, from 1.
        run: Its run folder, relative to that of all.
        pictures: Part -> pictures: "train", "validation", "test".
        test_objects: True objects of the test pictures, crowds left out.
        steps: Optimiser steps done.
        seconds: Wall clock of the training.
        scores: Of the fold's own pictures, which neither steps nor choices saw: kind -> name ->
            number, -1 where there is nothing to score.
    """

    fold: int
    run: str
    pictures: Mapping[str, int]
    test_objects: int
    steps: int
    seconds: float
    scores: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, kw_only=True)
class MeanScore:
    """A score over the folds.

    Args:
        mean: Over the folds that have it; -1 where none has.
        deviation: Standard deviation between folds (k - 1); None of fewer than two.
        interval: 95 % interval of the mean; None of fewer than two folds.
        num_folds: Folds that have the score.
    """

    mean: float
    deviation: float | None
    interval: tuple[float, float] | None
    num_folds: int


def mean_score(values: Sequence[float], test_share: float) -> MeanScore:
    """Return mean and interval of the scores of folds; those below 0 are undefined and left out.

    Args:
        values: One per fold, in [0, 1] or -1.
        test_share: Pictures tested on over pictures trained on, of a fold.

    >>> score = mean_score([0.5, 0.6, 0.7, -1.0], test_share=0.25)
    >>> round(score.mean, 3), round(score.deviation, 3), score.num_folds
    (0.6, 0.1, 3)
    >>> [round(end, 3) for end in score.interval]
    [0.271, 0.929]
    """
    known = [value for value in values if value >= 0]
    if not known:
        return MeanScore(mean=-1.0, deviation=None, interval=None, num_folds=0)
    count, mean = len(known), math.fsum(known) / len(known)
    if count < 2:
        return MeanScore(mean=mean, deviation=None, interval=None, num_folds=count)
    from scipy.stats import t

    variance = math.fsum((value - mean) ** 2 for value in known) / (count - 1)
    half = float(t.ppf(0.975, count - 1)) * math.sqrt((1 / count + test_share) * variance)
    return MeanScore(
        mean=mean,
        deviation=math.sqrt(variance),
        interval=(max(0.0, mean - half), min(1.0, mean + half)),
        num_folds=count,
    )


@dataclass(frozen=True, kw_only=True)
class CrossValidation:
    """The folds that are finished, and what they say together.

    Args:
        path: The folder with a run folder per fold.
        num_folds: Folds in all.
        folds: Those that are finished, by number.
    """

    path: Path
    num_folds: int
    folds: tuple[FoldScores, ...]

    @property
    def is_complete(self) -> bool:
        """Whether every fold is finished."""
        return len(self.folds) == self.num_folds

    def summary(self) -> dict[str, dict[str, MeanScore]]:
        """Return kind -> name -> mean and interval over the finished folds."""
        if not self.folds:
            return {}
        tested = sum(fold.pictures["test"] for fold in self.folds)
        share = tested / max(1, sum(fold.pictures["train"] for fold in self.folds))
        return {
            kind: {
                name: mean_score([fold.scores[kind].get(name, -1.0) for fold in self.folds], share)
                for name in numbers
            }
            for kind, numbers in self.folds[0].scores.items()
        }

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON knows it, as `folds.json` holds it."""
        return {
            "num_folds": self.num_folds,
            "is_complete": self.is_complete,
            "summary": {
                kind: {name: asdict(score) for name, score in numbers.items()}
                for kind, numbers in self.summary().items()
            },
            "folds": [asdict(fold) for fold in self.folds],
        }

    def headings(self) -> list[str]:
        """Return the headings of the table's columns."""
        return ["fold", "train", "test", "objects", *map(_SHOWN.__getitem__, self._shown)]

    def rows(self) -> list[list[str]]:
        """Return the cells in %: a row per fold, then mean, deviation, ends of the interval."""
        summary = self.summary()
        rows = []
        for fold in self.folds:
            counts = [fold.pictures["train"], fold.pictures["test"], fold.test_objects]
            numbers = [percent(fold.scores[kind][name]) for kind, name in self._shown]
            rows.append([f"{fold.fold}", *map(str, counts), *numbers])
        means = [summary[kind][name] for kind, name in self._shown]
        blank = ["", "", ""]
        rows.append(["mean", *blank, *(percent(score.mean) for score in means)])
        rows.append(["deviation", *blank, *(_or_nothing(score.deviation) for score in means)])
        for end, name in enumerate(("95 % from", "95 % to")):
            ends = [score.interval and score.interval[end] for score in means]
            rows.append([name, *blank, *map(_or_nothing, ends)])
        return rows

    def notes(self) -> list[str]:
        """Return what a reader must know about the numbers, as sentences."""
        notes = [
            "In %, on the pictures of each fold, which neither the steps nor the choice of the "
            "best model saw; of every other picture a part was held out for that choice.",
            "The interval allows for training pictures that folds share (Nadeau and Bengio 2003).",
        ]
        if not self.is_complete:
            notes.insert(0, f"{len(self.folds)} of {self.num_folds} folds are finished.")
        return notes

    def to_table(self) -> Group:
        """Return the folds and their mean as a rich table, ready to be printed."""
        from rich.console import Group
        from rich.padding import Padding
        from rich.table import Table

        table = Table(title=f"Cross-validation over {self.num_folds} folds, in %")
        for heading in self.headings():
            is_first = heading == "fold"
            table.add_column(heading, justify="left" if is_first else "right", no_wrap=is_first)
        rows = self.rows()
        for place, row in enumerate(rows):
            table.add_row(*row, end_section=place == len(rows) - 5)
        return Group(table, *(Padding(note, (0, 1)) for note in self.notes()))

    def to_markdown(self, title: str) -> str:
        """Return the same as a page of Markdown.

        Args:
            title: What was cross-validated.
        """
        headings = self.headings()
        lines = [f"# {markdown_cell(title)}", "", " | ".join(["", *headings, ""]).strip()]
        lines.append("|---|" + "---:|" * (len(headings) - 1))
        lines += [" | ".join(["", *row, ""]).strip() for row in self.rows()]
        return "\n".join([*lines, "", *self.notes(), ""])

    @property
    def _shown(self) -> list[tuple[str, str]]:
        first = self.folds[0].scores if self.folds else {}
        return [(kind, name) for kind, name in _SHOWN if name in first.get(kind, {})]


def _or_nothing(value: float | None) -> str:
    return "" if value is None else percent(value)
