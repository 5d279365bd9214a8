from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from maskwright.errors import ConfigError, TrainingError
from maskwright.training import EMA


def test_the_average_equals_the_recurrence_in_float64() -> None:
    torch.manual_seed(0)
    model = nn.Linear(5, 3)
    ema = EMA(model, decay=0.8)
    wanted = model.weight.detach().numpy().astype(np.float64)
    for step in range(60):
        with torch.no_grad():
            model.weight.add_(torch.randn(3, 5))
        ema.update()
        decay = min(0.8, (1 + step) / (10 + step))
        wanted = decay * wanted + (1 - decay) * model.weight.detach().numpy().astype(np.float64)
    found = ema.state_dict()["average.weight"].numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_constant_weights_and_counters_stay_equal_to_the_bit() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(7, 7), nn.BatchNorm1d(7))
    ema = EMA(model)
    for step in range(1, 40):
        model[1].num_batches_tracked.fill_(step)
        ema.update()
    for name, tensor in model.state_dict().items():
        assert torch.equal(ema.state_dict()[f"average.{name}"], tensor)


def test_the_model_has_its_own_weights_again_after_the_block_even_on_an_error() -> None:
    model = nn.Linear(2, 2)
    ema = EMA(model)
    averaged = model.weight.detach().clone()
    with torch.no_grad():
        model.weight.mul_(3)
    own = model.weight.detach().clone()
    with pytest.raises(RuntimeError, match="evaluation"), ema.applied() as lent:  # noqa: PT012
        assert lent is model
        assert torch.equal(model.weight, averaged)
        raise RuntimeError("evaluation failed")
    assert torch.equal(model.weight, own)
    assert torch.equal(ema.state_dict()["average.weight"], averaged)


def test_the_state_goes_into_another_average_and_is_refused_by_another_model() -> None:
    first = EMA(nn.Linear(2, 2), decay=0.5)
    for _ in range(3):
        first.update()
    second = EMA(nn.Linear(2, 2), decay=0.5)
    second.load_state_dict(first.state_dict())
    assert second.num_updates == 3
    for name, tensor in first.state_dict().items():
        assert torch.equal(second.state_dict()[name], tensor)
    for other in (nn.Linear(3, 2), nn.Linear(2, 2, bias=False)):
        with pytest.raises(TrainingError, match=r"of another model: 1 tensors .* average\."):
            EMA(other).load_state_dict(first.state_dict())


def test_a_model_without_weights_has_an_average_of_nothing() -> None:
    ema = EMA(nn.Identity())
    ema.update()
    assert list(ema.state_dict()) == ["num_updates"]


def test_a_decay_of_one_would_never_learn() -> None:
    with pytest.raises(ConfigError, match=r"decay must be in \[0, 1\), got 1.0"):
        EMA(nn.Identity(), decay=1.0)
