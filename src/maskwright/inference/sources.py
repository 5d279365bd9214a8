"""The pictures that paths, folders and globs name."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from maskwright.data import IMAGE_SUFFIXES, is_page, pages_of, split_page
from maskwright.errors import DataError

_EVERY_PAGE = "[*]"

__all__ = ["find_sources", "picture_ids", "unique_stems"]


def find_sources(sources: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """Return the picture files that `sources` name, each once.

    A file is itself. A folder gives the pictures in it and below it, sorted, hidden ones left out.
    A pattern with * ? [ or ** gives the pictures that match, sorted; a file whose name holds such
    a sign is taken as the file. Of a TIFF stack, "x.tif[3]" is page 3, counted from 0, and
    "x.tif[*]" every page. No sources give no pictures.

    Raises:
        DataError: A source that does not exist, or a folder or pattern without pictures.
    """
    found: dict[Path, None] = {}
    for source in sources:
        path = Path(source)
        if path.is_dir():
            matches = _pictures(sorted(path.rglob("*")), below=path)
            if not matches:
                kinds = ", ".join(sorted(IMAGE_SUFFIXES))
                raise DataError(f"{path}: no picture in this folder or below it ({kinds})")
        elif path.is_file() or is_page(path):
            matches = [path]
        elif path.name.endswith(_EVERY_PAGE) and _stack_of(path).is_file():
            matches = pages_of(_stack_of(path))
        elif glob.has_magic(os.fspath(source)):
            names = sorted(glob.glob(os.fspath(source), recursive=True))
            matches = _pictures([Path(name) for name in names])
            if not matches:
                raise DataError(f"{source}: no picture matches this pattern")
        else:
            raise DataError(f"{path}: no such file or folder")
        found |= dict.fromkeys(matches)
    return list(found)


def picture_ids(paths: Sequence[Path]) -> list[int]:
    """Return the COCO image id of each picture.

    COCO names its pictures by their ids (000000000139.jpg is 139). Where every stem is a number
    and no two are the same, those are the ids; otherwise the running number from 1.

    >>> picture_ids([Path("000000000139.jpg"), Path("25.jpg")])
    [139, 25]
    >>> picture_ids([Path("a/25.jpg"), Path("b/25.jpg")]), picture_ids([])
    ([1, 2], [])
    """
    stems = [path.stem for path in paths]
    if all(stem.isascii() and stem.isdigit() for stem in stems):
        ids = [int(stem) for stem in stems]
        if len(set(ids)) == len(ids):
            return ids
    return list(range(1, len(paths) + 1))


def unique_stems(paths: Sequence[Path]) -> list[str]:
    """Return a name for each picture's outputs: its stem, with -2, -3 ... where that is taken.

    Names that differ only in case count as the same, as some file systems have it.

    >>> unique_stems([Path("a/x.jpg"), Path("b/x.png"), Path("y.png")])
    ['x', 'x-2', 'y']
    """
    stems = [_stem(path) for path in paths]
    wanted = {stem.casefold() for stem in stems}
    taken: set[str] = set()
    names = []
    for stem in stems:
        name, number = stem, 1
        while name.casefold() in taken or (number > 1 and name.casefold() in wanted):
            number += 1
            name = f"{stem}-{number}"
        taken.add(name.casefold())
        names.append(name)
    return names


def _stem(path: Path) -> str:
    file_path, page = split_page(path)
    return path.stem if page is None else f"{file_path.stem}-{page}"


def _stack_of(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(_EVERY_PAGE))


def _pictures(paths: Sequence[Path], below: Path | None = None) -> list[Path]:
    """The files among `paths` with a picture's suffix; inside `below`, none in hidden places."""
    return [
        path
        for path in paths
        if path.suffix.lower() in IMAGE_SUFFIXES
        and path.is_file()
        and not (below and any(part.startswith(".") for part in path.relative_to(below).parts))
    ]
