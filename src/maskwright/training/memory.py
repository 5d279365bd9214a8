"""Memory: knowing when it ran out, how much there is, and how much a piece of work takes.

On the CPU the memory of the process is resident memory, its highest point read from the kernel
(Linux) or from `getrusage`; there a measurement that is lower than an earlier one reads too high,
so measure in rising order. On CUDA it is what PyTorch's allocator has handed out.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import final

import torch

from maskwright.errors import ConfigError

__all__ = ["CudaMeter", "MemoryMeter", "ProcessMeter", "is_out_of_memory", "memory_meter"]

_SIGNS = (
    "can't allocate memory",  # DefaultCPUAllocator on POSIX
    "not enough memory",  # DefaultCPUAllocator on Windows
    "out of memory",  # CUDA, cuDNN, MPS
    "could not create a memory object",  # oneDNN
    "CUBLAS_STATUS_ALLOC_FAILED",
)

_V1 = "/sys/fs/cgroup/memory"
_CONTROL_GROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (f"{_V1}/memory.limit_in_bytes", f"{_V1}/memory.usage_in_bytes"),
)
"""What a container may use and uses, in bytes; "max" is no limit."""

_MARGIN = 0.85
"""Share of the free memory that training may take: fragments, loader workers and other programs
want some, and batches are not all alike."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error means that memory could not be had, on whatever device.

    >>> is_out_of_memory(MemoryError())
    True
    >>> text = "[enforce fail at alloc_cpu.cpp:118] . DefaultCPUAllocator: can't allocate memory"
    >>> is_out_of_memory(RuntimeError(text)), is_out_of_memory(RuntimeError("shapes differ"))
    (True, False)
    """
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


class MemoryMeter(ABC):
    """Says how much memory there is for this process, and how much some work takes."""

    @property
    @abstractmethod
    def limit(self) -> int:
        """Bytes that the process may hold at its highest point."""

    @abstractmethod
    def peak(self, work: Callable[[], None]) -> int:
        """Do the work; return the most bytes that the process held meanwhile, in all.

        An error of the work, out of memory or another, passes through.
        """


def memory_meter(device: torch.device, limit: int | None = None, share: int = 1) -> MemoryMeter:
    """Return the meter for a device.

    Args:
        device: Where the training runs.
        limit: Bytes that the process may hold; None takes most of what is free now.
        share: Processes that share what is free.

    Raises:
        ConfigError: There is no telling on this device or system.
    """
    if device.type == "cuda":
        return CudaMeter(device, limit)
    if device.type == "cpu":
        return ProcessMeter(limit, share)
    raise ConfigError(f"memory is measured on cpu and cuda, not on {device.type}: say batch-size")


@final
class ProcessMeter(MemoryMeter):
    """Resident memory of this process, and what the system or its control group has free.

    Args:
        limit: Bytes; None takes what the process holds and most of what is free.
        share: Processes that share what is free.

    Raises:
        ConfigError: No limit is given and the system does not say what is free.
    """

    def __init__(self, limit: int | None = None, share: int = 1) -> None:
        if limit is None:
            free = _available_bytes()
            if free is None:
                raise ConfigError(
                    "this system does not say how much memory is free: give a limit with --memory"
                )
            limit = _resident_bytes() + int(_MARGIN * free / share)
        self._limit = limit

    @property
    def limit(self) -> int:
        """Bytes that the process may hold at its highest point."""
        return self._limit

    def peak(self, work: Callable[[], None]) -> int:
        """Do the work and return the highest resident memory meanwhile."""
        _reset_peak()
        work()
        return _peak_bytes()


@final
class CudaMeter(MemoryMeter):
    """What PyTorch has allocated on a GPU.

    Args:
        device: The GPU.
        limit: Bytes; None takes what PyTorch holds and most of what is free.
    """

    def __init__(self, device: torch.device, limit: int | None = None) -> None:
        self._device = device
        if limit is None:
            free, _ = torch.cuda.mem_get_info(device)
            limit = int(_MARGIN * (free + torch.cuda.memory_reserved(device)))
        self._limit = limit

    @property
    def limit(self) -> int:
        """Bytes that PyTorch may hold at its highest point."""
        return self._limit

    def peak(self, work: Callable[[], None]) -> int:
        """Do the work and return the most that was allocated meanwhile."""
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(self._device)
        work()
        torch.cuda.synchronize(self._device)
        return torch.cuda.max_memory_allocated(self._device)


def _available_bytes() -> int | None:
    """What could be allocated now; the least of the system's and the control group's word."""
    found = []
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        found += [1024 * _number(line) for line in _lines(meminfo) if line.startswith("MemAvail")]
    elif "SC_AVPHYS_PAGES" in getattr(os, "sysconf_names", {}):
        found.append(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for most, used in _CONTROL_GROUPS:
        text = _lines(Path(most))[:1]
        if text and text[0].strip().isdecimal() and (now := _lines(Path(used))[:1]):
            found.append(max(0, int(text[0]) - int(now[0])))
    return min(found, default=None)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:  # not this kind of system
        return []


def _number(line: str) -> int:
    return int(line.split()[1])


def _resident_bytes() -> int:
    for line in _lines(Path("/proc/self/status")):
        if line.startswith("VmRSS:"):
            return 1024 * _number(line)
    return _peak_bytes()


def _peak_bytes() -> int:
    """The highest resident memory since the last reset, or since the start without /proc."""
    for line in _lines(Path("/proc/self/status")):
        if line.startswith("VmHWM:"):
            return 1024 * _number(line)
    import resource  # not on Windows, which has no /proc either

    unit = 1 if os.uname().sysname == "Darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _reset_peak() -> None:
    """Let VmHWM begin anew (proc(5), clear_refs); where that is not allowed it only rises."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return
