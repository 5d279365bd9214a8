"""The one form of result of LVIS, panoptic, counting and agnostic metrics.

A share is in [0, 1] and -1 where it is undefined; a number counted in objects is None there,
since -1 object is a value. Nothing is ever NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from maskwright.evaluation.resampling import Interval

if TYPE_CHECKING:
    from rich.console import Group

__all__ = ["FamilyMetrics"]


@dataclass(frozen=True, kw_only=True)
class FamilyMetrics:
    """Numbers with intervals, and tables of them by class or by size.

    Args:
        family: "lvis", "panoptic", "counting" or "agnostic".
        title: What the numbers are, for people.
        numbers: By name.
        meanings: Number or column -> what it is, in a few words.
        intervals: Number -> its 95 % bootstrap interval over pictures; empty without.
        tables: Title -> row -> column -> value: numbers of classes or sizes.
        table_intervals: Title -> row -> interval of the first column.
        in_objects: Numbers and columns that count objects and are no shares.
        num_images: Pictures of the truth.
        notes: What a reader must know, in sentences.
    """

    family: str
    title: str
    numbers: Mapping[str, float | None]
    meanings: Mapping[str, str]
    intervals: Mapping[str, Interval]
    tables: Mapping[str, Mapping[str, Mapping[str, float | None]]]
    table_intervals: Mapping[str, Mapping[str, Interval]] = field(default_factory=dict)
    in_objects: frozenset[str] = frozenset()
    num_images: int
    notes: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> float | None:
        return self.numbers[name]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, all finite, ready for json."""
        return {
            "numbers": dict(self.numbers),
            "intervals": {name: list(ends) for name, ends in self.intervals.items()},
            "tables": {
                title: {
                    row: dict(columns)
                    | (
                        {"interval": list(self.table_intervals[title][row])}
                        if row in self.table_intervals.get(title, {})
                        else {}
                    )
                    for row, columns in rows.items()
                }
                for title, rows in self.tables.items()
            },
            "images": self.num_images,
            "notes": list(self.notes),
        }

    def to_table(self) -> Group:
        """Return the numbers as rich tables, ready to be printed."""
        from maskwright.evaluation.family_tables import family_tables

        return family_tables(self)
