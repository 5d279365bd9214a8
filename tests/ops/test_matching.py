from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torchvision.models.detection._utils import Matcher

from maskwright.ops import BACKGROUND, IGNORED, match_by_iou, match_targets, pairwise_iou
from maskwright.structures import Instances


def _target(boxes: list[list[float]], is_crowd: list[bool] | None = None) -> Instances:
    return Instances(
        image_size=(100, 100),
        boxes=torch.tensor(boxes).reshape(-1, 4),
        labels=torch.zeros(len(boxes), dtype=torch.int64),
        is_crowd=None if is_crowd is None else torch.tensor(is_crowd),
    )


@pytest.mark.parametrize("keep_best", [False, True])
@pytest.mark.parametrize(("foreground", "background"), [(0.7, 0.3), (0.5, 0.5)])
def test_matches_equal_torchvisions(foreground: float, background: float, keep_best: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    low = torch.rand((80, 2), generator=generator) * 60
    boxes = torch.cat((low, low + 5 + torch.rand((80, 2), generator=generator) * 30), dim=1)
    iou = pairwise_iou(boxes[:12] + 2.0, boxes)
    expected = Matcher(foreground, background, allow_low_quality_matches=keep_best)(iou.clone())
    ours = match_by_iou(iou, foreground=foreground, background=background, keep_best=keep_best)
    assert torch.equal(ours, expected)
    assert (ours >= 0).any()


def test_a_target_that_no_box_touches_claims_none() -> None:
    iou = torch.tensor([[0.0, 0.0], [0.8, 0.0]])
    matched = match_by_iou(iou, foreground=0.5, background=0.3, keep_best=True)
    assert matched.tolist() == [1, BACKGROUND]


def test_without_targets_all_is_background_and_without_boxes_nothing_is() -> None:
    boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0]])
    options = {"foreground": 0.5, "background": 0.5, "keep_best": True}
    assert match_targets(boxes, _target([]), **options).tolist() == [BACKGROUND]
    assert match_targets(boxes[:0], _target([[0.0, 0, 4, 4]]), **options).shape == (0,)
    assert match_targets(boxes[:0], _target([]), **options).shape == (0,)


def test_crowds_are_ignored_and_never_matched() -> None:
    boxes = torch.tensor(
        [
            [10.0, 10, 30, 30],  # on the object, which lies in the crowd
            [60.0, 60, 80, 80],  # in the crowd
            [96.0, 60, 120, 80],  # one sixth in the crowd
            [0.0, 0, 100, 100],  # the crowd itself
        ]
    )
    target = _target([[0.0, 0, 100, 100], [10.0, 10, 30, 30]], is_crowd=[True, False])
    matched = match_targets(boxes, target, foreground=0.5, background=0.5)
    assert matched.tolist() == [1, IGNORED, BACKGROUND, IGNORED]
    only_crowd = replace(target, is_crowd=torch.tensor([True, True]))
    matched = match_targets(boxes, only_crowd, foreground=0.5, background=0.5, keep_best=True)
    assert matched.tolist() == [IGNORED, IGNORED, BACKGROUND, IGNORED]


@pytest.mark.parametrize("keep_best", [False, True])
@pytest.mark.parametrize(("num_targets", "num_boxes"), [(0, 50), (1, 0), (1, 1), (7, 500), (60, 3)])
def test_matches_without_the_table_are_those_of_the_table_to_the_bit(
    num_targets: int, num_boxes: int, keep_best: bool
) -> None:
    generator = torch.Generator().manual_seed(num_targets)

    def random_boxes(count: int) -> torch.Tensor:
        corners = torch.rand(count, 2, generator=generator) * 50
        # whole pixels: equal overlaps and boxes without area are frequent
        sides = torch.randint(0, 12, (count, 2), generator=generator)
        return torch.cat((corners.round(), corners.round() + sides), dim=1)

    boxes, true_boxes = random_boxes(num_boxes), random_boxes(num_targets)
    true_boxes[::3] = true_boxes[:1].clone()  # twins
    iou = pairwise_iou(true_boxes, boxes)
    for foreground, background in ((0.7, 0.3), (0.5, 0.5), (0.01, 0.0)):
        expected = match_by_iou(
            iou, foreground=foreground, background=background, keep_best=keep_best
        )
        found = match_targets(
            boxes,
            Instances(
                image_size=(80, 80),
                boxes=true_boxes,
                labels=torch.zeros(num_targets, dtype=torch.int64),
            ),
            foreground=foreground,
            background=background,
            keep_best=keep_best,
        )
        assert torch.equal(found, expected)
