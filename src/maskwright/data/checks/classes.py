"""Checks of the classes: their names, how many objects they have and of what sort."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from jaxtyping import Int64

from maskwright.data.checks.check import Defect
from maskwright.data.checks.survey import Survey

__all__ = [
    "boxes_for_masks",
    "differing_classes",
    "imbalanced_class",
    "mostly_crowd",
    "names_alike",
    "untrained_class",
    "unused_class",
]

_RARE_SHARE = 0.01
"""Of the most frequent class: below it detectors trained on pictures as they come hardly learn a
class, which is why LVIS samples such pictures more often."""
_FEW = 10
_RECTANGLES = 0.5


def unused_class(survey: Survey) -> Iterator[Defect]:
    """Find classes that are listed and have no object anywhere."""
    for name, counts in _counts(survey).items():
        if not counts.sum():
            yield Defect(detail=name)


def imbalanced_class(survey: Survey) -> Iterator[Defect]:
    """Find classes with few objects in all, or very few beside the most frequent one."""
    totals = {name: int(counts.sum()) for name, counts in _counts(survey).items()}
    most = max(totals, key=lambda name: totals[name])
    for name, count in totals.items():
        if 0 < count < _RARE_SHARE * totals[most]:
            yield Defect(detail=f"{name}: {count} objects, {most} has {totals[most]}")
        elif 0 < count < _FEW:
            yield Defect(detail=f"{name}: {count} objects in all")


def untrained_class(survey: Survey) -> Iterator[Defect]:
    """Find classes of later parts that the first one, taken for training, has no object of."""
    names = [part.name for part in survey.parts]
    for name, counts in _counts(survey).items():
        for number in np.flatnonzero(counts[1:]).tolist():
            if not counts[0]:
                detail = f"{name}: {counts[number + 1]} objects, none in {names[0]}"
                yield Defect(detail=detail, part=number + 1)


def differing_classes(survey: Survey) -> Iterator[Defect]:
    """Find parts that do not list the classes of the first."""
    first = survey.parts[0]
    for number, part in enumerate(survey.parts[1:], start=1):
        more = sorted(set(part.class_names) - set(first.class_names))
        less = sorted(set(first.class_names) - set(part.class_names))
        words = [
            f"{verb} {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}"
            for verb, names in (("has also", more), ("lacks", less))
            if names
        ]
        if words:
            yield Defect(detail=f"{part.name} {' and '.join(words)}", part=number)


def names_alike(survey: Survey) -> Iterator[Defect]:
    """Find class names that differ only by case, spaces, hyphens or underscores."""
    by_letters: defaultdict[str, list[str]] = defaultdict(list)
    for name in _counts(survey):
        by_letters[_letters(name)].append(name)
    for names in by_letters.values():
        if len(names) > 1:
            yield Defect(detail=" and ".join(map(repr, names)))


def mostly_crowd(survey: Survey) -> Iterator[Defect]:
    """Find classes of which most objects are marked as crowds."""
    for number, part in enumerate(survey.parts):
        index = part.inspected.index
        crowds, all_of_it = part.counts(index.is_crowd), part.counts(~index.is_empty)
        for label in np.flatnonzero(2 * crowds > all_of_it).tolist():
            yield Defect(
                detail=f"{part.class_names[label]}: {crowds[label]} of {all_of_it[label]} are "
                f"marked as crowds",
                part=number,
                items=tuple(np.flatnonzero(index.is_crowd & (index.labels == label)).tolist()),
            )


def boxes_for_masks(survey: Survey) -> Iterator[Defect]:
    """Find classes of which most masks are full rectangles: boxes that pass for masks."""
    for number, part in enumerate(survey.parts):
        boxes, solid = part.counts(part.is_rectangle & part.is_solid), part.counts(part.is_solid)
        for label in np.flatnonzero((boxes > _RECTANGLES * solid) & (solid >= 3)).tolist():
            chosen = part.is_rectangle & (part.inspected.index.labels == label)
            yield Defect(
                detail=f"{part.class_names[label]}: {boxes[label]} of {solid[label]} masks are "
                f"full boxes",
                part=number,
                items=tuple(np.flatnonzero(chosen & part.is_solid).tolist()),
            )


def _counts(survey: Survey) -> dict[str, Int64[np.ndarray, " parts"]]:
    """Return how many solid objects each class name has in each part."""
    counts: defaultdict[str, Int64[np.ndarray, " parts"]] = defaultdict(
        lambda: np.zeros(len(survey.parts), np.int64)
    )
    for number, part in enumerate(survey.parts):
        of_part = part.counts(part.is_solid | part.inspected.index.is_crowd)
        for name, count in zip(part.class_names, of_part.tolist(), strict=True):
            counts[name][number] += count
    return counts


def _letters(name: str) -> str:
    """Return what is left of a name without case, spaces, hyphens and underscores."""
    return re.sub(r"[\s_\-]+", "", unicodedata.normalize("NFKC", name).casefold())
