"""How many pictures should go through the network together: measured, not guessed."""

from __future__ import annotations

from time import perf_counter

import numpy as np

from maskwright.inference.runtime import Runtime

__all__ = ["fastest_batch_size"]

_GAIN = 0.95
"""A larger batch must take less than this share of the time a picture: else it only costs memory
and waiting."""

_REPEATS = 2


def fastest_batch_size(model: Runtime, image: np.ndarray, *, limit: int = 16) -> int:
    """Return the batch size with the most pictures a second, by trying 1, 2, 4 and so on.

    On processors that is mostly 1, on GPUs what fills them. Stops where a batch is hardly quicker
    than half of it, or does not fit into memory.

    Args:
        model: What runs the network.
        image: A picture like those to come.
        limit: The largest batch to try, at least 1.
    """
    best, best_seconds = 1, _seconds_per_picture(model, image, 1)
    size = 2
    while size <= limit:
        try:
            seconds = _seconds_per_picture(model, image, size)
        except (MemoryError, RuntimeError):  # PyTorch's own error of full memory is the latter
            return best
        if seconds > _GAIN * best_seconds:
            return best
        best, best_seconds = size, seconds
        size *= 2
    return best


def _seconds_per_picture(model: Runtime, image: np.ndarray, size: int) -> float:
    """The shortest of some repeats, after one that pays for what is done once."""
    images = [image] * size
    times = []
    for _ in range(1 + _REPEATS):
        began = perf_counter()
        model.predict(model.collate(images))
        times.append(perf_counter() - began)
    return min(times[1:]) / size
