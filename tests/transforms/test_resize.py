from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maskwright.transforms import resized_size

SIDES = st.integers(1, 500)


@settings(deadline=None, max_examples=150)
@given(SIDES, SIDES, st.integers(1, 60), st.integers(0, 60))
def test_sizes_are_torchvisions(height: int, width: int, short_side: int, more: int) -> None:
    from torchvision.models.detection.transform import GeneralizedRCNNTransform

    size = resized_size((height, width), short_side=short_side, long_side=short_side + more)
    if min(size) == 1:
        return  # torchvision rounds such a side to 0 and fails
    transform = GeneralizedRCNNTransform(short_side, short_side + more, [0.0] * 3, [1.0] * 3)
    resized, _ = transform.resize(torch.zeros(3, height, width))
    assert size == tuple(resized.shape[1:])


@pytest.mark.parametrize("image_size", [(1, 5000), (5000, 1)])
def test_no_side_vanishes(image_size: tuple[int, int]) -> None:
    assert min(resized_size(image_size, short_side=8, long_side=100)) == 1


def test_neither_bound_is_passed() -> None:
    rng = np.random.default_rng(0)
    for height, width in rng.integers(1, 5000, (500, 2)).tolist():
        size = resized_size((height, width), short_side=800, long_side=1333)
        assert min(size) <= 800
        assert max(size) <= 1333
