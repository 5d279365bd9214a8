from __future__ import annotations

import pytest
import torch
from torchvision.ops import (
    box_iou,
    complete_box_iou_loss,
    distance_box_iou_loss,
    generalized_box_iou,
    generalized_box_iou_loss,
)

from maskwright.ops import ciou_loss, diou_loss, giou_loss, paired_iou

_LOSSES = [
    (giou_loss, generalized_box_iou_loss),
    (diou_loss, distance_box_iou_loss),
    (ciou_loss, complete_box_iou_loss),
]


def _pairs() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand((2, 200, 2), generator=generator, dtype=torch.float64) * 40
    size = torch.rand((2, 200, 2), generator=generator, dtype=torch.float64) * 30 + 0.5
    one, other = torch.cat((corner, corner + size), dim=-1)
    return one, other


def test_overlap_and_loss_equal_torchvisions() -> None:
    one, other = _pairs()
    torch.testing.assert_close(paired_iou(one, other), box_iou(one, other).diagonal())
    expected = 1 - generalized_box_iou(one, other).diagonal()
    torch.testing.assert_close(giou_loss(one, other), expected, atol=1e-8, rtol=1e-8)


@pytest.mark.parametrize(("ours", "theirs"), _LOSSES)
def test_losses_and_gradients_equal_torchvisions(ours, theirs) -> None:
    one, other = _pairs()
    losses, gradients = [], []
    for loss in (ours, theirs):
        boxes = one.clone().requires_grad_()
        losses.append(loss(boxes, other))
        losses[-1].sum().backward()
        gradients.append(boxes.grad)
    torch.testing.assert_close(*losses, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("loss", [giou_loss, diou_loss])
def test_gradients_are_those_of_the_function(loss) -> None:
    one, other = (boxes[:20] for boxes in _pairs())
    assert torch.autograd.gradcheck(lambda boxes: loss(boxes, other), one.requires_grad_())


@pytest.mark.parametrize("loss", [giou_loss, diou_loss, ciou_loss])
def test_boxes_without_area_give_finite_numbers(loss) -> None:
    point = torch.tensor([[3.0, 3.0, 3.0, 3.0]], requires_grad=True)
    assert paired_iou(point, point) == 0
    total = loss(point, torch.tensor([[3.0, 3.0, 3.0, 3.0]]))
    total.sum().backward()
    assert total.isfinite().all()
    assert point.grad.isfinite().all()


def test_no_pairs_give_nothing() -> None:
    assert paired_iou(torch.zeros(0, 4), torch.zeros(0, 4)).shape == (0,)
    for loss, _ in _LOSSES:
        boxes = torch.zeros(0, 4, requires_grad=True)
        found = loss(boxes, torch.zeros(0, 4))
        assert found.shape == (0,)
        found.sum().backward()
        assert boxes.grad.shape == (0, 4)
