from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import distance_box_iou_loss, generalized_box_iou_loss

from maskwright.ops import decode_boxes, delta_loss, encode_boxes

_WEIGHTS = (10.0, 10.0, 5.0, 5.0)


def _anchors_and_truth() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand((2, 50, 2), generator=generator, dtype=torch.float64) * 40
    size = torch.rand((2, 50, 2), generator=generator, dtype=torch.float64) * 30 + 2
    anchors, truth = torch.cat((corner, corner + size), dim=-1)
    return anchors, truth


def _deltas() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn((50, 4), generator=generator, dtype=torch.float64)


def test_smooth_l1_is_of_the_deltas_to_the_bit() -> None:
    anchors, truth = _anchors_and_truth()
    wanted = encode_boxes(truth, anchors, _WEIGHTS)
    expected = F.smooth_l1_loss(_deltas(), wanted, beta=1 / 9, reduction="none").sum(dim=1)
    found = delta_loss("smooth_l1", _deltas(), anchors, truth, weights=_WEIGHTS, beta=1 / 9)
    assert torch.equal(found, expected)


@pytest.mark.parametrize(
    ("name", "theirs"), [("giou", generalized_box_iou_loss), ("diou", distance_box_iou_loss)]
)
def test_the_others_are_of_the_boxes(name, theirs) -> None:
    anchors, truth = _anchors_and_truth()
    boxes = decode_boxes(_deltas(), anchors, _WEIGHTS)
    found = delta_loss(name, _deltas(), anchors, truth, weights=_WEIGHTS)
    torch.testing.assert_close(found, theirs(boxes, truth), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", ["smooth_l1", "giou", "diou", "ciou"])
def test_the_right_deltas_cost_nothing_and_no_boxes_give_nothing(name) -> None:
    anchors, truth = _anchors_and_truth()
    right = encode_boxes(truth, anchors, _WEIGHTS)
    found = delta_loss(name, right, anchors, truth, weights=_WEIGHTS)
    torch.testing.assert_close(found, torch.zeros_like(found), atol=1e-7, rtol=0)
    nothing = torch.zeros((0, 4), requires_grad=True)
    loss = delta_loss(name, nothing, nothing.detach(), nothing.detach())
    assert loss.shape == (0,)
    loss.sum().backward()
    assert nothing.grad.shape == (0, 4)
