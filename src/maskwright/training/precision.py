"""What the processor is good at: the precision and the number of threads to train with."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

import torch

from maskwright.training.fit import Precision

__all__ = ["available_cpus", "choose_num_threads", "choose_precision"]


def choose_precision(device: torch.device | str = "cpu") -> Precision:
    """Return "bf16" where the hardware surely multiplies bfloat16 faster, else "fp32".

    On a GPU that is Ampere or newer; on a processor it is AMX or AVX512-BF16. A processor with no
    bf16 instructions emulates it: a ResNet-18 training step (4 pictures of 224 px, one thread,
    PyTorch 2.14) took 2.0 times as long as in fp32. With AVX512-BF16, on an AMD EPYC, the same step
    took 0.5 to 0.6 of the time, and one of Mask R-CNN 0.7 to 0.85. A run that must give the same
    numbers on any processor names its precision.
    """
    device = torch.device(device)
    if device.type == "cuda":
        # Emulated bf16 counts as supported unless asked otherwise, and is slower than fp32.
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    has_bf16 = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return "bf16" if device.type == "cpu" and has_bf16 else "fp32"


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
    if sys.platform != "linux":
        return os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0))
    quota = _cgroup_quota(Path("/sys/fs/cgroup/cpu.max"))
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


def _cgroup_quota(path: Path) -> float | None:
    """Return the processors that a `cpu.max` file grants, None for no limit or no such file."""
    if not path.is_file():
        return None
    quota, period = path.read_text().split()
    return None if quota == "max" else int(quota) / int(period)
