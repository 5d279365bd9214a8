"""Files to object storage, through fsspec."""

from __future__ import annotations

from pathlib import Path

from maskwright.data.shards.storage import file_system
from maskwright.errors import DataError

__all__ = ["is_url", "refuse_filled", "send_file"]


def is_url(place: str | Path) -> bool:
    """Whether a place is a URL and no folder of this machine.

    >>> is_url("s3://bucket/shards"), is_url("C:/shards")
    (True, False)
    """
    return "://" in str(place)


def refuse_filled(url: str) -> None:
    """Check that nothing is at the URL yet.

    Raises:
        DataError: Files are there, or the storage does not answer.
    """
    try:
        storage, path = file_system(url)
        found = storage.ls(path, detail=False) if storage.exists(path) else []
    except (OSError, ValueError) as error:
        raise DataError(f"{url}: cannot be looked at ({error})") from error
    if found:
        raise DataError(f"{url}: is not empty; name a new place, or empty it")


def send_file(path: Path, *, url: str) -> None:
    """Move a file below the URL, under its own name.

    Raises:
        DataError: The storage does not take it.
    """
    try:
        storage, folder = file_system(url)
        storage.makedirs(folder, exist_ok=True)
        storage.put_file(str(path), f"{folder}/{path.name}")
    except (OSError, ValueError, NotImplementedError) as error:
        raise DataError(f"{url}/{path.name}: cannot be written ({error})") from error
    path.unlink()
