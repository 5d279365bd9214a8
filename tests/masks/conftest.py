"""Mask stacks that every codec, transform and comparison is held against."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import settings

# The first example of a test may compile a kernel.
settings.register_profile("compiled", deadline=None)
settings.load_profile("compiled")


def _stacks() -> Iterator[tuple[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    for height, width in ((1, 1), (1, 17), (19, 1), (7, 9), (40, 30)):
        size = f"{height}x{width}"
        yield f"none-{size}", np.zeros((0, height, width), bool)
        yield (
            f"empty-and-full-{size}",
            np.stack([np.zeros((height, width)), np.ones((height, width))]) > 0,
        )
        corners = np.zeros((4, height, width), bool)
        corners[[0, 1, 2, 3], [0, 0, -1, -1], [0, -1, 0, -1]] = True
        yield f"single-pixels-{size}", corners
        yield f"noise-{size}", rng.random((3, height, width)) < 0.5
        board = np.indices((height, width)).sum(axis=0) % 2 == 0
        yield f"chessboard-{size}", np.stack([board, ~board])
    frame = np.ones((9, 12), bool)
    frame[1:-1, 1:-1] = False
    yield "frame-and-inside", np.stack([frame, ~frame])
    yield "stripes", np.stack([np.indices((10, 11))[axis] % 2 == 0 for axis in (0, 1)])
    y, x = np.mgrid[:60, :80]
    ring = np.hypot(y - 30, x - 41)
    yield "discs", np.stack([ring < 25, (ring < 25) & (ring > 11), (ring > 20), (ring < 3)])


@pytest.fixture(params=[pytest.param(dense, id=name) for name, dense in _stacks()])
def dense(request: pytest.FixtureRequest) -> np.ndarray:
    """(n, h, w) bool, random and adversarial."""
    return request.param
