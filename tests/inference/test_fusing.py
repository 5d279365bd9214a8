"""Views and members made one: against definitions by pixel, and laws."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maskwright.errors import ConfigError
from maskwright.inference import fuse_views
from maskwright.masks import Masks
from maskwright.structures import Instances


def _found(dense: np.ndarray, scores: list[float], labels: list[int] | None = None) -> Instances:
    masks = Masks.from_dense(dense)
    return Instances(
        image_size=masks.image_size,
        boxes=torch.from_numpy(masks.boxes),
        labels=torch.tensor(labels or [0] * len(scores), dtype=torch.int64),
        scores=torch.tensor(scores, dtype=torch.float32),
        masks=masks,
        class_names=("coin", "nut"),
    )


def _square(size: tuple[int, int], x1: int, y1: int, x2: int, y2: int) -> np.ndarray:
    dense = np.zeros(size, bool)
    dense[y1:y2, x1:x2] = True
    return dense


SIZE = (20, 30)


def test_an_object_of_two_views_has_the_mean_score_and_one_seen_once_is_half_as_sure() -> None:
    a, b = _square(SIZE, 2, 2, 10, 10), _square(SIZE, 15, 5, 25, 15)
    fused = fuse_views([_found(np.stack([a, b]), [0.9, 0.8]), _found(a[None], [0.7])])
    assert fused.scores is not None
    assert fused.scores.tolist() == pytest.approx([0.8, 0.4])
    assert fused.masks is not None
    np.testing.assert_array_equal(fused.masks.to_dense(), np.stack([a, b]))
    np.testing.assert_array_equal(fused.boxes.numpy(), fused.masks.boxes)


def test_the_mask_is_the_weighted_majority_by_pixel_and_the_box_the_weighted_mean() -> None:
    rng = np.random.default_rng(0)
    core = _square(SIZE, 4, 4, 20, 16)
    views, dense, scores, weights = [], [], [0.9, 0.6, 0.5, 0.3], [1.0, 2.0, 1.0, 0.5]
    for score in scores:
        one = core ^ (rng.random(SIZE) < 0.1)
        dense.append(one)
        views.append(_found(one[None], [score]))
    fused = fuse_views(views, weights)
    strength = np.array(scores, np.float32).astype(float) * weights
    votes = np.tensordot(strength, np.stack(dense).astype(float), 1)
    assert fused.masks is not None
    np.testing.assert_array_equal(fused.masks.to_dense()[0], votes > strength.sum() / 2)
    assert fused.scores is not None
    assert fused.scores.item() == pytest.approx(strength.sum() / sum(weights))
    boxes = np.stack([view.boxes.numpy()[0] for view in views])
    np.testing.assert_allclose(fused.boxes.numpy()[0], strength @ boxes / strength.sum(), rtol=1e-6)


def test_objects_of_other_classes_or_of_one_view_stay_apart() -> None:
    a = _square(SIZE, 2, 2, 10, 10)
    near = _square(SIZE, 2, 2, 10, 11)
    both = _found(np.stack([a, near]), [0.9, 0.8])
    assert len(fuse_views([both, both])) == 2
    assert len(fuse_views([_found(a[None], [0.9], [0]), _found(a[None], [0.9], [1])])) == 2


def test_of_several_partners_the_one_that_agrees_best_is_taken() -> None:
    a = _square(SIZE, 2, 2, 12, 12)
    worse, better = _square(SIZE, 4, 2, 14, 12), _square(SIZE, 2, 2, 12, 11)
    fused = fuse_views([_found(a[None], [0.9]), _found(np.stack([worse, better]), [0.8, 0.7])])
    assert fused.scores is not None
    assert fused.scores.tolist() == pytest.approx([0.8, 0.4])


@given(seed=st.integers(0, 2**32 - 1), num_views=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_equal_views_give_themselves_and_any_views_give_scores_from_0_to_1(
    seed: int, num_views: int
) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(0, 5))

    def draw() -> Instances:
        scores = np.sort(rng.random(n).astype(np.float32))[::-1].tolist()
        return _found(rng.random((n, 7, 8)) < 0.4, scores, rng.integers(0, 2, n).tolist())

    one = draw()
    weights = rng.uniform(0.1, 3, num_views).tolist()
    same = fuse_views([one] * num_views, weights)
    assert same.masks == one.masks
    assert same.scores is not None
    assert one.scores is not None
    torch.testing.assert_close(same.scores, one.scores, rtol=0, atol=1e-7)
    torch.testing.assert_close(same.boxes, one.boxes, rtol=1e-6, atol=0)
    assert torch.equal(same.labels, one.labels)
    mixed = fuse_views([draw() for _ in range(num_views)], weights)
    assert mixed.scores is not None
    assert bool(((mixed.scores >= 0) & (mixed.scores <= 1)).all())
    assert mixed.scores.tolist() == sorted(mixed.scores.tolist(), reverse=True)


def test_without_masks_boxes_are_held_against_each_other() -> None:
    boxes = torch.tensor([[2.0, 2.0, 10.0, 10.0]])
    bare = Instances(
        image_size=SIZE,
        boxes=boxes,
        labels=torch.zeros(1, dtype=torch.int64),
        scores=torch.tensor([0.6]),
    )
    fused = fuse_views([bare, bare, Instances.empty(SIZE, scores=torch.zeros(0))])
    assert fused.masks is None
    assert fused.scores is not None
    assert fused.scores.tolist() == pytest.approx([0.4])
    torch.testing.assert_close(fused.boxes, boxes)


def test_a_crowd_of_300_objects_in_six_views_is_fused_in_a_second() -> None:
    size = (600, 600)
    rng = np.random.default_rng(0)
    corners = np.stack(np.meshgrid(np.arange(20) * 30, np.arange(15) * 40), -1).reshape(-1, 2)

    def view() -> Instances:
        shift = rng.integers(0, 4, corners.shape)
        boxes = np.concatenate([corners + shift, corners + shift + (24, 30)], axis=1)
        masks = Masks.from_boxes(boxes.astype(np.float32), size)
        return Instances(
            image_size=size,
            boxes=torch.from_numpy(masks.boxes),
            labels=torch.zeros(300, dtype=torch.int64),
            scores=torch.from_numpy(rng.random(300).astype(np.float32)),
            masks=masks,
        )

    views = [view() for _ in range(6)]
    assert len(fuse_views(views)) == 300  # kernels are compiled now
    start = time.process_time()
    fuse_views(views)
    assert time.process_time() - start < 1.0


def test_what_cannot_be_fused_is_said() -> None:
    one = _found(_square(SIZE, 2, 2, 10, 10)[None], [0.5])
    with pytest.raises(ConfigError, match="nothing to fuse"):
        fuse_views([])
    with pytest.raises(ConfigError, match="2 views need as many weights"):
        fuse_views([one, one], [1.0])
    with pytest.raises(ConfigError, match="above 0"):
        fuse_views([one, one], [1.0, 0.0])
    with pytest.raises(ConfigError, match="without scores"):
        fuse_views([Instances.empty(SIZE)])
