from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from maskwright.errors import TrainingError
from maskwright.training import EMA, OptimizerConfig, ResumePoint, load_state, save_state


def _trained(kind: str = "sgd", width: int = 3) -> tuple[nn.Module, torch.optim.Optimizer]:
    model = nn.Linear(width, 2)
    optimizer = OptimizerConfig(kind=kind).build(model)  # type: ignore[arg-type]
    model(torch.ones(1, width)).sum().backward()
    optimizer.step()
    return model, optimizer


def test_random_states_go_on_where_they_were(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    model, optimizer = _trained()
    random.gauss(0, 1), np.random.standard_normal()  # leaves half a pair in both
    save_state(path, ResumePoint(step=1), model=model, optimizer=optimizer)

    def draw() -> list[float]:
        numbers = [random.gauss(0, 1), random.random()]
        numbers += np.random.standard_normal(3).tolist() + torch.rand(3).tolist()
        return [float(number) for number in numbers]

    wanted = draw()
    load_state(path, model=model, optimizer=optimizer)
    assert draw() == wanted


def test_tied_weights_and_views_are_saved(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    model = nn.ModuleDict({"first": nn.Linear(2, 2), "second": nn.Linear(2, 2)})
    model["second"].weight = model["first"].weight
    optimizer = OptimizerConfig().build(model)
    save_state(path, ResumePoint(step=0), model=model, optimizer=optimizer)
    with torch.no_grad():
        wanted = model["first"].weight.clone()
        model["first"].weight.zero_()
    load_state(path, model=model, optimizer=optimizer)
    assert torch.equal(model["second"].weight, wanted)


def test_a_state_of_another_run_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    model, optimizer = _trained()
    save_state(path, ResumePoint(step=1), model=model, optimizer=optimizer)

    other, other_optimizer = _trained(width=4)
    before = other.weight.detach().clone()
    with pytest.raises(TrainingError, match="1 of another shape, the first is weight"):
        load_state(path, model=other, optimizer=other_optimizer)
    with pytest.raises(TrainingError, match="without a moving average and is resumed with one"):
        load_state(path, model=model, optimizer=optimizer, ema=EMA(model))
    adam_model, adam = _trained("adamw")
    with pytest.raises(TrainingError, match="with the optimiser SGD and is resumed with AdamW"):
        load_state(path, model=adam_model, optimizer=adam)
    assert torch.equal(other.weight, before)


def test_a_missing_a_damaged_and_a_foreign_file_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    model, optimizer = _trained()
    with pytest.raises(TrainingError, match="no state to resume from"):
        load_state(path, model=model, optimizer=optimizer)
    save_state(path, ResumePoint(step=1), model=model, optimizer=optimizer)
    whole = path.read_bytes()
    for damaged in (b"", whole[:100], whole[:-1], b"\xff" * 64):
        path.write_bytes(damaged)
        with pytest.raises(TrainingError, match="is damaged"):
            load_state(path, model=model, optimizer=optimizer)
    path.write_bytes(whole)
    save_file(load_file(path), path)  # the same tensors without our header
    with pytest.raises(TrainingError, match="format none, this version reads format 1"):
        load_state(path, model=model, optimizer=optimizer)


@pytest.fixture
def small_disk() -> Iterator[Callable[[], None]]:
    """Give a function after whose call no file may grow past 20 kB, until the test ends."""
    resource = pytest.importorskip("resource", reason="file size limits are a POSIX thing")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_the_last_state_whole(
    tmp_path: Path, small_disk: Callable[[], None]
) -> None:
    path = tmp_path / "state.safetensors"
    model = nn.Linear(100, 100)
    optimizer = OptimizerConfig().build(model)
    save_state(path, ResumePoint(step=1), model=model, optimizer=optimizer)
    small_disk()
    with pytest.raises(TrainingError, match=r"could not be written .* is still whole"):
        save_state(path, ResumePoint(step=2), model=model, optimizer=optimizer)
    assert load_state(path, model=model, optimizer=optimizer).step == 1
    assert [file.name for file in tmp_path.iterdir()] == ["state.safetensors"]
