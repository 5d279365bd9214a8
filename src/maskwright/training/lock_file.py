"""A file that one process holds at a time."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Self

from maskwright.errors import TrainingError

__all__ = ["LockFile"]

_held: set[Path] = set()
"""Locks of this process: the system's own locks never keep a process from itself."""


class LockFile:
    """A lock that the operating system gives back when its process dies, however it dies.

    The file holds the process id, for messages; whether the lock is held is the system's word, so
    a file left behind by `kill -9` (or a process id that was given out again) blocks nobody. On
    POSIX it is a record lock, which forked loader workers do not inherit.

    Make one with `LockFile.acquire`.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor: int | None = descriptor
        self._owner = os.getpid()

    @classmethod
    def acquire(cls, path: Path, subject: str) -> Self:
        """Take the lock.

        Args:
            path: The lock file; its folder exists.
            subject: What is locked, to begin the message with.

        Raises:
            TrainingError: Another process (or another part of this one) has it, or the file
                cannot be written.
        """
        path = path.resolve()
        if path in _held:
            raise TrainingError(f"{subject} is in use by this process already: close it first")
        while True:
            descriptor = _open(path, subject)
            if not _try_lock(descriptor):
                holder = os.read(descriptor, 20).decode(errors="replace").strip() or "unknown"
                os.close(descriptor)
                raise TrainingError(
                    f"{subject} is in use by another process (process id {holder}): wait until it "
                    "ends, or choose another folder"
                )
            if _is_still_there(path, descriptor):
                break
            os.close(descriptor)  # its holder removed the file between our open and our lock
        os.truncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        _held.add(path)
        return cls(path, descriptor)

    def release(self) -> None:
        """Give the lock back and remove the file; harmless when repeated."""
        if self._descriptor is None or os.getpid() != self._owner:
            return
        self._path.unlink(missing_ok=True)  # before the lock goes: nobody else's file is removed
        os.close(self._descriptor)
        self._descriptor = None
        _held.discard(self._path)


def _open(path: Path, subject: str) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise TrainingError(
            f"{subject} cannot be locked: {error}: choose a folder you may write to"
        ) from error


def _is_still_there(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)  # past the text, which others may read
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)
        return True

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
