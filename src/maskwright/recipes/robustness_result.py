"""What a measurement of robustness found: numbers, their means, a table, CSV rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from maskwright.evaluation.resampling import Interval

if TYPE_CHECKING:
    from rich.console import Group

__all__ = ["Cell", "Robustness", "mean_under_corruption"]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One corruption at one strength.

    Args:
        corruption: Its name.
        strength: From 1 to 5.
        numbers: Kind ("segm", "boundary", "bbox") -> AP, AP50, AP75, AR100; -1 where undefined.
    """

    corruption: str
    strength: int
    numbers: Mapping[str, Mapping[str, float]]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for json."""
        return {
            "corruption": self.corruption,
            "strength": self.strength,
            "numbers": {kind: dict(own) for kind, own in self.numbers.items()},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Cell:
        """Return the cell that `as_dict` wrote."""
        return cls(
            corruption=values["corruption"],
            strength=values["strength"],
            numbers=values["numbers"],
        )


@dataclass(frozen=True, kw_only=True)
class Robustness:
    """How well a model holds out.

    Args:
        clean: Kind -> numbers on the pictures as they are.
        clean_intervals: Kind -> 95 % bootstrap interval of the clean AP; empty without.
        cells: The corruptions and strengths that were asked for.
        num_images: Pictures that each number is over.
        max_detections: Detections per picture that count, the same for all.
    """

    clean: Mapping[str, Mapping[str, float]]
    clean_intervals: Mapping[str, Interval]
    cells: tuple[Cell, ...]
    num_images: int
    max_detections: int

    @property
    def main_kind(self) -> str:
        """Masks, or boxes where there are none."""
        return "segm" if "segm" in self.clean else "bbox"

    def ap(self, kind: str | None = None) -> dict[str, dict[int, float]]:
        """Return corruption -> strength -> AP of this kind; None: `main_kind`."""
        kind = kind or self.main_kind
        table: dict[str, dict[int, float]] = {}
        for cell in self.cells:
            table.setdefault(cell.corruption, {})[cell.strength] = cell.numbers[kind]["AP"]
        return table

    def mpc(self, kind: str | None = None) -> float:
        """Return the mean AP under corruption; -1 where there is none."""
        return mean_under_corruption(self.ap(kind))

    def rpc(self, kind: str | None = None) -> float:
        """Return mPC over the clean AP; -1 where either is undefined or the clean AP is 0."""
        clean, mpc = self.clean[kind or self.main_kind]["AP"], self.mpc(kind)
        return mpc / clean if clean > 0 and mpc >= 0 else -1.0

    def summary(self) -> dict[str, dict[str, Any]]:
        """Return kind -> clean AP, its interval, mPC and rPC, plain values."""
        summary: dict[str, dict[str, Any]] = {}
        for kind in self.clean:
            ends = self.clean_intervals.get(kind)
            summary[kind] = {
                "clean_AP": self.clean[kind]["AP"],
                "clean_AP_interval": None if ends is None else list(ends),
                "mPC": self.mpc(kind),
                "rPC": self.rpc(kind),
                "by_corruption": {
                    name: _mean(list(row.values())) for name, row in self.ap(kind).items()
                },
            }
        return summary

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values, all finite, ready for json."""
        return {
            "clean": {kind: dict(own) for kind, own in self.clean.items()},
            "summary": self.summary(),
            "results": [cell.as_dict() for cell in self.cells],
            "pictures": self.num_images,
            "max_detections": self.max_detections,
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return a row per corruption and strength, the clean pictures first as strength 0."""
        rows = [_row("clean", 0, self.clean)]
        return rows + [_row(cell.corruption, cell.strength, cell.numbers) for cell in self.cells]

    def to_table(self) -> Group:
        """Return the numbers as rich tables, ready to be printed."""
        from maskwright.recipes.robustness_tables import robustness_tables

        return robustness_tables(self)


def mean_under_corruption(table: Mapping[str, Mapping[int, float]]) -> float:
    """Return the mean over corruptions of the mean over their strengths; -1 for none.

    Undefined numbers (-1: no true objects are left) are left out.

    >>> mean_under_corruption({"fog": {1: 0.4, 2: 0.2}, "jpeg": {1: 0.5}})
    0.4
    """
    return _mean([_mean(list(row.values())) for row in table.values()])


def _mean(values: Sequence[float]) -> float:
    defined = [value for value in values if value >= 0]
    return sum(defined) / len(defined) if defined else -1.0


def _row(
    corruption: str, strength: int, numbers: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    flat = {f"{kind}_{name}": value for kind, own in numbers.items() for name, value in own.items()}
    return {"corruption": corruption, "strength": strength} | flat
