"""What readers refuse: raised at once, or written down by those who want to see everything."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from maskwright.errors import AnnotationError

__all__ = ["Fault", "FaultError", "FaultKind", "FaultLog"]

FaultKind = Literal[
    "entry-broken",
    "id-twice",
    "mask-missing",
    "polygon-broken",
    "reference-unknown",
    "run-length-broken",
]
"""Sorts of entries that no object can be made of, named as `maskwright data check` names them."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One entry that a reader refused.

    Args:
        kind: The sort of defect.
        problem: What came and what was wanted, without the file.
        picture: Name of its picture; "" where that is not known.
        annotation_id: The source's id of it; None where it is no annotation or has none.
    """

    kind: FaultKind
    problem: str
    picture: str = ""
    annotation_id: int | None = None


@dataclass
class FaultLog:
    """Collects faults where a reader was told to go on: the entry is left out.

    A reader without a log raises at the first fault.
    """

    faults: list[Fault] = field(default_factory=list)

    def add(
        self,
        kind: FaultKind,
        problem: str,
        *,
        picture: str = "",
        annotation_id: int | None = None,
    ) -> None:
        """Write a fault down."""
        self.faults.append(
            Fault(kind=kind, problem=problem, picture=picture, annotation_id=annotation_id)
        )


class FaultError(AnnotationError):
    """A refused entry with the sort of its defect, on the way to the error or to the log."""

    def __init__(self, kind: FaultKind, problem: str) -> None:
        super().__init__(problem)
        self.kind = kind
