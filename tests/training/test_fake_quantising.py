"""Rounding as int8 graphs do it, without a trace in the model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from contracts.tiny_models import picture_with_objects, tiny_model
from maskwright.training.fake_quantising import FakeQuantised, round_inputs, round_weights


def test_weights_take_255_values_per_channel_at_most_half_a_step_away() -> None:
    torch.manual_seed(0)
    weight = torch.randn(5, 70, 3, 3)
    weight[4] = 0.0
    rounded = round_weights(weight)
    scale = weight.abs().amax(dim=(1, 2, 3)) / 127
    for channel in range(4):
        steps = rounded[channel] / scale[channel]
        torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-3)
        assert float((rounded[channel] - weight[channel]).abs().max()) <= 0.501 * scale[channel]
    assert not rounded[4].any()
    transposed = round_weights(weight.transpose(0, 1), axis=1)
    assert torch.equal(transposed.transpose(0, 1), rounded)


def test_inputs_take_256_values_and_zero_stays_zero() -> None:
    values = torch.linspace(-1.3, 2.6, 4001)
    rounded = round_inputs(values, torch.tensor([-1.3, 2.6]))
    assert len(rounded.unique()) == 256
    assert float((rounded - values).abs().max()) <= 3.9 / 255
    assert float(round_inputs(torch.zeros(1), torch.tensor([0.3, 2.6]))) == 0.0
    beyond = round_inputs(torch.tensor([9.0]), torch.tensor([0.0, 2.0]))
    assert float(beyond) == pytest.approx(2.0)
    unseen = torch.tensor([torch.nan, torch.nan])
    assert torch.equal(round_inputs(values, unseen), values)
    assert round_inputs(torch.zeros(0, 3), torch.tensor([0.0, 1.0])).shape == (0, 3)


def test_a_layer_computes_what_integers_would() -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 4, 3, padding=1)
    given = torch.randn(2, 3, 8, 8)

    class Learner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, batch: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"out": self.layer(batch)}

    learner = Learner()
    found = FakeQuantised(learner, learner)(given)["out"].detach().numpy()  # type: ignore[arg-type]
    low, high = float(given.min()), float(given.max())
    step = (high - low) / 255
    zero = round(-low / step)
    integers = np.clip(np.rint(given.numpy() / step) + zero, 0, 255) - zero
    scale = np.abs(layer.weight.detach().numpy()).max(axis=(1, 2, 3)) / 127
    weights = np.rint(layer.weight.detach().numpy() / scale[:, None, None, None])
    padded = np.pad(integers, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    sums = np.einsum("bchwij,ocij->bohw", windows, weights)
    bias = layer.bias.detach().numpy()[:, None, None]
    expected = sums * step * scale[:, None, None] + bias
    np.testing.assert_allclose(found, expected, atol=2 * step * scale.max())
    assert np.median(np.abs(found - expected)) < 1e-5


def test_the_gradient_passes_rounding_and_stops_beyond_the_range() -> None:
    values = torch.tensor([0.5, 1.0, 5.0], requires_grad=True)
    round_inputs(values, torch.tensor([0.0, 2.0])).sum().backward()
    assert values.grad.tolist() == [1.0, 1.0, 0.0]


def test_a_model_rounds_inside_and_is_itself_outside() -> None:
    torch.manual_seed(0)
    model = tiny_model("faster_rcnn", "mask_rcnn")
    rounded = FakeQuantised(model, model)
    names = list(model.state_dict())
    batch = picture_with_objects()

    def maps() -> torch.Tensor:
        with torch.no_grad():
            return model.features(batch)[32]

    plain = maps()
    with rounded.rounding():
        assert not torch.equal(maps(), plain)  # weights are rounded already
    losses = rounded(batch)
    assert set(losses) == set(model(batch))
    assert torch.equal(maps(), plain)
    assert list(model.state_dict()) == names
    assert not rounded.ranges.isnan().any()
    with rounded.rounding():
        difference = float((maps() - plain).abs().max() / plain.abs().max())
    assert 1e-4 < difference < 0.2
