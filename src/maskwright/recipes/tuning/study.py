"""What a study found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from maskwright.recipes.tuning.search_space import Value

if TYPE_CHECKING:
    from rich.console import Group

__all__ = ["State", "Study", "Tried"]

State: TypeAlias = Literal["complete", "pruned", "failed", "interrupted", "running"]


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A trial.

    Args:
        number: From 0, in the order in which they were begun.
        state: "complete"; "pruned", ended early since it would not have become the best;
            "failed"; "interrupted", for its process died and a later trial goes on with its run;
            or "running".
        score: The best validation score so far; None without one.
        values: What was tried.
        curve: Number of the validation -> its score.
        steps: Optimiser steps.
        seconds: Wall clock.
        reason: Why it failed.
    """

    number: int
    state: State
    score: float | None
    values: Mapping[str, Value]
    curve: Mapping[int, float] = field(default_factory=dict)
    steps: int = 0
    seconds: float = 0.0
    reason: str = ""

    @property
    def is_finished(self) -> bool:
        """Whether it counts among the trials that were asked for."""
        return self.state in ("complete", "pruned", "failed")

    @property
    def run(self) -> str:
        """Its run folder, inside the study's."""
        return f"trials/{self.number:04d}"


@dataclass(frozen=True, kw_only=True)
class Study:
    """All trials of a study, and what follows from them.

    Args:
        path: The study's folder.
        metric: What the score is called: "mask AP" or "mIoU".
        trials: In the order in which they were begun.
        importances: Option -> its share in the differences of scores, the largest first; {} where
            there are too few trials to say.
        evaluations: Validations of a training; of fewer trials than that were ended early.
        is_first_plain: Trial 0 does what `train` does by itself, in all that is searched.
        command: How to train with the best values, for people.
        test: The same score of the best model on pictures that nothing was chosen on; None
            where there are none.
        notes: What a reader must know about the numbers.
    """

    path: Path
    metric: str
    trials: tuple[Tried, ...]
    importances: Mapping[str, float]
    evaluations: int
    is_first_plain: bool = False
    command: str = ""
    test: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def best(self) -> Tried | None:
        """The complete trial with the highest score, the first of equal ones."""
        done = [one for one in self.trials if one.state == "complete" and one.score is not None]
        return max(done, key=lambda one: (one.score, -one.number), default=None)

    @property
    def failures(self) -> tuple[Tried, ...]:
        """The trials that failed."""
        return tuple(one for one in self.trials if one.state == "failed")

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON knows it."""
        best = self.best
        return {
            "study": str(self.path),
            "metric": self.metric,
            "best": None if best is None else best.number,
            "score": None if best is None else best.score,
            "values": None if best is None else dict(best.values),
            "test": self.test,
            "model": None if best is None else str(self.path / "best" / "best.safetensors"),
            "command": self.command,
            "importances": dict(self.importances),
            "trials": [asdict(one) | {"run": one.run} for one in self.trials],
            "notes": list(self.notes),
        }

    def to_table(self) -> Group:
        """Return the trials, the best first, and what matters, ready to be printed by rich."""
        from maskwright.recipes.tuning.tables import study_tables

        return study_tables(self)
