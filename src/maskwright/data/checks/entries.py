"""Checks of the entries of annotation files: what readers refused and wrote down."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from maskwright.data.checks.check import Defect, Place
from maskwright.data.checks.survey import Survey
from maskwright.data.faults import FaultKind

__all__ = ["refused", "unreadable_annotations"]


def refused(kind: FaultKind) -> Callable[[Survey], Iterator[Defect]]:
    """Return the check that yields the refused entries of one kind."""

    def find(survey: Survey) -> Iterator[Defect]:
        for number, part in enumerate(survey.parts):
            positions = {facts.file_name: facts for facts in part.pictures}
            for fault in part.inspected.faults:
                facts = positions.get(fault.picture)
                if fault.kind != kind:
                    continue
                if kind == "run-length-broken" and facts is not None and facts.fits is False:
                    continue  # its code fits no picture of the annotated size: reported there
                yield Defect(
                    detail=fault.problem,
                    part=number,
                    file_name=fault.picture,
                    place=None
                    if facts is None
                    else Place(part=number, picture=facts.place.picture),
                    # An annotation of a doubled id is read all the same, a picture is not.
                    remedy="number anew" if kind == "id-twice" and fault.annotation_id else None,
                    annotation_ids=() if fault.annotation_id is None else (fault.annotation_id,),
                )

    return find


def unreadable_annotations(survey: Survey) -> Iterator[Defect]:
    """Yield the parts whose annotations could not be read at all."""
    for name, problem in survey.unreadable:
        yield Defect(detail=f"{name}: {problem}")
