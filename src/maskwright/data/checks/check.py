"""What a check is: one small idea about what may be wrong with annotated pictures.

A check is a function that yields the defects it finds and one line in `table.py` that gives it
its name, its weight and its remedy. There are two sorts: a `PictureCheck` looks at one picture
with its objects (a `Picture`, decoded once for all of them); a `WholeCheck` looks at everything
together (a `Survey`), after the pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from maskwright.data.checks.picture import Picture
    from maskwright.data.checks.survey import Survey

__all__ = ["Check", "Defect", "PictureCheck", "Place", "Remedy", "Severity", "WholeCheck"]

Severity = Literal["error", "warning", "note"]
"""error: training or scoring goes wrong; warning: likely a mistake; note: worth knowing."""

Remedy = Literal[
    "",
    "drop objects",
    "drop picture",
    "turn picture",
    "set size",
    "measure",
    "clip",
    "number anew",
    "leave out",
]
"""What `--fix` does: nothing, or the least that makes the data right.

"drop objects" and "drop picture" leave them out; "turn picture" saves it as its objects see it,
without an EXIF turn; "set size" states the size of the file; "measure" states box and area of the
mask; "clip" keeps what is inside the picture; "number anew" gives ids that differ; "leave out" is
for entries that no object can be made of.
"""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A picture of one of the parts that were checked.

    Args:
        part: Position of the part: 0 for the first DATA.
        picture: Position of the picture there.
    """

    part: int
    picture: int


@dataclass(frozen=True, kw_only=True)
class Defect:
    """One thing that a check found.

    Args:
        detail: What came and what was wanted, a clause.
        part: Position of the part it is in; None where it is about all of them.
        file_name: Its picture; "" where it is about no single one.
        place: Where that picture is, which "drop picture" drops; None where it is not listed.
        items: Positions of the objects concerned in the part's index.
        annotation_ids: The source's ids of the objects or entries concerned.
        others: Other pictures concerned, such as the first of two duplicates.
        remedy: What `--fix` does about this one; None for what it does about the check's.
        drop: The objects that "drop objects" drops; None for `items`.
    """

    detail: str
    part: int | None = None
    file_name: str = ""
    place: Place | None = None
    items: tuple[int, ...] = ()
    annotation_ids: tuple[int, ...] = ()
    others: tuple[Place, ...] = ()
    remedy: Remedy | None = None
    drop: tuple[int, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Check:
    """What all checks state.

    Args:
        name: What the command line, the JSON and the page call it.
        severity: How bad it is.
        title: What was found, as a heading.
        mend: How to mend it, a sentence.
        remedy: What `--fix` does.
    """

    name: str
    severity: Severity
    title: str
    mend: str
    remedy: Remedy = ""

    def as_dict(self) -> dict[str, str]:
        """Return what it states as plain values, ready for JSON."""
        return {
            "check": self.name,
            "severity": self.severity,
            "title": self.title,
            "mend": self.mend,
            "fix": self.remedy,
        }


@dataclass(frozen=True, kw_only=True)
class PictureCheck(Check):
    """A check of one picture and its objects.

    Args:
        find: Yields the defects of a picture.
        of_objects: True for a check of objects, which is left out where the picture has not the
            annotated size: nobody knows where they lie then, and the size is reported.
    """

    find: Callable[[Picture], Iterator[Defect]] = field(repr=False)
    of_objects: bool = False


@dataclass(frozen=True, kw_only=True)
class WholeCheck(Check):
    """A check of everything together.

    Args:
        find: Yields the defects of all parts.
    """

    find: Callable[[Survey], Iterator[Defect]] = field(repr=False)
