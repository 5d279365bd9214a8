"""Memory does not grow with the epochs of a run."""

from __future__ import annotations

import ctypes
import gc
import sys
from pathlib import Path

import numpy as np
import pytest

import maskwright as mw
from maskwright.backbones import CSP, FPN
from maskwright.data import Loader
from maskwright.detectors import YOLO
from maskwright.mask_heads import Prototypes
from maskwright.model import InstanceSegmenter
from maskwright.training import EMA, MetricsLog, OptimizerConfig, fit, report_values
from maskwright.transforms import AUGMENTATIONS

_EPOCHS = 20
_SETTLED = 6
"""Epochs after which caches are full and the allocator has seen every size."""

_MOST_GROWTH = 2 * 2**20
"""Bytes that the line through the memory may rise in the epochs after that. Pages come and go by
some hundred kilobytes; one batch of pictures kept per step would be 5 MB."""


def _bytes_in_use() -> int:
    """Resident memory once Python and the C library have given back what nobody holds.

    Without that, blocks that wait for their next use come and go by ten megabytes.
    """
    gc.collect()
    if hasattr(ctypes.CDLL(None), "malloc_trim"):
        ctypes.CDLL(None).malloc_trim(0)
    line = next(
        line
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("VmRSS:")
    )
    return 1024 * int(line.split()[1])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads resident memory of Linux")
def test_resident_memory_is_flat_over_twenty_epochs(discs: Path, tmp_path: Path) -> None:
    dataset = mw.open_dataset(discs).subset(range(8))
    config = InstanceSegmenter.Config(
        backbone=CSP.Config.of_size("nano"),
        neck=FPN.Config(channels=16),
        detector=YOLO.Config(),
        mask_head=Prototypes.Config(),
        short_side=64,
        long_side=64,
    )
    model = InstanceSegmenter(config, dataset.class_names)
    loader = Loader(
        dataset,
        batch_size=4,
        short_side=64,
        long_side=64,
        augmentation=AUGMENTATIONS["strong"],
        cache_bytes=2**20,
    )
    steps = _EPOCHS * loader.steps_per_epoch
    optimizer = OptimizerConfig(learning_rate=1e-3).build(model)
    held: list[int] = []
    with MetricsLog(tmp_path / "metrics.csv", tensorboard=tmp_path / "events") as log:
        ema = EMA(model)
        for report in fit(
            model, loader, optimizer, lambda step: 1.0, num_steps=steps, ema=ema, clip_norm=1.0
        ):
            log.write(report.step, report_values(report))
            if report.step % loader.steps_per_epoch == 0:
                held.append(_bytes_in_use())
    settled = np.array(held[_SETTLED:], np.float64)
    slope, _ = np.polyfit(np.arange(len(settled)), settled, 1)
    growth = slope * (len(settled) - 1)
    assert growth < _MOST_GROWTH, f"{growth / 2**20:.1f} MiB more: {(settled / 2**20).round(1)}"
