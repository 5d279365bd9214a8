"""Files and folders that are either whole or not there."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from maskwright.errors import DataError

__all__ = ["atomic_write", "new_folder", "write_json"]


@contextmanager
def atomic_write(path: str | os.PathLike[str], *, durable: bool = True) -> Iterator[Path]:
    """Yield a path to write to; it becomes `path` only if the block ends well.

    The temporary file lies in the same folder (a rename across file systems is not atomic) and
    keeps the suffix, for writers that look at it. Missing parent folders are made. It is flushed
    to the disk before the rename, so after a crash `path` holds the old or the new bytes, never a
    part. On any error, the writer's or a full disk's, the temporary file goes and `path` stays.

    Args:
        path: The file to write or to replace.
        durable: False does not wait for the disk: for what is checked when it is read and can be
            made anew, since after a crash `path` may hold anything.

    Raises:
        OSError: The folder cannot be written, or the disk is full.
        FileNotFoundError: The block ended without writing the file.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_write(Path(folder) / "a.txt") as partial:
    ...         _ = partial.write_text("whole")
    ...     [file.name for file in Path(folder).iterdir()]
    ['a.txt']
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Process and thread in the name: two writers of one file never share a temporary one.
    unique = f"{os.getpid()}-{threading.get_ident()}"
    partial = path.with_name(f".{path.stem}.{unique}.partial{path.suffix}")
    try:
        yield partial
        with partial.open("rb+") as file:
            if durable:
                os.fsync(file.fileno())
        _give_usual_mode(partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    if durable:
        _sync_folder(path.parent)


@contextmanager
def new_folder(out: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a folder to write into; it becomes `out` only if the block ends well.

    Args:
        out: The folder to make; an empty one is taken. Missing parents are made.

    Raises:
        DataError: `out` is a file, or a folder with something in it.
        OSError: The folder cannot be made.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with new_folder(Path(folder) / "out") as partial:
    ...         _ = (partial / "a.txt").write_text("whole")
    ...     [str(file.relative_to(folder)) for file in Path(folder).rglob("*.txt")]
    ['out/a.txt']
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out}: is not an empty folder; name a new one, or empty it")
    partial = out.absolute().with_name(f".{out.absolute().name}.{os.getpid()}.partial")
    try:
        partial.mkdir(parents=True)
        yield partial
        if out.exists():
            out.rmdir()
        os.replace(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write a value as indented JSON, whole or not at all."""
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def _give_usual_mode(partial: Path) -> None:
    """Let others read the file as far as the user's umask does: safetensors writes 0600."""
    if os.name != "posix":
        return
    probe = partial.with_name(f"{partial.name}.mode")  # asking for the umask itself would set it
    descriptor = os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        partial.chmod(os.fstat(descriptor).st_mode & 0o777)
    finally:
        os.close(descriptor)
        probe.unlink()


def _sync_folder(folder: Path) -> None:
    """Make a rename inside `folder` outlive a power cut, where folders can be synced at all."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
