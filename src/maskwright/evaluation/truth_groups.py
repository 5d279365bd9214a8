r"""Groups of a truth's pictures by a rule, written as for splits.

field:plate         the value of "plate" in the picture's entry of a COCO or LVIS json
name:'^(plate\d+)'  what the bracketed parts of a regular expression find in the file name
"""

from __future__ import annotations

from dataclasses import replace

from maskwright.data.group_rules import keys_by_field, keys_by_name
from maskwright.errors import ConfigError, DataError, nearest_name
from maskwright.evaluation.resampling import Resampling
from maskwright.evaluation.truth import CocoTruth

__all__ = ["group_truth", "with_groups"]


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
    names = [str(image.get("file_name", image["id"])) for image in images]
    try:
        if kind == "name":
            return keys_by_name(names, argument)
        return keys_by_field(images, names, argument)
    except DataError as error:
        raise DataError(f"{truth.source}: {error}") from error
