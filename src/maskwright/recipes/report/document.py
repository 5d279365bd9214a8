"""What a report is made of, before it is HTML or Markdown: sections of blocks.

Every number stands here as the text that people read; `EvaluationReport.numbers` (`report.py`)
holds the values. Pictures are arrays and plots are figures; whoever writes the report encodes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeAlias

import numpy as np
from jaxtyping import UInt8

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "Block",
    "Crop",
    "Crops",
    "Facts",
    "Heading",
    "Headline",
    "Pair",
    "Pairs",
    "Plot",
    "Section",
    "Table",
    "Text",
    "headed_table",
]

_MOST_ROWS = 100
"""Rows of a table up to which a page shows all: a page of LVIS would have 1,203 in each table."""

_WIDE_INCHES = 8.5


@dataclass(frozen=True, kw_only=True)
class Headline:
    """A number of the first look: its name, the number as text, and what to know about it."""

    label: str
    value: str
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Text:
    """Paragraphs."""

    kind: ClassVar[str] = "text"
    folded: ClassVar[bool] = False
    paragraphs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Heading:
    """A heading inside a section."""

    kind: ClassVar[str] = "heading"
    folded: ClassVar[bool] = False
    text: str


@dataclass(frozen=True, kw_only=True)
class Table:
    """Cells as text; the first column names the rows.

    Args:
        caption: What the table shows.
        columns: Headings.
        rows: As many cells each as there are columns.
        num_text: How many of the first columns are words; the others are numbers.
        note: Below it.
        folded: Shown when asked for.
    """

    kind: ClassVar[str] = "table"
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    num_text: int = 1
    note: str = ""
    folded: bool = False


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Names with values."""

    kind: ClassVar[str] = "facts"
    folded: ClassVar[bool] = False
    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Plot:
    """A figure. `alt` says in words what it shows; `name` is its file's."""

    kind: ClassVar[str] = "plot"
    folded: ClassVar[bool] = False
    name: str
    alt: str
    caption: str
    figure: Figure

    @property
    def is_narrow(self) -> bool:
        """Whether two like it fit beside each other on a wide screen."""
        return bool(self.figure.get_figwidth() < _WIDE_INCHES)


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """One picture twice, with its true and with its found objects; both of one size."""

    name: str
    heading: str
    caption: str
    truth: UInt8[np.ndarray, "h w 3"]
    found: UInt8[np.ndarray, "h w 3"]
    truth_alt: str
    found_alt: str

    @property
    def height(self) -> int:
        """Of both pictures, in pixels."""
        return int(self.truth.shape[0])

    @property
    def width(self) -> int:
        """Of both pictures, in pixels."""
        return int(self.truth.shape[1])


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """Pictures to be compared side against side."""

    kind: ClassVar[str] = "pairs"
    folded: ClassVar[bool] = False
    pairs: tuple[Pair, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Crop:
    """The surroundings of one object, once per side of `Crops`."""

    name: str
    heading: str
    caption: str
    pictures: tuple[UInt8[np.ndarray, "h w 3"], ...]
    alts: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Crops:
    """A list of objects, each with its surroundings."""

    kind: ClassVar[str] = "crops"
    folded: ClassVar[bool] = False
    crops: tuple[Crop, ...]
    sides: tuple[str, ...] = ("picture", "truth", "found")


Block: TypeAlias = Text | Heading | Table | Facts | Plot | Pairs | Crops


@dataclass(frozen=True, kw_only=True, eq=False)
class Section:
    """A part of the report with a heading that can be linked to."""

    slug: str
    title: str
    intro: str = ""
    blocks: tuple[Block, ...]

    def plots(self) -> Iterator[Plot]:
        """Yield the figures."""
        yield from (block for block in self.blocks if isinstance(block, Plot))

    def pictures(self) -> Iterator[tuple[str, UInt8[np.ndarray, "h w 3"], bool]]:
        """Yield the name of each picture, its pixels, and whether it is a small crop."""
        for block in self.blocks:
            if isinstance(block, Pairs):
                for pair in block.pairs:
                    yield f"{pair.name}_truth", pair.truth, False
                    yield f"{pair.name}_found", pair.found, False
            elif isinstance(block, Crops):
                for crop in block.crops:
                    for side, picture in zip(block.sides, crop.pictures, strict=True):
                        yield f"{crop.name}_{side}", picture, True


def headed_table(
    caption: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    num_text: int = 1,
    note: str = "",
    folded: bool = False,
) -> Table:
    """Return a table of the first hundred rows, with a note where there are more."""
    if len(rows) > _MOST_ROWS:
        cut = f"The first {_MOST_ROWS} of {len(rows)} rows; the JSON file holds all."
        note = f"{note} {cut}".strip()
    return Table(
        caption=caption,
        columns=tuple(columns),
        rows=tuple(tuple(row) for row in rows[:_MOST_ROWS]),
        num_text=num_text,
        note=note,
        folded=folded,
    )
