from __future__ import annotations

import torch
from torchvision.ops import box_iou, generalized_box_iou, generalized_box_iou_loss

from maskwright.ops import giou_loss, paired_iou


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


def test_the_gradient_equals_torchvisions() -> None:
    one, other = _pairs()
    gradients = []
    for loss in (giou_loss, generalized_box_iou_loss):
        boxes = one.clone().requires_grad_()
        loss(boxes, other).sum().backward()
        gradients.append(boxes.grad)
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-5)


def test_boxes_without_area_give_finite_numbers() -> None:
    point = torch.tensor([[3.0, 3.0, 3.0, 3.0]], requires_grad=True)
    assert paired_iou(point, point) == 0
    loss = giou_loss(point, torch.tensor([[3.0, 3.0, 3.0, 3.0]]))
    loss.sum().backward()
    assert loss.isfinite().all()
    assert point.grad.isfinite().all()


def test_no_pairs_give_nothing() -> None:
    assert paired_iou(torch.zeros(0, 4), torch.zeros(0, 4)).shape == (0,)
    assert giou_loss(torch.zeros(0, 4), torch.zeros(0, 4)).shape == (0,)
