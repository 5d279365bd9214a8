r"""Which pictures belong together and must not be divided: crops of one plate, shots of one scene.

A rule is a short text, the same on the command line and in Python:

    field:plate        the value of "plate" in the picture's entry of a COCO or LVIS json
    name:'^(plate\d+)'  what the bracketed parts of a regular expression find in the file name
    near-duplicates    pictures that look alike, see `maskwright.data.likeness`

Several rules join: pictures are of one group if any rule says so, also over others between them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from maskwright.data.dataset import Dataset
from maskwright.data.fingerprints import fingerprint_dataset
from maskwright.data.formats.contract import Source
from maskwright.data.group_rules import keys_by_field, keys_by_name
from maskwright.data.likeness import find_duplicates
from maskwright.errors import ConfigError, nearest_name

__all__ = ["group_pictures"]

_KINDS = "field:NAME, name:PATTERN or near-duplicates"


def group_pictures(
    dataset: Dataset,
    rules: str | Sequence[str],
    *,
    source: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Int64[np.ndarray, " m"]:
    """Return the number of each picture's group, counted by first member from 0.

    Args:
        dataset: The pictures; their files are read by the rule "near-duplicates" only.
        rules: One or more, see the module. None at all leaves every picture by itself.
        source: The annotations the dataset was opened from, for "field:".
        progress: Called after each picture that is read with the pictures done and all.

    Raises:
        ConfigError: A rule that is not one, or a pattern that is no regular expression or has no
            brackets.
        DataError: A picture without the field, or whose name the pattern does not fit.
        ImageError: A picture cannot be read.

    >>> from maskwright.data.groups import _numbered
    >>> _numbered(["a", "b", "a"]).tolist()
    [0, 1, 0]
    """
    joined = np.arange(len(dataset))
    for rule in [rules] if isinstance(rules, str) else rules:
        joined = _join(joined, _by_rule(dataset, rule, source, progress))
    return joined


def _by_rule(
    dataset: Dataset,
    rule: str,
    source: str | Path | None,
    progress: Callable[[int, int], None] | None,
) -> Int64[np.ndarray, " m"]:
    kind, colon, argument = rule.partition(":")
    if kind == "near-duplicates" and not colon:
        return find_duplicates(fingerprint_dataset(dataset, progress=progress)).cluster_of
    if kind == "field" and argument:
        return _by_field(dataset, argument, source)
    if kind == "name" and argument:
        return _numbered(keys_by_name(dataset.file_names, argument))
    hint = nearest_name(kind, ["field", "name", "near-duplicates"])
    raise ConfigError(f"groups are {_KINDS}, got {rule!r}.{hint}")


def _by_field(dataset: Dataset, field: str, source: str | Path | None) -> Int64[np.ndarray, " m"]:
    entries = None if source is None else Source(Path(source)).json
    pictures = entries.get("images") if isinstance(entries, dict) else None
    if not isinstance(pictures, list):
        raise ConfigError(
            f"field:{field} needs a json with a list of pictures (COCO, LVIS), which "
            f"{source or 'this data'} is not: group by name:PATTERN or near-duplicates"
        )
    values = {entry.get("id"): entry for entry in pictures if isinstance(entry, dict)}
    own = [values.get(image_id, {}) for image_id in dataset.image_ids.tolist()]
    return _numbered(keys_by_field(own, dataset.file_names, field))


def _numbered(keys: Iterable[Any]) -> Int64[np.ndarray, " m"]:
    """Return a number for each key, counted by first appearance."""
    numbers: dict[Any, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)


def _join(one: Int64[np.ndarray, " m"], other: Int64[np.ndarray, " m"]) -> Int64[np.ndarray, " m"]:
    """Return the finest groups that neither of two groupings divides."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    size = len(one)
    # A graph of pictures and, after them, groups of the other grouping.
    ends = (one, size + other)
    graph = coo_array((np.ones(size, bool), ends), shape=(2 * size, 2 * size))
    return _numbered(connected_components(graph, directed=False)[1][one].tolist())
