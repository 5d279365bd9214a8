r"""Groups of a truth's pictures by a rule, written as for splits.

field:plate         the value of "plate" in the picture's entry of a COCO or LVIS json
name:'^(plate\d+)'  what the bracketed parts of a regular expression find in the file name
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from maskwright.errors import ConfigError, DataError, nearest_name
from maskwright.evaluation.resampling import Resampling
from maskwright.evaluation.truth import CocoTruth

__all__ = ["group_truth", "with_groups"]

_SHOWN = 5


def with_groups(resampling: Resampling, truth: CocoTruth) -> Resampling:
    """Return the resampling with its rule for groups applied, where it has one."""
    if not isinstance(resampling.groups, str):
        return resampling
    return replace(resampling, groups=group_truth(truth, resampling.groups))


def group_truth(truth: CocoTruth, rule: str) -> list[str]:
    """Return the name of each picture's group, by ascending image id.

    Args:
        truth: What `load_truth` gave.
        rule: See the module.

    Raises:
        ConfigError: A rule that is not one, or a pattern without brackets.
        DataError: Pictures without the field, or whose name the pattern does not fit.
    """
    images = sorted(truth.coco["images"], key=lambda image: image["id"])
    kind, _, argument = rule.partition(":")
    if kind not in ("field", "name") or not argument:
        hint = nearest_name(kind, ["field", "name"])
        raise ConfigError(f"groups are field:NAME or name:PATTERN, got {rule!r}.{hint}")
    named = _by_name(images, argument) if kind == "name" else _by_field(images, argument)
    missing = [
        str(i.get("file_name", i["id"])) for i, n in zip(images, named, strict=True) if not n
    ]
    if missing:
        shown = ", ".join(missing[:_SHOWN]) + (", ..." if len(missing) > _SHOWN else "")
        raise DataError(
            f"{truth.source}: {rule} says nothing of {len(missing)} of {len(images)} pictures: "
            f"{shown}; widen the pattern or fill in the field"
        )
    return named


def _by_name(images: Sequence[Mapping[str, Any]], pattern: str) -> list[str]:
    try:
        expression = re.compile(pattern)
    except re.error as problem:
        raise ConfigError(f"name:{pattern} is no regular expression: {problem}") from problem
    if not expression.groups:
        raise ConfigError(
            f"name:{pattern} has no brackets: put them around what names the group, as in "
            r"name:'^(plate\d+)'"
        )
    found = [expression.search(str(image.get("file_name", ""))) for image in images]
    return ["" if match is None else json.dumps(match.groups()) for match in found]


def _by_field(images: Sequence[Mapping[str, Any]], field: str) -> list[str]:
    return [
        "" if image.get(field) is None else json.dumps(image[field], sort_keys=True)
        for image in images
    ]
