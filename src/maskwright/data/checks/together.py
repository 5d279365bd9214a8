"""Checks of pictures beside each other: what they are made of, and who else is listed."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator

from maskwright.data.checks.check import Defect
from maskwright.data.checks.picture import Header
from maskwright.data.checks.survey import PictureFacts, Survey
from maskwright.data.formats.pairs import pictures_below

__all__ = [
    "mixed_bit_depths",
    "mixed_channels",
    "same_file",
    "same_group",
    "unlisted_picture",
]


def mixed_bit_depths(survey: Survey) -> Iterator[Defect]:
    """Find the pictures whose values have another number of bits than most."""
    yield from _unlike_most(survey, lambda header: f"{header.bits} bits a value")


def mixed_channels(survey: Survey) -> Iterator[Defect]:
    """Find the pictures with another number of channels than most."""
    words = {1: "grey", 2: "grey and alpha", 3: "three channels", 4: "four channels"}
    yield from _unlike_most(
        survey, lambda header: words.get(header.num_channels, f"{header.num_channels} channels")
    )


def same_file(survey: Survey) -> Iterator[Defect]:
    """Find one file that several parts list; the fix leaves it to the last."""
    last = {facts.path.resolve(): facts for facts in survey.pictures()}
    for facts in survey.pictures():
        other = last[facts.path.resolve()]
        if other.place.part != facts.place.part:
            yield survey.defect(facts, f"{survey.parts[other.place.part].name} lists it too", other)


def same_group(survey: Survey) -> Iterator[Defect]:
    """Find groups, such as the plate, patient or film that pictures come from, in two parts."""
    if not survey.group_pattern:
        return
    members: defaultdict[str, list[PictureFacts]] = defaultdict(list)
    for facts in survey.pictures():
        if found := re.search(survey.group_pattern, facts.file_name):
            members[found[1] if found.re.groups else found[0]].append(facts)
    for group, pictures in members.items():
        counts = Counter(facts.place.part for facts in pictures)
        if len(counts) > 1:
            names = [f"{count} pictures in {survey.parts[i].name}" for i, count in counts.items()]
            yield survey.defect(pictures[0], f"group {group!r}: {', '.join(names)}", *pictures[1:])


def unlisted_picture(survey: Survey) -> Iterator[Defect]:
    """Find picture files in the folders of the listed ones that no part lists.

    A file named like a listed picture but for its suffix is its mask, or another version of it.
    """
    known = {facts.path.resolve().with_suffix("") for facts in survey.pictures()}
    folders = dict.fromkeys(facts.path.parent.resolve() for facts in survey.pictures())
    for folder in folders:
        for path in pictures_below(folder):
            if path.parent == folder and path.with_suffix("") not in known:
                known.add(path.with_suffix(""))
                yield Defect(detail=f"in {folder}", file_name=path.name)


def _unlike_most(survey: Survey, trait: Callable[[Header], str]) -> Iterator[Defect]:
    """Yield the pictures of which a trait of the header is not the most common one's."""
    with_headers = [(facts, facts.header) for facts in survey.pictures() if facts.header]
    counts = Counter(trait(header) for _, header in with_headers)
    if len(counts) < 2:
        return
    most = counts.most_common(1)[0][0]
    for facts, header in with_headers:
        if trait(header) != most:
            yield survey.defect(
                facts, f"{trait(header)}; {counts[most]} of {len(with_headers)} have {most}"
            )
