from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.ops import batched_nms

from maskwright.errors import ConfigError, MaskError
from maskwright.inference.postprocess import (
    PostProcessing,
    keep_classes,
    keep_scores,
    remove_overlaps,
    remove_small,
    suppress_duplicates,
    tighten_boxes,
)
from maskwright.masks import Masks
from maskwright.structures import Instances

_NAMES = ("date", "fig", "hazelnut")


def _random(seed: int, n: int = 30) -> Instances:
    generator = np.random.default_rng(seed)
    starts = generator.integers(0, 25, (n, 2))
    boxes = np.hstack([starts, starts + generator.integers(3, 15, (n, 2))])
    dense = Masks.from_boxes(boxes, (40, 40)).to_dense() & (generator.random((n, 40, 40)) > 0.1)
    return Instances(
        image_size=(40, 40),
        boxes=torch.from_numpy(boxes).float(),
        labels=torch.from_numpy(generator.integers(0, 3, n)),
        scores=torch.from_numpy(generator.permutation(n) / max(n, 1)).float(),
        masks=Masks.from_dense(dense),
        class_names=_NAMES,
    )


def _same(first: Instances, second: Instances) -> bool:
    assert first.scores is not None
    assert second.scores is not None
    return (
        torch.equal(first.boxes, second.boxes)
        and torch.equal(first.labels, second.labels)
        and torch.equal(first.scores, second.scores)
        and first.masks == second.masks
    )


def test_the_defaults_change_nothing() -> None:
    instances = _random(0)
    assert PostProcessing()(instances) is instances


def test_scores_at_the_threshold_stay() -> None:
    found = _random(0)
    assert found.scores is not None
    assert len(keep_scores(found, float(found.scores[3]))) == int(
        (found.scores >= found.scores[3]).sum()
    )
    # 0.9 is no float32: its nearest one must pass a threshold of 0.9
    sure = Instances(
        image_size=(4, 4),
        boxes=torch.zeros(1, 4),
        labels=torch.zeros(1).long(),
        scores=torch.tensor([0.9]),
    )
    assert len(keep_scores(sure, 0.9)) == 1


def test_classes_are_kept_by_name() -> None:
    kept = keep_classes(_random(1), ["fig", "date"])
    assert set(kept.names) == {"fig", "date"}
    assert len(keep_classes(_random(1), [])) == 0


def test_an_unknown_class_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"no class 'figs'\. Did you mean 'fig'\? Its classes:"):
        keep_classes(_random(1), ["figs"])


@pytest.mark.parametrize("seed", range(5))
def test_suppression_by_boxes_equals_torchvision(seed: int) -> None:
    found = _random(seed)
    assert found.scores is not None
    expected = batched_nms(found.boxes, found.scores, found.labels, 0.3).sort().values
    assert _same(suppress_duplicates(found, 0.3, by="boxes"), found[expected])


@pytest.mark.parametrize("seed", range(5))
def test_suppression_by_masks_equals_the_greedy_rule_on_dense_masks(seed: int) -> None:
    found = _random(seed)
    assert found.masks is not None
    assert found.scores is not None
    dense = found.masks.to_dense()
    kept: list[int] = []
    for i in torch.argsort(found.scores, descending=True).tolist():
        overlaps = [
            (dense[i] & dense[j]).sum() / (dense[i] | dense[j]).sum()
            for j in kept
            if found.labels[i] == found.labels[j]
        ]
        if all(overlap <= 0.3 for overlap in overlaps):
            kept.append(i)
    assert _same(suppress_duplicates(found, 0.3), found[sorted(kept)])


def test_crossed_sticks_survive_suppression_by_masks() -> None:
    diagonal = np.eye(20, dtype=bool)
    masks = Masks.from_dense(np.stack([diagonal, diagonal[::-1]]))
    crossed = Instances(
        image_size=(20, 20),
        boxes=torch.from_numpy(masks.boxes),
        labels=torch.zeros(2, dtype=torch.int64),
        scores=torch.tensor([0.9, 0.8]),
        masks=masks,
    )
    assert len(suppress_duplicates(crossed, 0.5)) == 2
    assert len(suppress_duplicates(crossed, 0.5, by="boxes")) == 1


@pytest.mark.parametrize("seed", range(5))
def test_after_removal_every_pixel_is_the_surest_objects(seed: int) -> None:
    found = _random(seed)
    assert found.masks is not None
    assert found.scores is not None
    scores = np.where(found.masks.to_dense(), found.scores.numpy()[:, None, None], -1)
    owner = np.where(scores.max(axis=0) >= 0, scores.argmax(axis=0), -1)
    left = [i for i in range(len(found)) if (owner == i).any()]
    cleared = remove_overlaps(found)
    assert cleared.masks is not None
    np.testing.assert_array_equal(cleared.masks.to_dense(), owner == np.array(left)[:, None, None])
    assert torch.equal(cleared.boxes, found.boxes[left])


@pytest.mark.parametrize("steps", [{"remove_overlaps": True}, {"nms_threshold": 0.3}])
def test_a_threshold_before_or_after_gives_the_same_objects(steps: dict) -> None:
    found = _random(7)
    before = PostProcessing(score_threshold=0.5, **steps)(found)
    after = keep_scores(PostProcessing(**steps)(found), 0.5)
    assert _same(before, after)


def test_small_objects_are_dropped_by_area() -> None:
    found = _random(2)
    assert found.masks is not None
    assert _same(remove_small(found, 40), found[found.masks.area >= 40])


def test_boxes_shrink_to_their_masks_and_empty_masks_keep_theirs() -> None:
    found = Instances(
        image_size=(10, 10),
        boxes=torch.tensor([[0.0, 0, 10, 10], [1, 1, 5, 5]]),
        labels=torch.zeros(2, dtype=torch.int64),
        scores=torch.ones(2),
        masks=Masks.from_boxes([[2, 3, 7, 9], [4, 4, 4, 4]], (10, 10)),
    )
    assert tighten_boxes(found).boxes.tolist() == [[2, 3, 7, 9], [1, 1, 5, 5]]


def test_every_step_takes_a_picture_without_objects() -> None:
    steps = PostProcessing(
        score_threshold=0.5,
        classes=("fig",),
        nms_threshold=0.5,
        remove_overlaps=True,
        min_area=5,
        tighten_boxes=True,
    )
    assert len(steps(_random(0, n=0))) == 0
    assert len(suppress_duplicates(_random(0, n=0), 0.5, by="boxes")) == 0


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"score_threshold": 1.5}, "score_threshold must be from 0 to 1, got 1.5"),
        ({"nms_threshold": float("nan")}, "nms_threshold must be from 0 to 1, got nan"),
        ({"min_area": -1}, "min_area must be 0 or more pixels, got -1"),
        ({"classes": "fig"}, "a list of names, got the text 'fig'"),
    ],
)
def test_options_out_of_range_are_refused(option: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PostProcessing(**option)


def test_truth_and_boxes_alone_cannot_be_post_processed() -> None:
    truth = Instances(
        image_size=(4, 4), boxes=torch.zeros(1, 4), labels=torch.zeros(1, dtype=torch.int64)
    )
    with pytest.raises(ConfigError, match="true objects without scores"):
        keep_scores(truth, 0.5)
    with pytest.raises(MaskError, match="smallest area needs masks"):
        remove_small(truth, 3)
