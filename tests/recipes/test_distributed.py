"""Two processes that torchrun starts train as one does, and a run outlives one that dies."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from maskwright.data import open_dataset
from maskwright.inference import Predictor
from maskwright.model import load_checkpoint
from maskwright.recipes import score_model, train

pytestmark = pytest.mark.slow

_OPTIONS = {
    "model.short_side": 128,
    "model.long_side": 128,
    "model.neck.channels": 16,
    "model.backbone.norm": "group",  # batch norms would see half of a batch each
    "model.mask_head.dropout": 0.0,  # each process draws for itself
    "augmentation.scale": [1.0, 1.0],  # all of one size: padding reaches group norms
    "freezing.steps": 2,  # what thaws later is averaged between the processes as well
    "batch_size": 4,
    "num_workers": 0,
    "evaluations": 1,
    "precision": "fp32",
}


def _torchrun(
    data: Path, out: Path, steps: int, *options: str, restarts: int = 0
) -> subprocess.Popen[str]:
    chosen = [f"--set={name}={value}" for name, value in _OPTIONS.items()]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    launcher += ["--nproc-per-node=2", f"--max-restarts={restarts}", "--monitor-interval=0.1"]
    command = ["-m", "maskwright", "train", str(data), f"--out={out}", f"--steps={steps}"]
    command += ["--model=yolo+fcn", "--preset=tiny", "--weights=none", "--device=cpu"]
    return subprocess.Popen(
        [*launcher, *command, *chosen, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def _rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def _losses(run: Path) -> np.ndarray:
    rows = [row for row in _rows(run) if row["loss/total"]]
    names = [name for name in rows[0] if name.startswith("loss/")]
    return np.array([[float(row[name]) for name in names] for row in rows])


@pytest.fixture(scope="module")
def shared(discs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "shared"
    process = _torchrun(discs, out, 4)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert output.count("Model:") == 1  # one process talks
    return out


def test_two_processes_have_the_losses_of_one_with_the_whole_batch(
    shared: Path, discs: Path, tmp_path: Path
) -> None:
    train(
        discs,
        out=tmp_path / "alone",
        num_steps=4,
        model="yolo+fcn",
        preset="tiny",
        weights="none",
        device="cpu",
        quiet=True,
        overrides=_OPTIONS,
    )
    expected = _losses(tmp_path / "alone")
    assert expected.shape[0] == 4
    np.testing.assert_allclose(_losses(shared), expected, rtol=1e-3, atol=1e-4)
    weights = load_checkpoint(shared / "last.safetensors").state_dict()
    for name, value in (
        load_checkpoint(tmp_path / "alone" / "last.safetensors").state_dict().items()
    ):
        torch.testing.assert_close(weights[name], value, rtol=1e-3, atol=1e-4, msg=name)


def test_the_shared_evaluation_has_the_numbers_of_one_process(shared: Path, discs: Path) -> None:
    scores = json.loads((shared / "scores.json").read_text())
    ids = json.loads((shared / "split.json").read_text())
    data = open_dataset(discs)
    positions = {image_id: i for i, image_id in enumerate(data.image_ids.tolist())}
    predictor = Predictor(load_checkpoint(shared / "best.safetensors"))
    for part in ("validation", "test"):
        subset = data.subset([positions[image_id] for image_id in ids[part]])
        alone = score_model(predictor, subset).as_dict()
        assert json.loads(json.dumps(alone)) == scores[part]


def test_a_run_goes_on_from_its_last_state_when_one_of_two_processes_is_killed(
    discs: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    process = _torchrun(discs, out, 60, restarts=3)
    try:
        _wait_for_steps(out, 3)
        victim = _workers(process.pid)[1]
        os.kill(victim, signal.SIGKILL)
        output, _ = process.communicate(timeout=300)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, output
    steps = [int(row["step"]) for row in _rows(out) if row["loss/total"]]
    assert steps == list(range(1, 61))
    assert (out / "scores.json").is_file()


def _wait_for_steps(run: Path, count: int) -> None:
    until = time.monotonic() + 200
    while time.monotonic() < until:
        if (run / "metrics.csv").is_file() and len(_rows(run)) >= count:
            return
        time.sleep(0.05)
    raise AssertionError("the run took no steps")


def _workers(launcher: int) -> list[int]:
    """The processes that the launcher started, by their rank."""
    ranks = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            status = (entry / "stat").read_text().rpartition(")")[2].split()
            environment = (entry / "environ").read_bytes().split(b"\0")
        except (OSError, PermissionError):
            continue
        ranked = [part for part in environment if part.startswith(b"RANK=")]
        if int(status[1]) == launcher and ranked:
            ranks[int(ranked[0][5:])] = int(entry.name)
    return [ranks[rank] for rank in sorted(ranks)]
