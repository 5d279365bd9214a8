"""What a run was started with, so that going on with something else is noticed.

RUN/started.json holds the options of the run, its data down to every picture and its objects, and
where it ran. A resumed run is held against it: what changes the result is refused with a table of
name, what it was and what it is; what may move only the last bits is told.
"""

from __future__ import annotations

import json
import os
import platform
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from maskwright.data import Dataset
from maskwright.errors import TrainingError
from maskwright.files import write_json
from maskwright.recipes.moving_parts import Parts
from maskwright.training import flat_options

__all__ = ["FREE_OPTIONS", "Difference", "RunRecord", "difference_table", "make_record"]

FREE_OPTIONS = ("num_workers", "pictures_at_once", "loggers")
"""Options of the recipe that a resumed run may have changed: the batches and, up to rounding, the
gradients are the same (batch norms in training see other pieces)."""

_FORMAT = 1
_FILE = "started.json"
_ENDS = 4096
"""Bytes from the beginning and the end of a picture's file that are looked at, besides its size:
whatever is changed in a picture, a header, a checksum or the last of its stream changes too."""

_ABSENT = object()


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One thing that is not as it was.

    Args:
        name: An option by its dotted name, or what of the data.
        was: When the run was started.
        now: As it is to be resumed.
    """

    name: str
    was: str
    now: str


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What a run is started or resumed with.

    Args:
        options: Recipe, source of the data and transform, by dotted names.
        classes: Names by label.
        parts: Part ("train", "validation", "test") -> file name -> digests of its objects and of
            its pixels.
        surroundings: Versions, device and processes.
    """

    options: Mapping[str, Any]
    classes: Sequence[str]
    parts: Mapping[str, Mapping[str, Sequence[str]]]
    surroundings: Mapping[str, str]

    def write(self, run: Path) -> None:
        """Write the record into the run's folder."""
        write_json(run / _FILE, {"format": _FORMAT, **vars(self)})

    @classmethod
    def read(cls, run: Path) -> RunRecord | None:
        """Return the record of the run; None of runs from before there were records.

        Raises:
            TrainingError: It is damaged or of another version.
        """
        path = run / _FILE
        if not path.is_file():
            return None
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            if values.pop("format") != _FORMAT:
                raise ValueError("it is of another version")
            return cls(**values)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise TrainingError(
                f"{path} cannot be read ({error}): restore it; without it nobody can tell whether "
                "the run goes on as it began"
            ) from error

    def changes(self, now: RunRecord) -> list[Difference]:
        """Return what is different now and changes the result: options and data."""
        return [*self._changed_options(now), *self._changed_data(now)]

    def moves(self, now: RunRecord) -> list[Difference]:
        """Return what is different around the run, which may change the last bits."""
        names = sorted(self.surroundings.keys() | now.surroundings.keys())
        pairs = [(name, self.surroundings.get(name), now.surroundings.get(name)) for name in names]
        return [
            Difference(name=name, was=str(was), now=str(is_now))
            for name, was, is_now in pairs
            if was != is_now
        ]

    def _changed_options(self, now: RunRecord) -> list[Difference]:
        free = tuple(f"recipe.{name}" for name in FREE_OPTIONS)
        return [
            Difference(name=name, was=_shown(self.options, name), now=_shown(now.options, name))
            for name in sorted(self.options.keys() | now.options.keys())
            if self.options.get(name, _ABSENT) != now.options.get(name, _ABSENT)
            and name not in free
        ]

    def _changed_data(self, now: RunRecord) -> list[Difference]:
        found = []
        if list(self.classes) != list(now.classes):
            found.append(
                Difference(name="classes", was=_listed(self.classes), now=_listed(now.classes))
            )
        for part in sorted(self.parts.keys() | now.parts.keys()):
            found += _changed_part(part, self.parts.get(part, {}), now.parts.get(part, {}))
        return found


def make_record(
    options: Mapping[str, Any], parts: Parts, device: torch.device, processes: int
) -> RunRecord:
    """Return the record of a run.

    Args:
        options: Everything in `config.json`, nested.
        parts: The pictures; of each the size and both ends of its file are read.
        device: Where the run trains.
        processes: How many take each step together.
    """
    named = {"train": parts.train, "validation": parts.validation, "test": parts.test}
    return RunRecord(
        options=flat_options(json.loads(json.dumps(options))),  # tuples become lists, as in files
        classes=list(parts.train.class_names),
        parts={name: _digests(part) for name, part in named.items() if part is not None},
        surroundings={
            "device": device.type,
            "processes": str(processes),
            "threads": str(torch.get_num_threads()),
            "machine": platform.machine(),
            **{name: version(name) for name in ("maskwright", "torch", "torchvision", "numpy")},
        },
    )


def difference_table(differences: Sequence[Difference], most: int = 20) -> str:
    r"""Return name, was and is as aligned columns of plain text, for a message.

    >>> print(difference_table([Difference(name="recipe.seed", was="0", now="1")]))
      name         was  is
      recipe.seed  0    1
    """
    rows = [("name", "was", "is")]
    rows += [(each.name, each.was, each.now) for each in differences[:most]]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    lines = [f"  {a:<{widths[0]}}  {b:<{widths[1]}}  {c}".rstrip() for a, b, c in rows]
    if len(differences) > most:
        lines.append(f"  and {len(differences) - most} more")
    return "\n".join(lines)


def _digests(dataset: Dataset) -> dict[str, list[str]]:
    """Return per picture, by file name, a digest of its objects and one of its file."""
    solid = (dataset.labels, dataset.is_crowd, dataset.boxes, dataset.areas)
    ends = np.searchsorted(dataset.object_image, np.arange(len(dataset) + 1))
    digests = {}
    for i, name in enumerate(dataset.file_names):
        objects = slice(ends[i], ends[i + 1])
        check = zlib.crc32(dataset.sizes[i].tobytes())
        for column in solid:
            check = zlib.crc32(np.ascontiguousarray(column[objects]).tobytes(), check)
        digests[name] = [f"{check:08x}", _file_digest(dataset.image_path(i))]
    return digests


def _file_digest(path: Path) -> str:
    size = path.stat().st_size
    with path.open("rb") as file:
        check = zlib.crc32(file.read(_ENDS))
        if size > _ENDS:
            file.seek(-min(_ENDS, size - _ENDS), os.SEEK_END)
            check = zlib.crc32(file.read(), check)
    return f"{size:x}-{check:08x}"


def _changed_part(
    part: str, was: Mapping[str, Sequence[str]], now: Mapping[str, Sequence[str]]
) -> list[Difference]:
    gone, new = sorted(was.keys() - now.keys()), sorted(now.keys() - was.keys())
    found = []
    if gone or new:
        found.append(
            Difference(
                name=f"{part} pictures",
                was=f"{len(was)}" + (f", with {_listed(gone)}" if gone else ""),
                now=f"{len(now)}" + (f", with {_listed(new)}" if new else ""),
            )
        )
    for place, what in enumerate(("objects", "pixels")):
        other = [n for n in was if n in now and list(was[n])[place] != list(now[n])[place]]
        if other:
            found.append(
                Difference(
                    name=f"{part} {what} of {_listed(other)}", was="as at the start", now="changed"
                )
            )
    return found


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _shown(options: Mapping[str, Any], name: str) -> str:
    return json.dumps(options[name]) if name in options else "absent"
