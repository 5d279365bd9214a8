"""Large annotation files are read once: their index is kept in a cache, found by their content.

What tells that a file is the one that was read: its device, inode, size, time of writing and time
of change (`ctime`, which every edit moves and which cannot be set back) are those that were noted
with its content's hash. If any differs, or there is no such time (Windows), or the file changed
within two seconds of being looked at (a second edit could have the same times), all of it is
hashed. So a copy or a file that was only touched is found, and an edited one is never taken for
the old one, whatever was done to its size and times.

An entry is also keyed by the rule for crowds and by the code of the readers, and is checked
against its own checksum whenever it is opened; one that is damaged is made anew. Entries are
written whole or not at all; processes may do so at the same time. What was not used for 60 days is
removed.

The folder is the platform's for caches; the environment variable MASKWRIGHT_CACHE names another,
or "off".
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
import warnings
import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from maskwright.data.coco_objects import CrowdRule
from maskwright.data.faults import FaultLog
from maskwright.data.index import AnnotationIndex
from maskwright.data.index_file import map_index, write_index
from maskwright.data.report import ImportReport
from maskwright.files import atomic_write, write_json

__all__ = ["cache_folder", "cached_index", "cached_sketch"]

WORTH_KEEPING = 2**23
"""Bytes of an annotation file below which reading it takes no time worth saving."""

_SETTLED_SECONDS = 2.0
_UNUSED_SECONDS = 60 * 24 * 3600.0
_BLOCK = 2**22
# The code that decides what an index holds: another version of it makes other entries.
_READERS = (
    "builder.py",
    "coco.py",
    "coco_columns.py",
    "coco_objects.py",
    "faults.py",
    "federation.py",
    "index.py",
    "index_file.py",
    "json_pieces.py",
    "names.py",
    "object_faults.py",
    "report.py",
    "formats/coco.py",
    "formats/json_files.py",
    "formats/lvis.py",
)

_Signature = list[int]


class _Content(NamedTuple):
    """What a file holds: its hash; `is_settled` if the same times mean the same content."""

    digest: str
    signature: _Signature
    is_settled: bool


def cache_folder() -> Path | None:
    """Return the folder of the cache, which need not exist; None where it is switched off.

    MASKWRIGHT_CACHE, else the platform's folder for caches: XDG_CACHE_HOME or ~/.cache,
    ~/Library/Caches, or LOCALAPPDATA, and `maskwright` in it.
    """
    chosen = os.environ.get("MASKWRIGHT_CACHE", "")
    if chosen.lower() in ("off", "0", "no"):
        return None
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        return Path(base).expanduser() / "maskwright"
    except RuntimeError:  # no home
        return None


def cached_index(
    path: Path,
    *,
    kind: str,
    crowd: CrowdRule,
    faults: FaultLog | None,
    read: Callable[[], tuple[AnnotationIndex, ImportReport]],
    sketch: Callable[[], Any],
) -> tuple[AnnotationIndex, ImportReport]:
    """Return the index of a file from the cache, or read it and keep it there.

    A cache that cannot be written to costs a warning and nothing else.

    Args:
        path: The annotation file.
        kind: The format it is read as.
        crowd: The rule it is read by.
        faults: Where there is a log, the file is read and nothing is kept: no entry has the log.
        read: Reads the file.
        sketch: Returns what sniffing needs to see of it, see `cached_sketch`.

    Raises:
        AnnotationError: As `read`, whose errors are not kept.
    """
    folder = None if faults is not None else _folder_for(path)
    content = None if folder is None else _content(folder, path)
    if folder is None or content is None:
        return read()
    entry = _entry(folder, content.digest, kind, crowd)
    found = _open(entry, str(path))
    if found is not None:
        return found
    index, report = read()
    if not _is_still(path, content):
        return index, report
    try:
        _store(entry, index, report)
        write_json(_sketch_path(folder, content.digest), sketch())
        _remove_unused(folder)
    except OSError as error:
        _warn(folder, error)
        return index, report
    # The arrays that were read make way for the file's pages.
    return _open(entry, str(path)) or (index, report)


def cached_sketch(path: Path) -> Any:
    """Return a small document shaped like a file that is in the cache; None if it is not.

    Its lists are cut to their first value: enough to see which format it is.
    """
    folder = _folder_for(path)
    content = None if folder is None else _content(folder, path)
    if folder is None or content is None:
        return None
    return _read_json(_sketch_path(folder, content.digest))


def _folder_for(path: Path) -> Path | None:
    try:
        is_worth = path.stat().st_size >= WORTH_KEEPING and _reader_version() != ""
        return cache_folder() if is_worth else None
    except OSError:
        return None


def _content(folder: Path, path: Path) -> _Content | None:
    """Return what a file holds, by its times or by reading it; None if it cannot be read."""
    name = hashlib.blake2b(os.fsencode(path.resolve()), digest_size=16).hexdigest()
    record = folder / "files" / f"{name}.json"
    try:
        signature, now = _signature(path), time.time()
        known = _read_json(record)
        is_settled = os.name == "posix" and now - max(signature[-2:]) / 1e9 > _SETTLED_SECONDS
        if is_settled and isinstance(known, dict) and known.get("signature") == signature:
            return _Content(str(known["digest"]), signature, True)
        content = _Content(_digest(path), signature, is_settled)
        is_unchanged = _signature(path) == signature
    except OSError:
        return None
    if not is_unchanged:
        return None
    if is_settled:
        try:
            write_json(record, {"signature": signature, "digest": content.digest})
        except OSError as error:
            _warn(folder, error)
    return content


def _is_still(path: Path, content: _Content) -> bool:
    """Say whether a file holds what it held before it was read."""
    try:
        if _signature(path) != content.signature:
            return False
        return content.is_settled or _digest(path) == content.digest
    except OSError:
        return False


def _signature(path: Path) -> _Signature:
    stat = path.stat()
    return [stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=20)).hexdigest()


def _entry(folder: Path, digest: str, kind: str, crowd: str) -> Path:
    """Return the path of an entry without its suffix."""
    words = json.dumps([digest, kind, crowd, _reader_version()])
    name = hashlib.blake2b(words.encode(), digest_size=20).hexdigest()
    return folder / "annotations" / name


def _sketch_path(folder: Path, digest: str) -> Path:
    return folder / "sketches" / f"{digest}.json"


@cache
def _reader_version() -> str:
    """Return a hash of the readers' code, "" where it is not at hand, as in a frozen program."""
    here = Path(__file__).parent
    code = hashlib.blake2b(digest_size=16)
    try:
        for name in _READERS:
            code.update((here / name).read_bytes())
    except OSError:
        return ""
    return code.hexdigest()


def _open(entry: Path, source: str) -> tuple[AnnotationIndex, ImportReport] | None:
    """Open an entry; None if there is none, or if it is damaged."""
    arrow = entry.with_suffix(".arrow")
    stated = _read_json(entry.with_suffix(".json"))
    try:
        if not isinstance(stated, dict) or stated.get("crc32") != _checksum(arrow):
            return None
        found = map_index(arrow, source)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    with suppress(OSError):
        os.utime(arrow)  # in use
    return found


def _store(entry: Path, index: AnnotationIndex, report: ImportReport) -> None:
    arrow = entry.with_suffix(".arrow")
    # Waiting for the disk takes longer than writing; the checksum tells of what was lost.
    with atomic_write(arrow, durable=False) as partial:
        write_index(partial, index, report)
        checksum = _checksum(partial)
    write_json(entry.with_suffix(".json"), {"crc32": checksum})


def _checksum(path: Path) -> int:
    """CRC-32 of a file, read and not mapped, so that it takes no memory: 0.1 s for 300 MB."""
    checksum, block = 0, bytearray(_BLOCK)
    with path.open("rb", buffering=0) as file:
        while length := file.readinto(block):
            checksum = zlib.crc32(memoryview(block)[:length], checksum)
    return checksum


def _remove_unused(folder: Path) -> None:
    oldest = time.time() - _UNUSED_SECONDS
    for file in (folder / "annotations").glob("*.arrow"):
        try:
            if file.stat().st_mtime < oldest:
                file.unlink()
                file.with_suffix(".json").unlink(missing_ok=True)
        except OSError:
            continue  # another process was quicker


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def _warn(folder: Path, error: OSError) -> None:
    warnings.warn(
        f"annotations cannot be kept in {folder} and are read anew each time "
        f"({error.strerror or error}): set MASKWRIGHT_CACHE to a folder that can be written to, or "
        'to "off"',
        RuntimeWarning,
        stacklevel=3,
    )
