"""One small Ray for all tests of this folder, started when the first asks and surely ended."""

from __future__ import annotations

import gc
import os
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

_SOURCE = Path(__file__).resolve().parents[2] / "src"


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    """Two cores and a small store; what the tests call takes it as it finds it."""
    pytest.importorskip("ray")
    from maskwright.ray_session import ray_session

    before = {name: os.environ.get(name) for name in ("PYTHONPATH", "RAY_worker_niceness")}
    # Workers import what the tests import.
    paths = [str(_SOURCE), *filter(None, [before["PYTHONPATH"]])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    # Ray's 15 waits for all else on a busy machine.
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - Ray's own spelling
    children = _children(os.getpid())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with ray_session("local", num_cpus=2) as ray:
                yield ray
            gc.collect()  # Ray's handles of its processes warn when they go
    finally:
        for process in _children(os.getpid()) - children:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@pytest.fixture
def kill_workers() -> Callable[[str], int]:
    """Kill this process's workers of a name, as Ray shows it; returns how many."""

    def kill(name: str) -> int:
        count = 0
        for process in _children(os.getpid()):
            with suppress(OSError):
                if name in Path(f"/proc/{process}/cmdline").read_text():
                    os.kill(process, signal.SIGKILL)
                    count += 1
        return count

    return kill


def _children(process: int) -> set[int]:
    """All processes below this one."""
    found: set[int] = set()
    waiting = [process]
    while waiting:
        parent = waiting.pop()
        for path in Path("/proc").glob(f"{parent}/task/*/children"):
            with suppress(OSError):
                new = {int(child) for child in path.read_text().split()} - found
                found |= new
                waiting += new
    return found
