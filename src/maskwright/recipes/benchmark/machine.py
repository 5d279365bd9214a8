"""What a machine is, and the most that it computes, measured."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from maskwright.inference.runtime_choice import processor_name

__all__ = ["Peak", "machine_facts", "measure_peak"]

_SIDE = 2048
"""Of the matrices: 17 GFLOP a product, 50 MB."""

_MAP = (1, 256, 100, 136)
"""Of the 3 x 3 convolution to as many channels: a level of a pyramid at 800 x 1088, 16 GFLOP."""

_SECONDS = 1.0
_FEWEST = 3

_PACKAGES = ("torch", "torchvision", "numba", "onnxruntime", "openvino", "pycocotools")


@dataclass(frozen=True, kw_only=True)
class Peak:
    """The most that this process's threads compute in float32, in 10^9 operations a second.

    Args:
        product: Of a product of two square matrices.
        convolution: Of a direct 3 x 3 convolution.
        threads: PyTorch's.
    """

    product: float
    convolution: float
    threads: int


def measure_peak() -> Peak:
    """Measure both for about a second each; the quickest run counts."""
    import torch
    import torch.nn.functional as F

    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(_SIDE, _SIDE, generator=generator) for _ in range(2))
    x = torch.randn(_MAP, generator=generator).to(memory_format=torch.channels_last)
    channels = _MAP[1]
    weight = torch.randn(channels, channels, 3, 3, generator=generator)
    weight = weight.to(memory_format=torch.channels_last)
    places = _MAP[0] * _MAP[2] * _MAP[3]
    with torch.inference_mode():
        product = 2 * _SIDE**3 / _quickest(lambda: left @ right)
        convolution = 18 * places * channels**2 / _quickest(lambda: F.conv2d(x, weight, padding=1))
    return Peak(
        product=product / 1e9, convolution=convolution / 1e9, threads=torch.get_num_threads()
    )


def _quickest(work: Callable[[], object]) -> float:
    """Return the seconds of the quickest of several runs, after one that pays for preparations."""
    work()
    times: list[float] = []
    until = time.perf_counter() + _SECONDS
    while len(times) < _FEWEST or time.perf_counter() < until:
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def machine_facts() -> dict[str, Any]:
    """Return processor, cores, PyTorch's threads and vector instructions, and versions."""
    import torch

    facts: dict[str, Any] = {
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        "system": platform.system(),
    }
    for name in ("maskwright", *_PACKAGES):
        try:
            facts[name] = version(name)
        except PackageNotFoundError:
            continue
    return facts
