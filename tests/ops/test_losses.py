from __future__ import annotations

import torch
from torch import nn

from maskwright.ops import mean_over_pictures, zero_with_gradient


def test_the_mean_is_over_pictures_and_not_over_boxes() -> None:
    losses = torch.tensor([1.0, 2.0, 3.0, 10.0])
    expected = (torch.tensor([1.0, 2.0, 3.0]).mean() + 10.0 + 0.0) / 3
    assert torch.equal(mean_over_pictures(losses, [3, 1, 0]), expected)


def test_divisors_stand_for_the_number_of_boxes() -> None:
    losses = torch.tensor([4.0, 8.0, 6.0])
    found = mean_over_pictures(losses, [2, 1, 0], divisors=[4, 3, 0])
    torch.testing.assert_close(found, torch.tensor((12 / 4 + 6 / 3 + 0) / 3))


def test_no_boxes_give_zero_with_a_gradient() -> None:
    losses = torch.zeros(0, requires_grad=True)
    total = mean_over_pictures(losses, [0, 0])
    total.backward()
    assert total == 0
    assert losses.grad is not None


def test_the_zero_of_a_module_reaches_every_trainable_parameter() -> None:
    module = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    module[0].bias.requires_grad_(False)
    zero_with_gradient(module).backward()
    assert module[0].bias.grad is None
    assert module[0].weight.grad.eq(0).all()
    assert module[1].bias.grad.eq(0).all()
    assert zero_with_gradient(nn.ReLU()) == 0
