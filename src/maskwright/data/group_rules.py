"""Rules that name the group of a picture by what is written: its file name, or a field."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from maskwright.errors import ConfigError, DataError, nearest_name

__all__ = ["keys_by_field", "keys_by_name"]

_MAX_NAMED = 5


def keys_by_name(file_names: Sequence[str], pattern: str) -> list[str]:
    """Return what the bracketed parts of a regular expression find in each file name.

    Raises:
        ConfigError: No regular expression, or one without brackets.
        DataError: Names that it does not fit.
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"name:{pattern} is no regular expression: {error}") from error
    if not expression.groups:
        raise ConfigError(
            f"name:{pattern} has no brackets: put them around what names the group, as in "
            r"name:'^(plate\d+)'"
        )
    found = [expression.search(name) for name in file_names]
    _refuse_missing(
        [name for name, match in zip(file_names, found, strict=True) if match is None],
        len(file_names),
        f"have a name that {pattern!r} does not fit",
        r"widen the pattern (name:'^(plate\d+)|(.*)' leaves the others by themselves)",
    )
    return [json.dumps(match.groups()) for match in found if match is not None]


def keys_by_field(
    entries: Sequence[Mapping[str, Any]], file_names: Sequence[str], field: str
) -> list[str]:
    """Return the value of a field of each picture's entry in a json, as text.

    Args:
        entries: One per picture.
        file_names: Likewise, for messages.
        field: Its name.

    Raises:
        DataError: Pictures without it.
    """
    found = [entry.get(field) for entry in entries]
    known = sorted({name for entry in entries for name in entry})
    _refuse_missing(
        [name for name, value in zip(file_names, found, strict=True) if value is None],
        len(file_names),
        f"have no field {field!r}",
        f"fields that there are: {', '.join(known)}.{nearest_name(field, known)}",
    )
    return [json.dumps(value, sort_keys=True) for value in found]


def _refuse_missing(names: list[str], num_images: int, problem: str, remedy: str) -> None:
    if names:
        more = ", ..." if len(names) > _MAX_NAMED else ""
        raise DataError(
            f"{len(names)} of {num_images} pictures {problem}: "
            f"{', '.join(names[:_MAX_NAMED])}{more}; {remedy}"
        )
