"""A folder that holds several runs of one purpose: whose it is, and what is finished in it.

Comparisons, cross-validations and studies are such folders. Each is gone on with by whoever asks
for the same again, so what they were asked for lies in `config.json`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from maskwright.errors import TrainingError
from maskwright.recipes.run import Parts
from maskwright.training import RunFolder
from maskwright.training.lock_file import LockFile

__all__ = ["fingerprint", "open_folder_of_runs", "read_finished"]

_Result = TypeVar("_Result")


@contextmanager
def open_folder_of_runs(
    out: str | Path,
    config: Mapping[str, Any],
    subject: str,
    *,
    comparable: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda config: config,
) -> Iterator[Path]:
    """Lend the folder, new or of the same config, locked for this process.

    Args:
        out: The folder; made if it is not there.
        config: What must be the same for results to be comparable, as JSON knows it.
        subject: What holds the runs together, for messages.
        comparable: Brings a config, this one or the saved one, into the form in which they are
            compared and kept.

    Raises:
        TrainingError: The folder holds something else, or was made with another config, whose
            differences the message shows, or is in use.
    """
    path = Path(out)
    if path.is_dir() and not (path / "config.json").is_file():
        others = sorted(entry.name for entry in path.iterdir() if not entry.name.startswith("."))
        if others:
            raise TrainingError(
                f"{path} holds {others[0]!r} and is not of a {subject}: choose another --out"
            )
    path.mkdir(parents=True, exist_ok=True)
    with RunFolder(path, LockFile.acquire(path / ".lock", f"the {subject} in {path}")) as folder:
        if folder.config_path.is_file():
            folder.require_config(config, comparable=comparable)
        else:
            folder.write_config(comparable(config))
        yield path


def read_finished(path: Path, result_class: type[_Result], subject: str) -> _Result:
    """Read the scores of a finished run.

    Args:
        path: The JSON file.
        result_class: What they are.
        subject: What is scored again without the file, for the message.

    Raises:
        TrainingError: The file is damaged or of another version.
    """
    try:
        return result_class(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise TrainingError(
            f"{path} cannot be read ({error}): remove it, and the {subject} is scored again"
        ) from error


def fingerprint(parts: Parts) -> str:
    """Return a short text that changes with the pictures or the objects of any part."""
    digest = hashlib.blake2b(digest_size=8)
    for part in (parts.train, parts.validation, parts.test):
        if part is not None:
            digest.update("\n".join(part.file_names).encode())
            columns = (part.image_ids, part.sizes, part.object_image, part.labels, part.is_crowd)
            for column in (*columns, part.boxes, part.areas):
                digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()
