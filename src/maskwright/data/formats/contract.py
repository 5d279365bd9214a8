"""What a format of annotated pictures is: how it is recognised, read and written.

A format is one file of this package with three functions and one line in `table.py`. A reader
feeds a `Collector` (`collector.py`), which shares the checks of all formats; a writer asks
`pictures_of` (`export.py`) for the objects picture by picture. So nobody but the table knows all
formats, and every pair of them converts.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from maskwright.data.cache import cached_sketch
from maskwright.data.coco_objects import CrowdRule
from maskwright.data.dataset import Dataset
from maskwright.data.faults import FaultLog
from maskwright.data.formats.export import ExportLog
from maskwright.data.formats.json_files import try_json
from maskwright.data.index import AnnotationIndex
from maskwright.data.report import ImportReport

__all__ = ["DataFormat", "Imported", "ReadOptions", "Source"]


class Source:
    """The file or folder that a dataset is opened from, looked at once for all formats.

    Args:
        path: An existing file or folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_folder = path.is_dir()

    @cached_property
    def entries(self) -> tuple[os.DirEntry[str], ...]:
        """What lies in the folder, by name; () for a file."""
        if not self.is_folder:
            return ()
        with os.scandir(self.path) as entries:
            visible = [entry for entry in entries if not entry.name.startswith(".")]
        return tuple(sorted(visible, key=lambda entry: entry.name))

    @cached_property
    def folders(self) -> frozenset[str]:
        """Names of the folders in the folder."""
        return frozenset(entry.name for entry in self.entries if entry.is_dir())

    def files(self, *suffixes: str) -> list[Path]:
        """Return the file itself, or the files of the folder, with one of these endings."""
        if not self.is_folder:
            return [self.path] if self.path.suffix.lower() in suffixes else []
        return [
            self.path / entry.name
            for entry in self.entries
            if entry.is_file() and os.path.splitext(entry.name)[1].lower() in suffixes
        ]

    @cached_property
    def json_file(self) -> Path | None:
        """The file itself, or the first json in the folder or in its `annotations`."""
        found = self.files(".json")
        if not found and "annotations" in self.folders:
            found = sorted((self.path / "annotations").glob("*.json"))
        return found[0] if found else None

    @cached_property
    def json(self) -> Any:
        """What `json_file` says; None where there is none or it is not JSON."""
        return None if self.json_file is None else try_json(self.json_file)

    @cached_property
    def json_sketch(self) -> Any:
        """`json` with its lists perhaps cut to their first value, which the cache may know."""
        sketch = None if self.json_file is None else cached_sketch(self.json_file)
        return self.json if sketch is None else sketch


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How a dataset is to be read.

    Args:
        crowd: The rule for objects marked as a crowd.
        images: The folder of the pictures, where the user named it.
        faults: Gets objects that would be errors, and they are left out; None raises. Only
            what a reader can leave out is collected: it still raises where it cannot go on.
        follow_links: Whether links may lead out of the dataset's folder.
        split: The part to read of a format that names parts; None reads all.
    """

    crowd: CrowdRule = "ignore"
    images: Path | None = None
    faults: FaultLog | None = None
    follow_links: bool = False
    split: str | None = None


class Imported(NamedTuple):
    """What a reader returns.

    Args:
        annotation_index: The annotations.
        report: What was read, changed and dropped.
        image_folder: Where its file names are found; None if they are still to be looked for
            beside `annotations`.
        annotations: The file that names the pictures.
    """

    annotation_index: AnnotationIndex
    report: ImportReport
    image_folder: Path | None
    annotations: Path


@dataclass(frozen=True, kw_only=True)
class DataFormat:
    """One format.

    Args:
        name: What `format=` and `--to` call it.
        title: What people call it, with its layout in a few words.
        sniff: Says whether a source is of this format, cheaply.
        read: Reads it; raises a DataError that names the file and the entry.
        write: Writes a dataset into an empty folder and logs what the format cannot hold; None
            if the format is only read.
        has_splits: Whether it names parts such as train and val.
    """

    name: str
    title: str
    sniff: Callable[[Source], bool]
    read: Callable[[Source, ReadOptions], Imported]
    write: Callable[[Dataset, Path, ExportLog], None] | None = None
    has_splits: bool = False
