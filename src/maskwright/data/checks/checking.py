"""Running the checks: every part opened, every picture decoded once for all of them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import get_args

import numpy as np

from maskwright.data.checks.check import Check, Defect, PictureCheck, Place, Severity, WholeCheck
from maskwright.data.checks.diagnosis import CheckResult, Diagnosis
from maskwright.data.checks.picture import Picture
from maskwright.data.checks.survey import Part, PictureFacts, Survey
from maskwright.data.checks.table import CHECKS
from maskwright.data.opening import inspect_dataset
from maskwright.errors import AnnotationError, ConfigError, ImageError, nearest_name

__all__ = ["check_dataset"]

_LEAST_RECTANGLE = 3  # pixels a side: smaller masks are full boxes by chance


def check_dataset(
    *data: str | Path,
    images: str | Path | None = None,
    format: str | None = None,
    training_side: int = 800,
    group_pattern: str = "",
    skip: Collection[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Diagnosis:
    """Look for everything that may be wrong with annotated pictures; change nothing.

    Args:
        data: Annotated pictures, as `open_dataset` takes them. Several are the parts of one
            dataset, training first: then leaks between them are looked for as well.
        images: The folder of the pictures, if it is not where it is looked for.
        format: The format, where it is not to be found out by looking.
        training_side: Short side in pixels that larger pictures are shrunk to for training;
            objects are called tiny by it.
        group_pattern: A regular expression that finds in a file name the group it belongs to
            (its first bracket, or all it matches); groups must not straddle parts.
        skip: Names of checks to leave out.
        progress: Called after each picture with the pictures done and all.

    Raises:
        DataError: Something in `data` is not there or is not known to be annotated pictures.
        ConfigError: An unknown check, or a pattern that is none.
    """
    if not data:
        raise ConfigError("nothing to check: name annotated pictures")
    checks = _chosen(skip)
    survey = Survey(parts=[], group_pattern=_checked_pattern(group_pattern))
    for path, name in zip(data, _part_names(data), strict=True):
        _open_part(survey, path, name, images, format)
    found = _check_pictures(survey, checks, training_side, progress)
    for check in checks:
        if isinstance(check, WholeCheck) and (survey.parts or check.name.startswith("annot")):
            found[check.name] += check.find(survey)
    order = get_args(Severity)
    results = [
        CheckResult(check=check, defects=tuple(found[check.name]))
        for check in sorted(checks, key=lambda check: order.index(check.severity))
        if found[check.name]
    ]
    return Diagnosis(survey=survey, results=tuple(results), num_checks=len(checks))


def _chosen(skip: Collection[str]) -> list[Check]:
    names = [check.name for check in CHECKS]
    for name in skip:
        if name not in names:
            raise ConfigError(
                f"unknown check {name!r}.{nearest_name(name, names)} Known: {', '.join(names)}"
            )
    return [check for check in CHECKS if check.name not in skip]


def _checked_pattern(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"group pattern {pattern!r} is no regular expression: {error}") from error
    return pattern


def _part_names(data: Sequence[str | Path]) -> list[str]:
    """Return the shortest names that tell the parts apart."""
    stems = [Path(path).stem for path in data]
    counts = Counter(stems)
    names = [
        stem if counts[stem] == 1 else f"{Path(path).absolute().parent.name}/{stem}"
        for path, stem in zip(data, stems, strict=True)
    ]
    return names if len(set(names)) == len(names) else [str(path) for path in data]


def _open_part(
    survey: Survey, path: str | Path, name: str, images: str | Path | None, format: str | None
) -> None:
    try:
        inspected = inspect_dataset(path, images=images, format=format)
    except (AnnotationError, ImageError) as error:
        survey.unreadable.append((name, str(error)))
        return
    is_rectangle = np.zeros(inspected.index.num_objects, bool)
    survey.parts.append(Part(name=name, inspected=inspected, is_rectangle=is_rectangle))


def _check_pictures(
    survey: Survey,
    checks: Sequence[Check],
    training_side: int,
    progress: Callable[[int, int], None] | None,
) -> defaultdict[str, list[Defect]]:
    found: defaultdict[str, list[Defect]] = defaultdict(list)
    total = sum(part.inspected.index.num_images for part in survey.parts)
    done = 0
    for number, part in enumerate(survey.parts):
        for position in range(part.inspected.index.num_images):
            place = Place(part=number, picture=position)
            picture = Picture(part.inspected, place, training_side)
            for check in checks:
                if isinstance(check, PictureCheck) and not (
                    check.of_objects and picture.fits is False
                ):
                    found[check.name] += check.find(picture)
            part.pictures.append(PictureFacts.of(picture))
            part.is_rectangle[picture.items] = _are_rectangles(picture)
            done += 1
            if progress is not None:
                progress(done, total)
    return found


def _are_rectangles(picture: Picture) -> np.ndarray:
    boxes = picture.masks.boxes
    sides = boxes[:, 2:] - boxes[:, :2]
    is_full: np.ndarray = picture.masks.area == sides.prod(axis=1)
    is_large: np.ndarray = (sides >= _LEAST_RECTANGLE).all(axis=1)
    return np.asarray(is_full & is_large)
