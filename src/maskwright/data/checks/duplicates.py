"""Pictures that are the same or nearly, within a part and across parts.

Of two equal pictures the defect is that of the one that can go: in one part the one with fewer
objects, across parts the earlier part's, so that what scores are measured on stays as it is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from maskwright.data.checks.check import Defect
from maskwright.data.checks.survey import PictureFacts, Survey

__all__ = [
    "duplicate_across",
    "duplicate_within",
    "near_duplicate_across",
    "near_duplicate_within",
]


def duplicate_within(survey: Survey) -> Iterator[Defect]:
    """Find pictures of one part with the same pixels as another with as many objects or more."""
    for copies in _equal(survey):
        by_part: defaultdict[int, list[PictureFacts]] = defaultdict(list)
        for facts in copies:
            by_part[facts.place.part].append(facts)
        for pictures in by_part.values():
            kept = max(pictures, key=lambda facts: facts.num_objects)
            for facts in pictures:
                if facts is not kept:
                    yield survey.defect(facts, f"the same pixels as {survey.name_of(kept)}", kept)


def duplicate_across(survey: Survey) -> Iterator[Defect]:
    """Find pictures with the same pixels as one of a later part."""
    for copies in _equal(survey):
        last = max(copies, key=lambda facts: facts.place.part)
        for facts in copies:
            if facts.place.part < last.place.part and facts.path.resolve() != last.path.resolve():
                yield survey.defect(facts, f"the same pixels as {survey.name_of(last)}", last)


def near_duplicate_within(survey: Survey) -> Iterator[Defect]:
    """Find pictures of one part that look alike, also turned or mirrored."""
    yield from _alike(survey, across=False)


def near_duplicate_across(survey: Survey) -> Iterator[Defect]:
    """Find pictures of two parts that look alike, also turned or mirrored."""
    yield from _alike(survey, across=True)


def _equal(survey: Survey) -> Iterator[list[PictureFacts]]:
    """Yield the pictures of each sort that have the same pixels, two at least."""
    by_digest: defaultdict[bytes, list[PictureFacts]] = defaultdict(list)
    for facts in survey.readable:
        assert facts.prints is not None
        by_digest[bytes(facts.prints.digests[0])].append(facts)
    yield from (copies for copies in by_digest.values() if len(copies) > 1)


def _alike(survey: Survey, *, across: bool) -> Iterator[Defect]:
    found = survey.alike
    rows = zip(found.pairs.tolist(), found.bits, found.is_exact, found.is_turned, strict=True)
    for (i, j), bits, is_exact, is_turned in rows:
        one, other = survey.readable[i], survey.readable[j]
        if one.is_constant and other.is_constant:
            continue  # each is reported as such
        if not is_exact and (one.place.part != other.place.part) == across:
            turned = " turned or mirrored" if is_turned else ""
            detail = f"looks like {survey.name_of(other)}{turned} ({bits} of 64 bits differ)"
            yield survey.defect(one, detail, other)
