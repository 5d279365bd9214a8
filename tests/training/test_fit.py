from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from maskwright.errors import ConfigError, TrainingError
from maskwright.structures import Batch, Losses
from maskwright.training import (
    EMA,
    Budget,
    Forward,
    OptimizerConfig,
    ResumePoint,
    Stopwatch,
    accumulate,
    fit,
    load_state,
    over_budget,
    save_state,
    seed_everything,
    warmup_cosine,
    whole_batch,
)
from maskwright.training.schedules import Schedule


class _TinyModel(nn.Module):
    """Convolution, batch norm, dropout and two losses: everything that has a state."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4))
        self.head = nn.Linear(4, 2)

    def forward(self, batch: Batch) -> Losses:
        features = self.backbone(batch.images.float() / 255).mean((2, 3))
        out = self.head(nn.functional.dropout(features, 0.3, self.training))  # (b, 2)
        # Python's and NumPy's random numbers too: their states must be resumed as well.
        noise = random.random() + float(np.random.rand())
        return {"box": (out[:, 0] - noise).square().mean(), "mask": out[:, 1].abs().mean()}


class _Fragile(nn.Module):
    """Losses as the test sets them."""

    def __init__(self, losses: dict[str, float]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.factors = losses

    def forward(self, batch: Batch) -> Losses:
        return {name: self.weight.sum() * value for name, value in self.factors.items()}


class _InfiniteGradient(_Fragile):
    def forward(self, batch: Batch) -> Losses:
        return {"mask": (self.weight - 1).abs().sqrt().sum()}


def _batch(step: int, num_pictures: int = 4) -> Batch:
    generator = torch.Generator().manual_seed(step)
    shape = (num_pictures, 3, 8, 8)
    return Batch(
        images=torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator),
        image_sizes=((8, 8),) * num_pictures,
        original_sizes=((8, 8),) * num_pictures,
        names=tuple(f"{step}-{index}.png" for index in range(num_pictures)),
    )


def _batches(start: int = 0) -> Iterator[Batch]:
    torch.rand(1)  # as worker processes do when they start: draws from the global state
    step = start
    while True:
        yield _batch(step)
        step += 1


def _schedule(num_steps: int) -> Schedule:
    return over_budget(warmup_cosine, Budget(num_steps=num_steps), Stopwatch())


def _all_tensors(model: nn.Module, optimizer: torch.optim.Optimizer, ema: EMA) -> dict[str, Tensor]:
    tensors = {f"model {name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"ema {name}": tensor for name, tensor in ema.state_dict().items()}
    for index, slots in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer {index} {name}": torch.as_tensor(t) for name, t in slots.items()}
    return {name: tensor.clone() for name, tensor in tensors.items()}


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
@pytest.mark.parametrize("stop", [0, 1, 5])
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    kind: str, stop: int, tmp_path: Path
) -> None:
    config = OptimizerConfig(kind=kind, learning_rate=0.05, nesterov=kind == "sgd")  # type: ignore[arg-type]
    path, num_steps = tmp_path / "state.safetensors", 9

    def start() -> tuple[nn.Module, torch.optim.Optimizer, EMA]:
        seed_everything(3)
        model = _TinyModel()
        return model, config.build(model), EMA(model, decay=0.9)

    model, optimizer, ema = start()
    if stop == 0:
        save_state(path, ResumePoint(step=0), model=model, optimizer=optimizer, ema=ema)
    options = {"num_steps": num_steps, "ema": ema, "clip_norm": 1.0}
    for report in fit(model, _batches(), optimizer, _schedule(num_steps), **options):  # type: ignore[arg-type]
        if report.step == stop:
            point = ResumePoint(step=stop, elapsed_seconds=1.5, best_score=0.25, notes={"a": 1})
            save_state(path, point, model=model, optimizer=optimizer, ema=ema)
    wanted = _all_tensors(model, optimizer, ema)

    seed_everything(99)
    model = _TinyModel()
    optimizer, ema = config.build(model), EMA(model, decay=0.9)
    point = load_state(path, model=model, optimizer=optimizer, ema=ema)
    assert point.step == stop
    if stop:
        assert (point.elapsed_seconds, point.best_score, point.notes) == (1.5, 0.25, {"a": 1})
    options = {"num_steps": num_steps, "ema": ema, "clip_norm": 1.0, "start_step": stop}
    steps = fit(model, _batches(stop), optimizer, _schedule(num_steps), **options)  # type: ignore[arg-type]
    assert [report.step for report in steps] == list(range(stop + 1, num_steps + 1))
    found = _all_tensors(model, optimizer, ema)
    assert found.keys() == wanted.keys()
    assert [name for name in wanted if not torch.equal(wanted[name], found[name])] == []


def test_one_step_is_sgd_as_written_on_paper() -> None:
    model = _Fragile({"box": 2.0, "mask": 0.5})
    optimizer = OptimizerConfig(learning_rate=0.1, weight_decay=0.5).build(model)
    reports = fit(model, _batches(), optimizer, lambda step: 0.5, num_steps=2)
    first = next(reports)
    # The gradient is 2.5 for each of three weights; a vector does not decay.
    torch.testing.assert_close(model.weight.detach(), torch.full((3,), 1 - 0.05 * 2.5))
    assert first.step == 1
    assert first.losses == {"box": 6.0, "mask": 1.5}
    assert first.total == 7.5
    assert first.learning_rate == pytest.approx(0.05)
    assert first.grad_norm == pytest.approx(2.5 * 3**0.5)
    assert first.num_images == 4
    assert 0 <= first.data_seconds <= first.seconds
    next(reports)
    # Momentum: the second move is 1.9 times the first.
    torch.testing.assert_close(model.weight.detach(), torch.full((3,), 1 - 0.05 * 2.5 * 2.9))


def test_clipping_scales_the_gradient_to_the_norm_and_reports_the_norm_before() -> None:
    model = _Fragile({"box": 2.0})
    optimizer = OptimizerConfig(learning_rate=1.0, momentum=0.0).build(model)
    report = next(fit(model, _batches(), optimizer, lambda step: 1.0, clip_norm=0.3))
    assert report.grad_norm == pytest.approx(2 * 3**0.5)
    moved = (1 - model.weight.detach()).norm()
    torch.testing.assert_close(moved, torch.tensor(0.3), rtol=1e-5, atol=0)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_names_the_pictures_and_leaves_the_weights(value: float) -> None:
    model = _Fragile({"box": 1.0, "mask": value})
    optimizer = OptimizerConfig().build(model)
    ema = EMA(model)
    with pytest.raises(
        TrainingError, match=r"step 8: loss mask = (nan|inf) .* pictures 7-0.png, 7-1.png"
    ):
        next(fit(model, _batches(7), optimizer, lambda step: 1.0, start_step=7, ema=ema))
    assert torch.equal(model.weight, torch.ones(3))
    assert not optimizer.state
    assert ema.num_updates == 0


def test_a_gradient_that_is_not_finite_names_the_parameter_and_leaves_the_weights() -> None:
    model = _InfiniteGradient({})
    optimizer = OptimizerConfig().build(model)
    with pytest.raises(TrainingError, match=r"gradient of weight is not finite on pictures 0-0"):
        next(fit(model, _batches(), optimizer, lambda step: 1.0, clip_norm=1.0))
    assert torch.equal(model.weight, torch.ones(3))


def test_no_losses_and_too_few_batches_are_errors() -> None:
    model = _Fragile({})
    with pytest.raises(TrainingError, match="no losses"):
        next(fit(model, _batches(), OptimizerConfig().build(model), lambda step: 1.0))
    model = _Fragile({"box": 1.0})
    steps = fit(model, [_batch(0)], OptimizerConfig().build(model), lambda step: 1.0, num_steps=3)
    assert next(steps).step == 1
    with pytest.raises(TrainingError, match="ended after step 1, 3 steps were wanted"):
        next(steps)


def test_without_a_number_of_steps_the_batches_are_the_end() -> None:
    model = _Fragile({"box": 1.0})
    optimizer = OptimizerConfig().build(model)
    assert len(list(fit(model, [_batch(0), _batch(1)], optimizer, lambda step: 1.0))) == 2
    assert list(fit(model, [], optimizer, lambda step: 1.0)) == []
    assert list(fit(model, [_batch(0)], optimizer, lambda step: 1.0, num_steps=0)) == []


def test_accumulated_gradients_equal_those_of_the_whole_batch() -> None:
    seed_everything(0)
    model = nn.ModuleDict({"head": nn.Linear(3, 2, dtype=torch.float64)})

    def forward(batch: Batch) -> Losses:
        out = model["head"](batch.images.double().mean((2, 3)))
        return {"box": out.square().mean(), "mask": out.abs().mean()}

    batch = _batch(0, num_pictures=5)
    whole = {name: loss.detach() for name, loss in forward(batch).items()}
    sum(forward(batch).values()).backward()  # type: ignore[union-attr]
    wanted = [parameter.grad for parameter in model.parameters()]
    model.zero_grad()
    losses = accumulate(2)(forward, batch)
    assert losses.keys() == whole.keys()
    for name, loss in whole.items():
        torch.testing.assert_close(losses[name], loss)
    for parameter, gradient in zip(model.parameters(), wanted, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
    with pytest.raises(ConfigError, match="at least 1, got 0"):
        accumulate(0)


def test_bf16_runs_the_forward_pass_in_bf16_and_keeps_float32_weights() -> None:
    seen = []

    class _Probe(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(3, 1)

        def forward(self, batch: Batch) -> Losses:
            out = self.head(batch.images.float().mean((2, 3)))
            seen.append(out.dtype)
            return {"box": out.square().mean()}

    model = _Probe()
    optimizer = OptimizerConfig(learning_rate=1e-6).build(model)
    next(fit(model, _batches(), optimizer, lambda step: 1.0, precision="bf16"))
    assert seen == [torch.bfloat16]
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    with pytest.raises(TrainingError, match="'fp32' or 'bf16', got 'fp16'"):
        next(fit(model, _batches(), optimizer, lambda step: 1.0, precision="fp16"))  # type: ignore[arg-type]


def test_a_private_backward_of_clipped_samples_fits_the_same_loop() -> None:
    """What differentially private training will hand to `fit`, less its noise."""
    model = _TinyModel()
    parameters = list(model.parameters())

    def clip_each_sample(forward: Forward, batch: Batch) -> Losses:
        summed = [torch.zeros_like(parameter) for parameter in parameters]

        def forward_one(one: Batch) -> Losses:
            for parameter in parameters:
                parameter.grad = None
            return forward(one)

        losses: list[Losses] = []
        for index in range(len(batch)):
            losses.append(whole_batch(forward_one, replace(batch, images=batch.images[[index]])))
            nn.utils.clip_grad_norm_(parameters, 0.01)
            for total, parameter in zip(summed, parameters, strict=True):
                assert parameter.grad is not None
                total.add_(parameter.grad, alpha=1 / len(batch))
        for total, parameter in zip(summed, parameters, strict=True):
            parameter.grad = total
        return losses[-1]

    optimizer = OptimizerConfig().build(model)
    report = next(fit(model, _batches(), optimizer, lambda step: 1.0, backward=clip_each_sample))
    assert 0 < report.grad_norm <= 0.01 * (1 + 1e-5)
