"""The folder of a training run: which file lies where, and who may write to it.

RUN/config.json           everything the run was started with
RUN/metrics.csv           losses and scores by step; the same for TensorBoard in RUN/tensorboard
RUN/curves.png            the same as a picture
RUN/best.safetensors      the model with the best validation score
RUN/last.safetensors      the model of the last evaluation
RUN/state.safetensors     what `--resume` needs
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from maskwright.errors import TrainingError
from maskwright.files import atomic_write
from maskwright.training.lock_file import LockFile

__all__ = ["RunFolder", "flat_options"]

_LOCK = ".lock"
_ABSENT = object()


class RunFolder:
    """A run's folder, locked for this process until it is closed (or the process ends).

    Open one with `RunFolder.create` or `RunFolder.resume`, best in a `with` statement. Of several
    processes of one distributed run the first does so, the others `RunFolder.follow`.
    """

    def __init__(self, path: Path, lock: LockFile | None) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def create(cls, path: str | os.PathLike[str], *, is_restarted: bool = False) -> Self:
        """Make the folder, or take an empty one, for a new run.

        Args:
            path: The folder.
            is_restarted: The same run was started before and died before its first state was
                saved: what it left is removed.

        Raises:
            TrainingError: Something is in the folder already, it is in use by another process, or
                it cannot be made.
        """
        folder = Path(path)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TrainingError(
                f"the run folder {folder} cannot be made: {error}: choose another folder"
            ) from error
        lock = LockFile.acquire(folder / _LOCK, f"the run folder {folder}")
        if is_restarted and not (folder / "state.safetensors").exists():
            _empty(folder)
        if found := sorted(file.name for file in folder.iterdir() if file.name != _LOCK):
            lock.release()
            raise TrainingError(
                f"the run folder {folder} is not empty, it holds {', '.join(found[:4])}"
                f"{', ...' if len(found) > 4 else ''}: resume the run in it, or choose a new folder"
            )
        return cls(folder, lock)

    @classmethod
    def resume(cls, path: str | os.PathLike[str]) -> Self:
        """Open the folder of a run that was stopped; leftovers of a broken write are removed.

        Raises:
            TrainingError: There is no run to resume, or it is in use by another process.
        """
        folder = Path(path)
        if not (folder / "state.safetensors").is_file():
            raise TrainingError(
                f"there is no run to resume in {folder}: a folder with state.safetensors was "
                "wanted, as a run leaves it"
            )
        lock = LockFile.acquire(folder / _LOCK, f"the run folder {folder}")
        for leftover in folder.glob(".*.partial*"):
            leftover.unlink()
        return cls(folder, lock)

    @classmethod
    def follow(cls, path: str | os.PathLike[str]) -> Self:
        """Read from a folder that the first process of the run holds."""
        return cls(Path(path), None)

    @property
    def config_path(self) -> Path:
        """Everything the run was started with, as JSON."""
        return self.path / "config.json"

    @property
    def metrics_path(self) -> Path:
        """Losses and scores by step, as CSV."""
        return self.path / "metrics.csv"

    @property
    def tensorboard_path(self) -> Path:
        """The folder of TensorBoard's event files."""
        return self.path / "tensorboard"

    @property
    def curves_path(self) -> Path:
        """Losses, learning rate and scores as a picture."""
        return self.path / "curves.png"

    @property
    def best_path(self) -> Path:
        """The model with the best validation score."""
        return self.path / "best.safetensors"

    @property
    def last_path(self) -> Path:
        """The model of the last evaluation."""
        return self.path / "last.safetensors"

    @property
    def state_path(self) -> Path:
        """What a resumed run needs."""
        return self.path / "state.safetensors"

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write `config.json`, atomically; values are those JSON knows.

        Raises:
            TrainingError: The disk is full.
        """
        text = json.dumps(config, indent=2) + "\n"
        try:
            with atomic_write(self.config_path) as partial:
                partial.write_text(text, encoding="utf-8")
        except OSError as error:
            raise TrainingError(f"{self.config_path} could not be written: {error}") from error

    def read_config(self) -> dict[str, Any]:
        """Return what `write_config` wrote.

        Raises:
            TrainingError: The file is missing or no JSON object.
        """
        try:
            config = json.loads(self.config_path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise TrainingError(f"{self.config_path} cannot be read: {error}") from error
        if not isinstance(config, dict):
            raise TrainingError(f"{self.config_path} holds no JSON object: restore it")
        return config

    def require_config(
        self,
        config: Mapping[str, Any],
        *,
        comparable: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda config: config,
    ) -> None:
        """Check that a resumed run has the configuration it was started with.

        Args:
            config: What is asked for now.
            comparable: What both configurations go through before they are compared.

        Raises:
            TrainingError: It differs; the message shows each difference by its dotted name.
        """
        then, now = comparable(self.read_config()), comparable(config)
        # Through JSON, for tuples become lists in the file.
        saved, wanted = (flat_options(json.loads(json.dumps(each))) for each in (then, now))
        differences = [
            f"{name}: {_shown(saved, name)} then, {_shown(wanted, name)} now"
            for name in sorted(saved.keys() | wanted.keys())
            if saved.get(name, _ABSENT) != wanted.get(name, _ABSENT)
        ]
        if differences:
            raise TrainingError(
                f"the run in {self.path} was started with another configuration:\n  "
                + "\n  ".join(differences)
                + "\nresume without changes, or start a new run"
            )

    def discard(self) -> None:
        """Remove all that the run wrote, and the folder; what is left without a state is no use."""
        _empty(self.path)
        self.close()
        if not any(self.path.iterdir()):
            self.path.rmdir()

    def close(self) -> None:
        """Unlock the folder; harmless when repeated."""
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        elif entry.name != _LOCK:
            entry.unlink()


def flat_options(value: Any, name: str = "") -> dict[str, Any]:
    """Return the leaves of nested dicts by dotted names; lists are leaves."""
    if not isinstance(value, dict) or not value:
        return {name: value}
    return {
        leaf: held
        for key, inner in value.items()
        for leaf, held in flat_options(inner, f"{name}.{key}" if name else key).items()
    }


def _shown(flat: Mapping[str, Any], name: str) -> str:
    return json.dumps(flat[name]) if name in flat else "absent"
