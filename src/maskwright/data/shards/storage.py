"""Bytes from wherever fsspec reaches, with another try where a connection breaks."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from maskwright.errors import DataError, MissingExtraError

__all__ = ["ShardFile", "file_system", "read_all"]

_BLOCK = 2**22
_FIRST_PAUSE = 0.2
"""Seconds before the second try; doubled before each further one."""


class ShardFile:
    """A file of known length, read once from front to back in ranged requests.

    A request that fails is repeated from where it began, so a broken connection costs one block.

    Args:
        url: A path or any URL of fsspec.
        size: Its length in bytes.
        tries: Requests per block before it is given up.
        first_pause: Seconds before the second try.

    Raises:
        MissingExtraError: fsspec is not installed.
    """

    def __init__(
        self, url: str, size: int, *, tries: int = 5, first_pause: float = _FIRST_PAUSE
    ) -> None:
        self._url = url
        self._size = size
        self._tries = tries
        self._first_pause = first_pause
        self._files, self._path = file_system(url)
        self._position = 0
        self._block = b""

    def read(self, length: int) -> bytes:
        """Return the next bytes, fewer only at the end.

        Raises:
            DataError: They could not be read, after all tries.
        """
        parts, wanted = [], length
        while wanted > 0 and (self._block or self._position < self._size):
            if not self._block:
                end = min(self._position + _BLOCK, self._size)
                self._block = self._fetch(self._position, end)
                self._position = end
            parts.append(self._block[:wanted])
            self._block = self._block[wanted:]
            wanted -= len(parts[-1])
        return b"".join(parts)

    def _fetch(self, start: int, end: int) -> bytes:
        for k in range(self._tries):
            if k:
                time.sleep(self._first_pause * 2 ** (k - 1))
            try:
                block: bytes = self._files.cat_file(self._path, start=start, end=end)
                if len(block) == end - start:
                    return block
                problem = f"{len(block)} bytes came instead of {end - start}"
            except FileNotFoundError:
                raise DataError(f"{self._url}: no such shard") from None
            except _failures() as error:
                problem = f"{type(error).__name__}: {error}"
        raise DataError(
            f"{self._url}: bytes {start} to {end} could not be read in {self._tries} tries (last: "
            f"{problem}); is the storage reachable, and does it serve ranges?"
        )


def read_all(url: str, *, tries: int = 5, first_pause: float = _FIRST_PAUSE) -> bytes:
    """Read a small file.

    Raises:
        DataError: It is not there, or could not be read after all tries.
        MissingExtraError: fsspec is not installed.
    """
    files, path = file_system(url)
    problem = ""
    for k in range(tries):
        if k:
            time.sleep(first_pause * 2 ** (k - 1))
        try:
            content: bytes = files.cat_file(path)
            return content
        except FileNotFoundError:
            raise DataError(f"{url}: no such file; wanted shards with their index.json") from None
        except _failures() as error:
            problem = f"{type(error).__name__}: {error}"
    raise DataError(f"{url}: could not be read in {tries} tries (last: {problem})")


def file_system(url: str) -> tuple[Any, str]:
    """Return fsspec's file system of a URL, and the path in it.

    Raises:
        MissingExtraError: fsspec is not installed.
        DataError: A kind of storage that is not known, or whose package is not installed.
    """
    try:
        from fsspec.core import url_to_fs
    except ModuleNotFoundError as error:
        raise MissingExtraError("fsspec", "shards", "use shards") from error
    try:
        files, path = url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise DataError(f"{url}: {error}") from error
    return files, str(path)


def _failures() -> tuple[type[Exception], ...]:
    """What storage raises when a connection breaks."""
    try:
        from aiohttp import ClientError
    except ImportError:
        return (OSError, EOFError, asyncio.TimeoutError)
    return (OSError, EOFError, asyncio.TimeoutError, ClientError)
