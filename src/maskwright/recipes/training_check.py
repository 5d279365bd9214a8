"""The outcome of overfitting one batch: numbers, verdict, hints, and how they are shown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from maskwright.recipes.refinding import Refound

if TYPE_CHECKING:
    from rich.console import Group

__all__ = ["FALLEN", "TrainingCheck"]

FALLEN = 0.7
"""A loss that ends below this share of its beginning has fallen. On one batch, seen again and
again, losses of a training that works end at 0.1 to 0.5 of where they began."""

_REFOUND = 0.5
"""Half of the truth must come back; in the few steps of a check not all of it does."""


@dataclass(frozen=True, kw_only=True)
class TrainingCheck:
    """Whether a training can learn one batch by heart.

    Args:
        pictures: Names of the pictures of the batch.
        steps: Optimiser steps taken.
        seconds: Wall clock of the check.
        first: Each loss at the beginning (a mean over the first steps).
        last: Each loss at the end, likewise.
        refound: What the model gives back of the pictures afterwards.
        rates: Learning rate -> what share of its beginning the loss came to in a short trial;
            tried only where the loss does not fall.
        failure: Why the steps broke off, such as a loss that is not finite; None if they did not.
        hints: What to look at or to change, as sentences; empty where all is well.
    """

    pictures: tuple[str, ...]
    steps: int
    seconds: float
    first: Mapping[str, float]
    last: Mapping[str, float]
    refound: Refound
    rates: Mapping[float, float] = field(default_factory=dict)
    failure: str | None = None
    hints: tuple[str, ...] = ()

    @property
    def ratio(self) -> float:
        """The whole loss at the end as a share of that at the beginning; infinite after a failure.

        >>> check = TrainingCheck(
        ...     pictures=("a.png",), steps=60, seconds=20.0, first={"box": 1.5, "mask": 0.5},
        ...     last={"box": 0.1, "mask": 0.1}, refound=Refound(num_objects=3, num_found=3, share=1)
        ... )
        >>> check.ratio, check.passed
        (0.1, True)
        """
        begin, end = math.fsum(self.first.values()), math.fsum(self.last.values())
        return end / begin if begin > 0 and self.failure is None else math.inf

    @property
    def loss_falls(self) -> bool:
        """Whether the loss came down by a third, about."""
        return self.ratio <= FALLEN

    @property
    def passed(self) -> bool:
        """Whether the loss falls and the objects are found again."""
        return self.loss_falls and self.refound.share >= _REFOUND

    def verdict(self) -> str:
        """Return one sentence: what happened, and whether it is well."""
        if self.failure is not None:
            return f"This training does not learn: {self.failure}"
        begin, end = math.fsum(self.first.values()), math.fsum(self.last.values())
        loss = f"the loss went from {begin:.3g} to {end:.3g} in {self.steps} steps"
        what = self.refound.describe()
        if self.passed:
            return f"This training can learn: {loss}, and {what}."
        if self.loss_falls:
            return f"The loss falls, but too little comes back: {loss}, and {what}."
        return f"This training does not learn: {loss}, and {what}."

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON knows it."""
        numbers = asdict(self) | {"rates": {f"{k:g}": v for k, v in self.rates.items()}}
        ratio = self.ratio if math.isfinite(self.ratio) else None
        return numbers | {"passed": self.passed, "ratio": ratio, "verdict": self.verdict()}

    def to_table(self) -> Group:
        """Return losses, objects, verdict and hints as rich tables, ready to be printed."""
        from rich.console import Group
        from rich.padding import Padding
        from rich.table import Table
        from rich.text import Text

        count = f"{len(self.pictures)} picture{'s' * (len(self.pictures) != 1)}"
        table = Table(title=f"One batch of {count}, {self.steps} steps, {self.seconds:.0f} s")
        for heading, side in (("loss", "left"), ("first", "right"), ("last", "right")):
            table.add_column(heading, justify=side)  # type: ignore[arg-type]
        table.add_column("last / first", justify="right")
        rows = {"all": (math.fsum(self.first.values()), math.fsum(self.last.values()))}
        rows |= {name: (self.first[name], self.last.get(name, math.nan)) for name in self.first}
        for name, (begin, end) in rows.items():
            share = f"{end / begin:.0%}" if begin > 0 and math.isfinite(end) else "n/a"
            table.add_row(Text(name), f"{begin:.3g}", f"{end:.3g}", share)
        sentences = [self.verdict(), *(f"Hint: {hint}" for hint in self.hints)]
        return Group(table, *(Padding(Text(sentence), (0, 1)) for sentence in sentences))
