"""Trials on Ray: those of one process, and one whose worker dies goes on in another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maskwright.recipes import tune

pytest.importorskip("optuna")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
_OPTIONS: dict[str, Any] = {
    "model": "yolo+prototypes", "preset": "tiny", "weights": "none", "augment": "none",
    "search": ["optimizer.learning_rate=1e-3:1e-1:log", "warmup=0.0:0.3"], "num_steps": 3,
    "device": "cpu",
    "overrides": {
        "model.short_side": 64, "model.long_side": 64, "model.neck.channels": 16, "batch_size": 2,
        "num_workers": 0, "evaluations": 3, "precision": "fp32",
    },
}  # fmt: skip


def test_trials_run_in_workers_and_one_whose_worker_dies_goes_on(
    cluster: Any, kill_workers: Callable[[str], int], discs: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    killed: list[int] = []

    def say(line: str) -> None:
        said.append(line)
        if "of the budget" in line and not killed:
            killed.append(kill_workers("ray::_run"))

    study = tune(
        discs, out=tmp_path / "study", trials=1, ray="local", parallel=1, say=say, **_OPTIONS
    )
    assert killed == [1]
    states = [one.state for one in study.trials]
    assert states == ["interrupted", "complete"]
    assert study.trials[0].values == study.trials[1].values
    assert set(study.trials[0].curve) < set(study.trials[1].curve)
    assert study.trials[1].steps == 3
    assert any("its process died" in line for line in said)
    assert (tmp_path / "study" / "best" / "best.safetensors").is_file()
    assert (tmp_path / "study" / "plots" / "history.png").is_file()
