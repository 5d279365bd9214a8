"""What a benchmark has measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from maskwright.recipes.benchmark.agreement import Agreement
from maskwright.recipes.benchmark.machine import Peak

if TYPE_CHECKING:
    from rich.console import Group

__all__ = ["Bench", "MeasuredSide", "Ratio"]


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """How many times as fast as the reference: over pairs of neighbouring predictions.

    Args:
        median: Over all rounds and pictures.
        low: A tenth of the pairs is below.
        high: A tenth of the pairs is above.
    """

    median: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class MeasuredSide:
    """One side: a model in a runtime, or another library.

    Args:
        name: What it is called in tables.
        milliseconds: From picture file to COCO results, median over rounds and pictures,
        fastest: the quickest prediction
        slowest: and the slowest.
        processor_ms: Of all threads together, median.
        pictures_per_second: Pictures over the sum of all times.
        stages: Milliseconds by stage, medians; "other" is what no stage counted.
        ratio: Against the reference.
        gigaflops_per_second: The counted arithmetic of the model over the time of the whole.
        objects: Found in all pictures.
        loaded_mib: Resident memory with the model open, before the first prediction; None where
            the system does not tell, and so are the other two.
        peak_mib: The most that was resident from then on.
        above_mib: The difference: what predicting takes, packed weights included.
        agreement: With the reference; None for itself, and where weights are others.
    """

    name: str
    milliseconds: float
    fastest: float
    slowest: float
    processor_ms: float
    pictures_per_second: float
    stages: Mapping[str, float]
    ratio: Ratio
    gigaflops_per_second: float | None
    objects: int
    loaded_mib: float | None
    peak_mib: float | None
    above_mib: float | None
    agreement: Agreement | None


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Sides that predicted the same pictures in turn.

    Args:
        model: As it was named.
        sides: In the order in which they were asked for.
        reference: Name of the side that ratios are against.
        machine: Processor, threads, versions.
        peak: The most that the machine computes.
        gigaflops: Of the model on the pictures, their mean, by part, in 10^9 multiplications and
            additions; empty where they were not counted.
        pictures: How many there were.
        rounds: How often each side predicted each of them, but for the warm-up.
        notes: What a reader should know.
    """

    model: str
    sides: tuple[MeasuredSide, ...]
    reference: str
    machine: Mapping[str, Any]
    peak: Peak
    gigaflops: Mapping[str, float]
    pictures: int
    rounds: int
    notes: tuple[str, ...] = ()

    def side(self, name: str) -> MeasuredSide:
        """Return the side of that name."""
        return next(each for each in self.sides if each.name == name)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for json."""
        return dataclasses.asdict(self)

    def to_tables(self) -> Group:
        """Return rich tables, ready to be printed."""
        from rich.console import Group

        from maskwright.recipes.benchmark.tables import bench_tables

        return Group(*bench_tables(self))
