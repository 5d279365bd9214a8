from __future__ import annotations

import torch

from maskwright.ops import pairwise_iou, select_detections
from maskwright.structures import Instances

_OPTIONS = {"score_threshold": 0.3, "nms_threshold": 0.5, "max_detections": 20}


def _select(boxes: torch.Tensor, scores: torch.Tensor, **changes: float) -> Instances:
    return select_detections(boxes, scores, (60, 80), **(_OPTIONS | changes))


def _random(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    low = torch.rand((count, 3, 2), generator=generator) * 60 - 5
    boxes = torch.cat((low, low + 3 + torch.rand((count, 3, 2), generator=generator) * 20), dim=2)
    return boxes, torch.rand((count, 3), generator=generator)


def test_duplicates_go_greedily_within_each_class() -> None:
    boxes, scores = _random(60)
    found = _select(boxes, scores, max_detections=1000)
    expected = _greedy(boxes, scores)
    assert sorted(zip(found.labels.tolist(), found.scores.tolist(), strict=True)) == expected


def _greedy(boxes: torch.Tensor, scores: torch.Tensor) -> list[tuple[int, float]]:
    """The textbook loop, class by class."""
    kept = []
    for label in range(scores.shape[1]):
        clipped = boxes[:, label].clone()
        clipped[:, 0::2] = clipped[:, 0::2].clamp(0, 80)
        clipped[:, 1::2] = clipped[:, 1::2].clamp(0, 60)
        order = scores[:, label].argsort(descending=True).tolist()
        chosen: list[int] = []
        for i in order:
            if scores[i, label] <= 0.3:
                continue
            overlap = pairwise_iou(clipped[i : i + 1], clipped[chosen])
            if not (overlap > 0.5).any():
                chosen.append(i)
        kept += [(label, scores[i, label].item()) for i in chosen]
    return sorted(kept)


def test_the_best_are_kept_in_falling_order() -> None:
    boxes, scores = _random(60)
    everything, best = _select(boxes, scores, max_detections=1000), _select(boxes, scores)
    assert len(best) == 20 < len(everything)
    assert torch.equal(best.scores, everything.scores[:20])
    assert (best.scores.diff() <= 0).all()


def test_boxes_without_area_inside_the_picture_go() -> None:
    outside = torch.tensor([[[90.0, 10.0, 120.0, 30.0]], [[10.0, 10.0, 10.0, 30.0]]])
    assert len(_select(outside, torch.tensor([[0.9], [0.9]]))) == 0


def test_one_box_may_serve_all_classes() -> None:
    found = _select(torch.tensor([[[0.0, 0.0, 9.0, 9.0]]]), torch.tensor([[0.5, 0.9, 0.1]]))
    assert found.labels.tolist() == [1, 0]


def test_nothing_above_the_threshold_gives_no_detections() -> None:
    boxes, scores = _random(5)
    assert len(_select(boxes, scores, score_threshold=1.0)) == 0
    assert len(_select(boxes[:0], scores[:0])) == 0
