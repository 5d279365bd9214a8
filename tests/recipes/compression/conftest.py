"""A small trained model."""

from __future__ import annotations

from pathlib import Path

import pytest

from maskwright.recipes import train

SMALL = {
    "model.short_side": 64,
    "model.long_side": 64,
    "model.neck.channels": 32,
    "model.detector.strides": [8, 16, 32],
    "model.detector.detections_per_image": 10,
    "batch_size": 2,
    "num_workers": 0,
    "evaluations": 1,
}


@pytest.fixture(scope="session")
def trained(discs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of an SSD with a class map, trained for a few steps."""
    run = train(
        discs,
        out=tmp_path_factory.mktemp("trained") / "run",
        model="ssd+fcn",
        backbone="csp-tiny",
        preset="tiny",
        weights="none",
        num_steps=25,
        overrides=SMALL,
        quiet=True,
    )
    return run.path
