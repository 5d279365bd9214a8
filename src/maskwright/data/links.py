"""Symbolic links out of a dataset's folder: refused unless they are asked for.

A dataset that someone else packed may hold links to any file of this machine. Names that lead out
of the folder (`..`, absolute ones) are refused by the readers; here are the links.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from maskwright.errors import DataError

__all__ = ["refuse_links_outside"]


def refuse_links_outside(folder: Path, names: Iterable[str] | None = None) -> None:
    """Raise where a link below a folder leads out of it; the folder itself may be one.

    Args:
        folder: The top of what may be read.
        names: Files below it that are used, with / between their parts; None looks at everything
            below the folder.

    Raises:
        DataError: A link leads outside.
    """
    top = os.path.realpath(folder)
    for link in _links(folder) if names is None else _links_on_the_way(folder, names):
        target = os.path.realpath(link)
        if target != top and not target.startswith(top.rstrip(os.sep) + os.sep):
            raise DataError(
                f"{link}: is a link out of {folder}, to {target}, which is not followed: copy the "
                "file, or allow links with follow_links=True (--follow-links)"
            )


def _links(folder: str | Path) -> Iterator[str]:
    """Every link below a folder; folders that are links are not gone into."""
    waiting = [os.fspath(folder)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_symlink():
                    yield entry.path
                elif entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)


def _links_on_the_way(folder: Path, names: Iterable[str]) -> Iterator[str]:
    """The links among files and the folders that hold them, each folder listed once."""
    by_parent: dict[str, set[str]] = {}
    for name in names:
        parent, _, base = name.rpartition("/")
        by_parent.setdefault(parent, set()).add(base)
    for way in {way for parent in by_parent for way in _prefixes(parent)}:
        if os.path.islink(place := os.path.join(folder, way)):
            yield place
    for parent, members in by_parent.items():
        try:
            with os.scandir(folder / parent) as entries:
                yield from (e.path for e in entries if e.is_symlink() and e.name in members)
        except OSError:
            continue  # a missing folder is for those who look for the pictures


def _prefixes(parent: str) -> Iterator[str]:
    """Yield "a", "a/b" and "a/b/c" of "a/b/c"."""
    parts = parent.split("/")
    yield from ("/".join(parts[: i + 1]) for i in range(len(parts)))
