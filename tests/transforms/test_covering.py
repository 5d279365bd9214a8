"""What lies under a cover, against dense booleans."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from maskwright.errors import ConfigError
from maskwright.masks import Masks
from maskwright.structures import Instances, Sample
from maskwright.transforms import CutOut
from maskwright.transforms.covering import cover_instances, join_instances

_SHAPES = st.tuples(st.integers(0, 5), st.integers(1, 9), st.integers(1, 9))


def _targets(dense: np.ndarray) -> Instances:
    masks = Masks.from_dense(dense)
    return Instances(
        image_size=masks.image_size,
        boxes=torch.from_numpy(masks.boxes),
        labels=torch.arange(len(masks)),
        masks=masks,
        is_crowd=torch.arange(len(masks)) % 2 == 1,
    )


@settings(deadline=None)
@given(
    arrays(bool, _SHAPES),
    st.integers(0, 2**32 - 1),
    st.sampled_from([(False, False), (True, False), (True, True)]),
)
def test_covering_equals_the_dense_difference(
    dense: np.ndarray, seed: int, rule: tuple[bool, bool]
) -> None:
    amodal, keep_hidden = rule
    dense = dense[dense.any(axis=(1, 2))]
    rng = np.random.default_rng(seed)
    cover = rng.random(dense.shape[1:]) < rng.random()
    left = cover_instances(
        _targets(dense), Masks.from_dense(cover[None]), amodal=amodal, keep_hidden=keep_hidden
    )
    visible = dense & ~cover
    kept = [i for i in range(len(dense)) if visible[i].any() or keep_hidden]
    expected = dense[kept] if amodal else visible[kept]
    assert left.labels.tolist() == kept
    assert left.is_crowd is not None
    assert left.is_crowd.tolist() == [i % 2 == 1 for i in kept]
    assert left.masks is not None
    np.testing.assert_array_equal(left.masks.to_dense(), expected)
    np.testing.assert_array_equal(left.boxes.numpy(), left.masks.boxes)


def test_what_is_nearly_hidden_becomes_a_crowd() -> None:
    dense = np.zeros((3, 10, 10), bool)
    dense[:, :, :] = True
    cover = np.zeros((10, 10), bool)
    cover[:, :9] = True
    targets = replace(_targets(dense), is_crowd=None)
    for share, expected in ((0.0, None), (0.1, [False] * 3), (0.11, [True] * 3)):
        left = cover_instances(targets, Masks.from_dense(cover[None]), ignore_below=share)
        assert (None if left.is_crowd is None else left.is_crowd.tolist()) == expected
        assert left.masks.area.tolist() == [10, 10, 10]


def test_joined_sets_keep_order_and_crowds() -> None:
    one, other = _targets(np.ones((2, 3, 3), bool)), _targets(np.zeros((0, 3, 3), bool))
    plain = Instances(
        image_size=(3, 3),
        boxes=torch.zeros((1, 4)),
        labels=torch.tensor([9]),
        masks=Masks.from_boxes([[0, 0, 1, 1]], (3, 3)),
    )
    joined = join_instances([one, other, plain])
    assert joined.labels.tolist() == [0, 1, 9]
    assert joined.is_crowd is not None
    assert joined.is_crowd.tolist() == [False, True, False]


def _square_sample() -> Sample:
    dense = np.zeros((2, 40, 60), bool)
    dense[0, 10:30, 10:50] = True
    dense[1, 2:4, 2:4] = True
    image = np.random.default_rng(0).integers(1, 256, (40, 60, 3), dtype=np.uint8)
    return Sample(image=image, targets=_targets(dense), image_id=1, name="a.png")


@pytest.mark.parametrize("seed", range(8))
def test_what_is_painted_over_is_out_of_the_masks(seed: int) -> None:
    sample = _square_sample()
    cut = CutOut(probability=1, rectangles=(1, 6), side=(0.1, 0.6))
    result = cut.apply(sample, np.random.default_rng(seed), fill=(0, 0, 0))
    painted = (result.image == 0).all(axis=2)
    assert painted.any()
    np.testing.assert_array_equal(result.image[~painted], sample.image[~painted])
    assert sample.image.min() > 0  # the source is never written to
    dense = sample.targets.masks.to_dense() & ~painted
    kept = np.flatnonzero(dense.any(axis=(1, 2)))
    assert result.targets.labels.tolist() == kept.tolist()
    np.testing.assert_array_equal(result.targets.masks.to_dense(), dense[kept])


def test_hidden_objects_stay_where_that_is_asked() -> None:
    all_over = {"probability": 1, "rectangles": (1, 1), "side": (1.0, 1.0)}
    sample, rng = _square_sample(), np.random.default_rng(0)
    assert len(CutOut(**all_over).apply(sample, rng, fill=(0, 0, 0)).targets) == 0
    whole = CutOut(**all_over, truth="whole").apply(sample, rng, fill=(0, 0, 0))
    assert len(whole.targets) == 0
    kept = CutOut(**all_over, truth="whole", hidden="keep").apply(sample, rng, fill=(0, 0, 0))
    assert kept.targets.masks == sample.targets.masks
    with pytest.raises(ConfigError, match='"keep" needs truth "whole"'):
        CutOut(hidden="keep")
