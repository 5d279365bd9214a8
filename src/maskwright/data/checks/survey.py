"""What is remembered of all pictures for the checks that look at everything together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int64

from maskwright.data.checks.check import Defect, Place
from maskwright.data.checks.picture import Header, Picture
from maskwright.data.fingerprints import Fingerprints, fingerprint_pictures
from maskwright.data.likeness import Duplicates, find_duplicates
from maskwright.data.opening import Inspected

__all__ = ["Part", "PictureFacts", "Survey"]


@dataclass(frozen=True, kw_only=True)
class PictureFacts:
    """What is kept of one picture.

    Args:
        place: Which it is.
        file_name: As listed.
        path: Where it lies.
        header: None where it cannot be read.
        fits: Whether file and annotations agree on its size; None where it cannot be read.
        prints: For finding duplicates; None where it cannot be read.
        is_constant: Whether it is of one colour; such pictures all look alike.
        num_objects: Solid objects, crowds left out.
    """

    place: Place
    file_name: str
    path: Path
    header: Header | None
    fits: bool | None
    prints: Fingerprints | None
    is_constant: bool
    num_objects: int

    @classmethod
    def of(cls, picture: Picture) -> PictureFacts:
        """Return the facts of a picture, whose pixels are at hand."""
        pixels = picture.pixels
        prints = fingerprint_pictures([pixels]) if isinstance(pixels, np.ndarray) else None
        return cls(
            place=picture.place,
            file_name=picture.file_name,
            path=picture.path,
            header=picture.header if isinstance(picture.header, Header) else None,
            fits=picture.fits,
            prints=prints,
            is_constant=picture.is_constant,
            num_objects=len(picture.where_solid),
        )


@dataclass(frozen=True, kw_only=True)
class Part:
    """One DATA: its name, its annotations and what is remembered of its objects.

    Args:
        name: What people call it.
        inspected: Its annotations.
        is_rectangle: (n,) True for objects whose mask is a full box.
        pictures: The facts, in order.
    """

    name: str
    inspected: Inspected
    is_rectangle: Bool[np.ndarray, " n"]
    pictures: list[PictureFacts] = field(default_factory=list)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names by label."""
        return self.inspected.index.class_names

    def counts(self, chosen: Bool[np.ndarray, " n"]) -> Int64[np.ndarray, " k"]:
        """Count the chosen objects by label."""
        labels = self.inspected.index.labels[chosen]
        counts: np.ndarray = np.bincount(labels, minlength=len(self.class_names))
        return counts

    @property
    def is_solid(self) -> Bool[np.ndarray, " n"]:
        """True for objects that are trained on: neither crowds nor empty."""
        solid: np.ndarray = ~(self.inspected.index.is_crowd | self.inspected.index.is_empty)
        return solid


@dataclass(kw_only=True)
class Survey:
    """All parts together.

    Args:
        parts: In the order in which they were named; the first is taken for training.
        group_pattern: Finds the group of a picture in its file name; "" for no groups.
        unreadable: Name of, and problem with, each part whose annotations cannot be read.
    """

    parts: list[Part]
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    group_pattern: str = ""

    def pictures(self) -> Iterator[PictureFacts]:
        """Yield the pictures of all parts."""
        for part in self.parts:
            yield from part.pictures

    @cached_property
    def readable(self) -> list[PictureFacts]:
        """The pictures that could be read."""
        return [facts for facts in self.pictures() if facts.prints is not None]

    @cached_property
    def alike(self) -> Duplicates:
        """Which of `readable` are the same or look alike."""
        prints = [facts.prints for facts in self.readable if facts.prints is not None]
        return find_duplicates(Fingerprints.concatenate(prints))

    def defect(self, facts: PictureFacts, detail: str, *others: PictureFacts) -> Defect:
        """Return a defect of one picture that concerns others too."""
        return Defect(
            detail=detail,
            part=facts.place.part,
            file_name=facts.file_name,
            place=facts.place,
            others=tuple(other.place for other in others),
        )

    def name_of(self, facts: PictureFacts) -> str:
        """Name a picture in a message, with its part where there are several."""
        part = self.parts[facts.place.part].name
        return f"{facts.file_name!r} of {part}" if len(self.parts) > 1 else repr(facts.file_name)
