"""The table beside label maps and mask files that says classes and scores: `objects.csv`.

Either as `predict` writes it (columns file_name, object, class, score) or as the dataset format of
label maps has it (map, value, class), with a column score.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from maskwright.errors import EvaluationError

__all__ = ["ObjectTable", "score_of"]


@dataclass(frozen=True)
class ObjectTable:
    """What an objects.csv says of objects.

    Args:
        rows: (name of the map or picture, number of the object) -> the cells of its row.
        has_scores: Whether any row has a score.
    """

    rows: Mapping[tuple[str, int], Mapping[str, str]]
    has_scores: bool

    @classmethod
    def of(cls, folder: Path) -> ObjectTable:
        """Read the table in a folder or beside it; an empty one where there is none.

        Raises:
            EvaluationError: It lacks a column, or holds what is no number.
        """
        for path in (folder / "objects.csv", folder.parent / "objects.csv"):
            if path.is_file():
                return cls._read(path)
        return cls({}, False)

    @classmethod
    def _read(cls, path: Path) -> ObjectTable:
        rows: dict[tuple[str, int], Mapping[str, str]] = {}
        has_scores = False
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                for row in csv.DictReader(file, strict=True):
                    name = row["map"] if "map" in row else row["file_name"]
                    number = row["value"] if "value" in row else row["object"]
                    rows[PurePosixPath(name).name, int(number)] = row
                    has_scores |= bool(row.get("score"))
        except (KeyError, ValueError, TypeError, csv.Error) as problem:
            raise EvaluationError(
                f"{path}: after {len(rows)} objects: {problem!r}; wanted the columns map, value, "
                "class, or those that predict writes"
            ) from problem
        return cls(rows, has_scores)

    def at(self, *keys: tuple[str, int]) -> Mapping[str, str]:
        """Return the cells of the first of these objects that is listed; {} for none."""
        for name, number in keys:
            row = self.rows.get((PurePosixPath(name).name, number))
            if row is not None:
                return row
        return {}


def score_of(word: str, where: str) -> float:
    """Return a score that is written as text, or raise where it is no number."""
    try:
        return float(word)
    except ValueError as problem:
        raise EvaluationError(f"{where}: the score is {word!r:.40}, wanted a number") from problem
