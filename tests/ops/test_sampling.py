from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from maskwright.ops import BACKGROUND, IGNORED, BalancedSampler


@given(
    st.lists(st.sampled_from([IGNORED, BACKGROUND, 0, 3]), max_size=60),
    st.integers(1, 40),
    st.floats(0, 1),
)
def test_samples_are_balanced_and_of_their_kind(
    matched: list[int], num_samples: int, fraction: float
) -> None:
    matches = torch.tensor(matched, dtype=torch.int64)
    positive, negative = BalancedSampler(num_samples=num_samples, positive_fraction=fraction)(
        matches
    )
    num_positive = sum(match >= 0 for match in matched)
    num_negative = matched.count(BACKGROUND)
    assert len(positive) == min(num_positive, int(num_samples * fraction))
    assert len(negative) == min(num_negative, num_samples - len(positive))
    assert (matches[positive] >= 0).all()
    assert (matches[negative] == BACKGROUND).all()
    assert (positive.diff() > 0).all()
    assert (negative.diff() > 0).all()


def test_a_generator_repeats_its_draws_and_all_boxes_get_their_turn() -> None:
    matches = torch.full((50,), BACKGROUND)

    def draw(seed: int) -> list[int]:
        generator = torch.Generator().manual_seed(seed)
        sampler = BalancedSampler(num_samples=10, positive_fraction=0.5, generator=generator)
        return sampler(matches)[1].tolist()

    assert draw(1) == draw(1)
    assert set().union(*(draw(seed) for seed in range(60))) == set(range(50))
