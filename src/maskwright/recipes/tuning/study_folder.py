"""The folder of a study: its trials' runs and the best of them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Literal, TypeAlias

from maskwright.recipes.tuning.study import Study, Tried

__all__ = ["Keep", "point_to_best", "remove_models", "take_over"]

Keep: TypeAlias = Literal["best", "all"]
"""Whose model files stay: the best trial's, or all."""


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
