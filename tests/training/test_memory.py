"""Memory: what its end looks like, how it is measured, and what a step without it says."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from maskwright.errors import ConfigError, OutOfMemoryError
from maskwright.structures import Batch, Losses
from maskwright.training import OptimizerConfig, fit, is_out_of_memory, memory_meter
from maskwright.training.fit import StepOutOfMemoryError
from maskwright.training.memory import ProcessMeter

_MIB = 2**20


def test_what_the_devices_raise_is_known() -> None:
    for error in (
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate"),
        RuntimeError("MPS backend out of memory (MPS allocated: 17 GB)"),
    ):
        assert is_out_of_memory(error)
    with pytest.raises(MemoryError) as numpy_error:
        np.zeros((2**50,), np.uint8)
    assert is_out_of_memory(numpy_error.value)
    with pytest.raises(RuntimeError) as torch_error:
        torch.empty(2**50, dtype=torch.uint8)
    assert is_out_of_memory(torch_error.value)
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="resets the peak as Linux does")
def test_the_peak_of_a_piece_of_work_is_measured_anew() -> None:
    meter = ProcessMeter(limit=1)

    def hold(size: int) -> None:
        np.ones(size * _MIB, np.uint8)

    large, small = meter.peak(lambda: hold(96)), meter.peak(lambda: hold(8))
    assert 60 * _MIB < large - small < 120 * _MIB


def test_the_limit_is_what_is_held_and_most_of_what_is_free_or_what_was_given() -> None:
    free, half = ProcessMeter().limit, ProcessMeter(share=2).limit
    assert 0 < half < free
    assert memory_meter(torch.device("cpu"), 5 * _MIB).limit == 5 * _MIB
    with pytest.raises(ConfigError, match="cpu and cuda, not on meta"):
        memory_meter(torch.device("meta"))


class _Greedy(torch.nn.Module):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self._error = error

    def forward(self, batch: Batch) -> Losses:
        raise self._error


def _batch() -> Batch:
    sizes = ((40, 60),) * 3
    return Batch(
        images=torch.zeros((3, 3, 64, 64), dtype=torch.uint8),
        image_sizes=sizes,
        original_sizes=sizes,
        names=("a.png", "b.png", "c.png"),
    )


def test_a_step_without_memory_names_pictures_and_size() -> None:
    model = _Greedy(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    steps = fit(model, [_batch()], OptimizerConfig().build(model), lambda step: 1.0)
    with pytest.raises(
        OutOfMemoryError, match=r"step 1: .* 3 pictures of 64 x 64 .*a\.png"
    ) as told:
        list(steps)
    assert isinstance(told.value, StepOutOfMemoryError)
    assert len(told.value.batch) == 3


def test_other_errors_of_a_step_stay_what_they_are() -> None:
    model = _Greedy(RuntimeError("shapes differ"))
    steps = fit(model, [_batch()], OptimizerConfig().build(model), lambda step: 1.0)
    with pytest.raises(RuntimeError, match="shapes differ"):
        list(steps)


_UNDER_A_LIMIT = """
import resource, sys
import torch
from maskwright.errors import OutOfMemoryError
from maskwright.structures import Batch
from maskwright.training import OptimizerConfig, fit

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Conv2d(3, 64, 3)
    def forward(self, batch):
        return {"loss": self.layer(batch.images.float()).square().mean()}

model = Model()
size = (512, 512)
batch = Batch(images=torch.zeros((8, 3, *size), dtype=torch.uint8), image_sizes=(size,) * 8,
              original_sizes=(size,) * 8)
held = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + 200 * 2**20,) * 2)
try:
    list(fit(model, [batch], OptimizerConfig().build(model), lambda step: 1.0))
except OutOfMemoryError as error:
    sys.stdout.write(str(error))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits memory as Linux does")
def test_a_real_limit_of_the_system_ends_in_the_same_message() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _UNDER_A_LIMIT],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "step 1: out of memory with 8 pictures of 512 x 512 pixels" in done.stdout, done.stderr
