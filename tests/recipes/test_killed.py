"""`kill -9` at any moment, again and again: the run ends with the bytes of an undisturbed one."""

from __future__ import annotations

import multiprocessing
import random
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from maskwright.recipes import resume, train

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="kills as POSIX does"),
]

_KILLS = 20
_IMPORTED = ["maskwright.recipes", "torchvision", "torch.utils.tensorboard", "hotcoco"]
"""What every life of the run would import anew."""
_OPTIONS = {
    "model.short_side": 64,
    "model.long_side": 64,
    "model.neck.channels": 16,
    "model.detector.box_head.fc_channels": [32],
    "model.detector.detections_per_image": 10,
    "model.mask_head.conv_channels": [16],
    "model.mask_head.deconv_channels": 16,
    "batch_size": 2,
    "num_workers": 0,
    "evaluations": 4,
    "precision": "fp32",
}


def _train(data: Path, out: Path) -> None:
    train(
        data,
        out=out,
        num_steps=16,
        preset="tiny",
        weights="none",
        device="cpu",
        quiet=True,
        overrides=_OPTIONS,
    )


def _go_on(data: Path, out: Path) -> None:
    """Resume if there is a state, begin otherwise; the state is saved after every step."""
    from maskwright.recipes import between_steps

    between_steps._SAVE_SECONDS = 0.0
    if (out / "state.safetensors").is_file():
        resume(out, device="cpu", quiet=True)
    else:
        _train(data, out)


def _start(context: multiprocessing.context.ForkServerContext, *args: Path) -> BaseProcess:
    process = context.Process(target=_go_on, args=args)
    process.start()
    return process


def test_twenty_kills_at_random_moments_change_no_byte(discs: Path, tmp_path: Path) -> None:
    _train(discs, tmp_path / "whole")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED)
    chance, runs = random.Random(0), 0
    killed_at: list[int] = []
    while True:
        out = tmp_path / f"killed {runs}"
        process = _start(context, discs, out)
        _wait_for_a_step(process, out)
        if len(killed_at) < _KILLS:
            process.join(timeout=chance.uniform(0.0, 0.4))
            process.kill()
        process.join()
        if process.exitcode == 0:  # it came to its end before the kill: begin another run
            _require_same_bytes(tmp_path / "whole", out)
            runs += 1
            if len(killed_at) >= _KILLS:
                break
        else:
            killed_at.append(_last_step(out))
    assert len(set(killed_at)) > 3, f"killed at the steps {killed_at}: not at random moments"


def _wait_for_a_step(process: BaseProcess, out: Path) -> None:
    """Return once the process has taken a step of its own, or has ended."""
    before = _last_step(out)
    while process.exitcode is None and _last_step(out) <= before:
        time.sleep(0.005)


def _last_step(out: Path) -> int:
    log = out / "metrics.csv"
    rows = log.read_text().splitlines()[1:] if log.exists() else []
    return int(rows[-1].split(",")[0]) if rows and rows[-1].split(",")[0].isdecimal() else 0


def _require_same_bytes(whole: Path, killed: Path) -> None:
    for name in ("best.safetensors", "last.safetensors"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name
