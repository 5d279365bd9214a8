"""What the processor is good at: the precision and the number of threads to train with."""

from __future__ import annotations

import math
import os
from pathlib import Path

import torch

from maskwright.training.fit import Precision

__all__ = ["available_cpus", "choose_num_threads", "choose_precision"]


def choose_precision(device: torch.device | str = "cpu") -> Precision:
    """Return "bf16" where the hardware multiplies bfloat16 matrices, else "fp32".

    On a GPU that is Ampere or newer. On a processor it is AMX alone: without it bf16 convolutions
    are slower than fp32 ones even where AVX-512 has a bf16 dot product, since weights and
    activations are converted and the backward pass has no fast kernel (measured with PyTorch 2.14:
    see docs/results.md).
    """
    device = torch.device(device)
    if device.type == "cuda":
        # Emulated bf16 counts as supported unless asked otherwise, and is slower than fp32.
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device.type == "cpu" and torch.cpu._is_amx_tile_supported():
        return "bf16"
    return "fp32"


def choose_num_threads() -> int:
    """Return how many threads PyTorch should compute with.

    That is PyTorch's own choice (one per core, or OMP_NUM_THREADS), but no more than this process
    may use: in a container with a share of a large machine, threads beyond it only wait for each
    other.
    """
    return max(1, min(torch.get_num_threads(), available_cpus()))


def available_cpus() -> int:
    """Return how many processors this process may use at once, at least 1.

    Looks at the process's affinity and at the quota of its control group (Linux, version 2).
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = _cgroup_quota(Path("/sys/fs/cgroup/cpu.max"))
    return max(1, min(allowed or 1, math.ceil(quota)) if quota is not None else allowed or 1)


def _cgroup_quota(path: Path) -> float | None:
    """Return the processors that a `cpu.max` file grants, None for no limit or no such file."""
    if not path.is_file():
        return None
    quota, period = path.read_text().split()
    return None if quota == "max" else int(quota) / int(period)
