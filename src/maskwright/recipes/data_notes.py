"""What is said of the pictures of a run before it begins: what is missing to learn and to score."""

from __future__ import annotations

import numpy as np

from maskwright.data import Dataset
from maskwright.errors import DataError
from maskwright.recipes.moving_parts import Parts

__all__ = ["data_notes", "require_learnable"]

_MOST_NAMED = 5


def require_learnable(parts: Parts) -> None:
    """Check that there is something to learn from and something to score on.

    Raises:
        DataError: The training pictures hold no object, or there is no validation picture.
    """
    if not len(parts.validation):
        raise DataError(
            "there are no validation pictures, and the best model is chosen on them: give others "
            "with --val, or leave --val out and a part of the data is held out for it"
        )
    if not _counts(parts.train).sum():
        raise DataError(
            f"the {len(parts.train)} training pictures hold no objects to learn (crowds and "
            "objects without pixels do not count): look at the data with maskwright data check"
        )


def data_notes(parts: Parts) -> list[str]:
    """Return sentences on classes that cannot be learnt or scored; none where all is well."""
    names = parts.train.class_names
    learnt, scored = _counts(parts.train) > 0, _counts(parts.validation) > 0
    notes = []
    if not learnt.all():
        notes.append(
            f"{_named(names, ~learnt)} without objects in the training pictures: nothing of them "
            "is learnt"
        )
    if not scored.any():
        notes.append(
            "the validation pictures hold no objects: nothing can be scored, and the last model is "
            "taken for the best"
        )
    elif (learnt & ~scored).any():
        notes.append(
            f"{_named(names, learnt & ~scored)} without objects in the validation pictures: they "
            "are learnt but not scored, and do not count when the best model is chosen"
        )
    if (scored & ~learnt).any() and scored.any():
        notes.append(
            f"{_named(names, scored & ~learnt)} in the validation pictures only: their AP stays 0"
        )
    return notes


def _counts(dataset: Dataset) -> np.ndarray:
    solid = ~(dataset.is_crowd | dataset.is_empty)
    return np.bincount(dataset.labels[solid], minlength=len(dataset.class_names))


def _named(names: tuple[str, ...], chosen: np.ndarray) -> str:
    found = [names[label] for label in np.flatnonzero(chosen).tolist()]
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    count = "1 class" if len(found) == 1 else f"{len(found)} classes"
    return f"{count} ({', '.join(found[:_MOST_NAMED])}{more})"
