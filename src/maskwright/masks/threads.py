"""Work on many objects shared out among threads; compiled kernels leave Python's lock meanwhile."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

__all__ = ["in_parts", "num_threads"]

T = TypeVar("T")

_MOST_THREADS = 8


@cache
def num_threads() -> int:
    """Threads to share work among: one per processor, or as OMP_NUM_THREADS says; at most 8."""
    stated = os.environ.get("OMP_NUM_THREADS", "")
    there = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        there = len(os.sched_getaffinity(0))
    return max(1, min(int(stated) if stated.isdecimal() else there, there, _MOST_THREADS))


def in_parts(count: int, work: Callable[[int, int], T], *, fewest: int = 8) -> list[T]:
    """Return what `work(first, last)` gives for parts of `count` objects, in their order.

    Args:
        count: Objects in all.
        work: Does the objects from `first` up to `last`, `last` exclusive. Without objects it is
            called once, with (0, 0).
        fewest: Objects a thread must have, or it is not woken; waking one costs 50 to 100 us.

    >>> in_parts(3, lambda first, last: (first, last))
    [(0, 3)]
    """
    parts = min(num_threads(), count // fewest)
    if parts < 2:
        return [work(0, count)]
    ends = [count * k // parts for k in range(parts + 1)]
    return list(_pool().map(work, ends[:-1], ends[1:]))


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(num_threads(), thread_name_prefix="masks")


if hasattr(os, "register_at_fork"):
    # A forked process has the pool's locks, and none of its threads.
    os.register_at_fork(after_in_child=_pool.cache_clear)
