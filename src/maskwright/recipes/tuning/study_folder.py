"""The folder of a study: whose it is, its trials' runs and the best of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias

from maskwright.errors import TrainingError
from maskwright.recipes.tuning.study import Study, Tried
from maskwright.training import RunFolder
from maskwright.training.lock_file import LockFile

__all__ = ["Keep", "open_study", "point_to_best", "remove_models", "take_over"]

Keep: TypeAlias = Literal["best", "all"]
"""Whose model files stay: the best trial's, or all."""

_LOCK = ".lock"


@contextmanager
def open_study(out: str | Path, config: Mapping[str, Any]) -> Iterator[Path]:
    """Lend the folder, new or of a study with the same config, locked for this process.

    Args:
        out: The folder; made if it is not there.
        config: What must be the same for scores to be comparable, as JSON knows it.

    Raises:
        TrainingError: The folder holds something else, or a study of another config, whose
            differences the message shows, or is in use.
    """
    path = Path(out)
    if path.is_dir() and not (path / "config.json").is_file():
        others = sorted(entry.name for entry in path.iterdir() if not entry.name.startswith("."))
        if others:
            raise TrainingError(
                f"{path} holds {others[0]!r} and is not of a study: choose another --out"
            )
    path.mkdir(parents=True, exist_ok=True)
    with RunFolder(path, LockFile.acquire(path / _LOCK, f"the study in {path}")) as folder:
        if folder.config_path.is_file():
            folder.require_config(config)
        else:
            folder.write_config(config)
        yield path


def take_over(dead: Path, folder: Path) -> None:
    """Let a trial go on with the run of one whose process died, if that saved a state."""
    if (dead / "state.safetensors").is_file() and not folder.exists():
        os.replace(dead, folder)


def point_to_best(study: Study) -> None:
    """Make STUDY/best lead to the run folder of the best trial."""
    best = study.best
    if best is None:
        return
    link, aside = study.path / "best", study.path / ".best.partial"
    if link.is_symlink() and os.readlink(link) == best.run:
        return
    aside.unlink(missing_ok=True)
    try:
        aside.symlink_to(best.run, target_is_directory=True)
        os.replace(aside, link)
    except OSError:  # a file system without links
        shutil.rmtree(link, ignore_errors=True)
        shutil.copytree(study.path / best.run, link)


def remove_models(study: Study) -> None:
    """Remove the model files of all finished trials but the best; their logs stay."""
    for one in study.trials:
        if one is not study.best and one.is_finished:
            _remove(study.path, one)


def _remove(folder: Path, one: Tried) -> None:
    for path in (folder / one.run).glob("*.safetensors"):
        path.unlink(missing_ok=True)
