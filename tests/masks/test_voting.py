from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from maskwright.masks import Masks
from maskwright.masks.voting import vote_runs


@given(
    seed=st.integers(0, 2**32 - 1),
    num_masks=st.integers(0, 7),
    num_groups=st.integers(1, 4),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    density=st.floats(0, 1),
)
@settings(max_examples=150, deadline=None)
def test_votes_in_runs_are_votes_pixel_by_pixel(
    seed: int, num_masks: int, num_groups: int, size: tuple[int, int], density: float
) -> None:
    rng = np.random.default_rng(seed)
    dense = rng.random((num_masks, *size)) < density
    groups = rng.integers(0, num_groups, num_masks)
    votes = rng.integers(1, 6, num_masks)
    needed = rng.integers(1, 12, num_groups)
    masks = Masks.from_dense(dense)
    # Masks checks that what came out is in the stored form.
    voted = Masks(size, *vote_runs(masks.runs, masks.offsets, groups, votes, needed))
    for g in range(num_groups):
        total = np.zeros(size, int)
        for one, vote, group in zip(dense, votes, groups, strict=True):
            total += vote * one * (group == g)
        np.testing.assert_array_equal(voted.to_dense()[g], total >= needed[g])


def test_no_masks_give_groups_without_pixels() -> None:
    empty = Masks.empty((4, 5))
    none = np.zeros(0, np.int64)
    runs, offsets = vote_runs(empty.runs, empty.offsets, none, none, np.ones(3, np.int64))
    assert len(runs) == 0
    assert offsets.tolist() == [0, 0, 0, 0]
