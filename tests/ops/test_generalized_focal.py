"""Generalised focal losses against the paper's equations in float64 NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from maskwright.ops import distribution_focal_loss, expected_value, quality_focal_loss


def _probs(logits: np.ndarray) -> np.ndarray:
    grown = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return grown / grown.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_the_quality_loss_is_equation_5(power: float) -> None:
    rng = np.random.default_rng(0)
    logits, wanted = rng.normal(0, 3, (50, 4)), rng.uniform(0, 1, (50, 4))
    wanted[::2] = 0
    probs = 1 / (1 + np.exp(-logits))
    entropy = -((1 - wanted) * np.log(1 - probs) + wanted * np.log(probs))
    found = quality_focal_loss(torch.from_numpy(logits), torch.from_numpy(wanted), power=power)
    np.testing.assert_allclose(found, np.abs(wanted - probs) ** power * entropy, rtol=1e-9)


def test_the_quality_loss_is_zero_where_the_score_is_the_quality() -> None:
    quality = torch.tensor([0.1, 0.5, 0.9])
    logits = quality.logit().requires_grad_()
    loss = quality_focal_loss(logits, quality).sum()
    loss.backward()
    assert loss < 1e-6
    torch.testing.assert_close(logits.grad, torch.zeros(3), atol=1e-5, rtol=0)
    assert quality_focal_loss(torch.tensor([80.0, -80.0]), torch.tensor([1.0, 0.0])).eq(0).all()


def test_the_expected_value_is_equation_4() -> None:
    logits = np.random.default_rng(1).normal(0, 2, (6, 4, 17))
    found = expected_value(torch.from_numpy(logits))
    np.testing.assert_allclose(found, (_probs(logits) * np.arange(17)).sum(axis=-1), rtol=1e-12)


def test_autocast_does_not_round_the_expected_value() -> None:
    logits = torch.randn((20, 17), generator=torch.Generator().manual_seed(0))
    expected = expected_value(logits)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(expected_value(logits), expected)


def test_the_distribution_loss_is_equation_6() -> None:
    rng = np.random.default_rng(2)
    logits, values = rng.normal(0, 2, (60, 9)), rng.uniform(0, 8, 60)
    values[:9] = np.arange(9)
    logs = np.log(_probs(logits))
    expected = []
    for row, value in zip(logs, values, strict=True):
        lower = min(int(value), 7)
        expected.append(-((lower + 1 - value) * row[lower] + (value - lower) * row[lower + 1]))
    found = distribution_focal_loss(torch.from_numpy(logits), torch.from_numpy(values))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("value", [0.0, 2.3, 4.0, 7.5, 8.0])
def test_the_best_distribution_has_the_value_as_its_mean(value: float) -> None:
    lower = min(int(value), 7)
    best = torch.full((1, 9), 1e-9, dtype=torch.float64)
    best[0, lower], best[0, lower + 1] = lower + 1 - value + 1e-9, value - lower + 1e-9
    logits = best.log().requires_grad_()
    loss = distribution_focal_loss(logits, torch.tensor([value], dtype=torch.float64))
    loss.sum().backward()
    assert abs(expected_value(logits.detach()).item() - value) < 1e-6
    torch.testing.assert_close(logits.grad, torch.zeros_like(best), atol=1e-7, rtol=0)


def test_values_beyond_the_bins_are_moved_to_their_end() -> None:
    logits = torch.randn(2, 5, generator=torch.Generator().manual_seed(0))
    found = distribution_focal_loss(logits, torch.tensor([-3.0, 99.0]))
    ends = distribution_focal_loss(logits, torch.tensor([0.0, 4.0]))
    assert torch.equal(found, ends)
    torch.testing.assert_close(ends[1], -logits[1].log_softmax(-1)[4])


def test_nothing_in_gives_nothing_out() -> None:
    assert quality_focal_loss(torch.zeros(0, 3), torch.zeros(0, 3)).shape == (0, 3)
    assert expected_value(torch.zeros(0, 4, 17)).shape == (0, 4)
    assert distribution_focal_loss(torch.zeros(0, 4, 17), torch.zeros(0, 4)).shape == (0, 4)
