"""Stages that stay as they are for a time: to the bit, and thawed when they should be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from maskwright.backbones import ResNet
from maskwright.errors import ConfigError
from maskwright.structures import Batch, Losses
from maskwright.training import (
    EMA,
    Budget,
    Freezing,
    FreezingConfig,
    OptimizerConfig,
    ResumePoint,
    Stopwatch,
    fit,
    load_state,
    save_state,
    seed_everything,
)

_NUM_STEPS = 6


class _Model(nn.Module):
    """A backbone with batch norms and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = ResNet.Config(depth=18, freeze_stages=1).build()
        self.head = nn.Conv2d(512, 1, 1)

    def forward(self, batch: Batch) -> Losses:
        features = self.backbone(batch.images.float() / 255)
        return {"loss": (self.head(features[32]) - 1).square().mean()}


def _batches(start: int = 0) -> Iterator[Batch]:
    while True:
        images = torch.randint(
            0,
            256,
            (2, 3, 32, 32),
            dtype=torch.uint8,
            generator=torch.Generator().manual_seed(start),
        )
        sizes = ((32, 32),) * 2
        yield Batch(images=images, image_sizes=sizes, original_sizes=sizes)
        start += 1


def _freezing(model: _Model, config: FreezingConfig) -> Freezing | None:
    backbone = model.backbone
    budget = Budget(num_steps=_NUM_STEPS)
    return config.build(backbone.first_stages, backbone.num_stages, budget, Stopwatch())


def _trained(
    config: FreezingConfig, path: Path | None = None, *, kind: str = "sgd", resume: bool = False
) -> tuple[_Model, list[dict[str, Tensor]], torch.optim.Optimizer, EMA]:
    """Train; keep the weights after each step, and the state after step 2 in `path`."""
    seed_everything(9 if resume else 3)
    model = _Model()
    optimizer = OptimizerConfig(kind=kind, learning_rate=0.01, backbone_factor=0.5).build(model)  # type: ignore[arg-type]
    ema, start = EMA(model), 0
    if resume:
        assert path is not None
        start = load_state(path, model=model, optimizer=optimizer, ema=ema).step
    seen = []
    for report in fit(
        model,
        _batches(start),
        optimizer,
        lambda step: 1.0,
        start_step=start,
        num_steps=_NUM_STEPS,
        ema=ema,
        before_step=_freezing(model, config),
    ):
        seen.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        if report.step == 2 and path is not None and not resume:
            save_state(path, ResumePoint(step=2), model=model, optimizer=optimizer, ema=ema)
    return model, seen, optimizer, ema


def _moved(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_a_frozen_backbone_keeps_weights_and_statistics_and_then_learns() -> None:
    model, seen, optimizer, _ = _trained(FreezingConfig(steps=3))
    frozen = _moved(seen[0], seen[2])
    assert frozen == {"head.weight", "head.bias"}
    thawed = _moved(seen[2], seen[3])
    assert "backbone.layer1.0.conv1.weight" in thawed
    assert "backbone.layer1.0.bn1.running_mean" in thawed
    assert "backbone.conv1.weight" not in thawed  # frozen for good by the backbone's own option
    assert not model.backbone.conv1.weight.requires_grad
    assert model.backbone.layer4[0].conv1.weight.requires_grad
    rates = {name: group["lr"] for group in optimizer.param_groups for name in group["names"]}
    assert rates["backbone.layer1.0.conv1.weight"] == pytest.approx(0.005)
    assert rates["head.weight"] == pytest.approx(0.01)


def test_stages_thaw_one_after_the_other_from_the_deepest() -> None:
    _, seen, _, _ = _trained(FreezingConfig(share=1.0, stages=3))
    moved = _moved(seen[0], seen[-1])
    assert any(name.startswith("backbone.layer3") for name in moved)
    assert not any(name.startswith(("backbone.layer1", "backbone.layer2")) for name in moved)
    _, seen, _, _ = _trained(FreezingConfig(steps=5, gradual=True))
    first = [
        min(step for step in range(1, _NUM_STEPS) if name in _moved(seen[step - 1], seen[step]))
        for name in (f"backbone.layer{stage}.0.conv1.weight" for stage in (4, 3, 2, 1))
    ]
    assert first == [1, 2, 3, 4]


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
@pytest.mark.parametrize(
    "config",
    [
        FreezingConfig(steps=2),  # stopped exactly where it thaws
        FreezingConfig(share=0.6),  # stopped while frozen
        FreezingConfig(steps=4, gradual=True),
    ],
)
def test_a_resumed_run_freezes_and_thaws_to_the_same_bytes(
    config: FreezingConfig, kind: str, tmp_path: Path
) -> None:
    path = tmp_path / "state.safetensors"
    model, _, optimizer, ema = _trained(config, path, kind=kind)
    again, _, other, average = _trained(config, path, kind=kind, resume=True)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    for name, tensor in ema.state_dict().items():
        assert torch.equal(tensor, average.state_dict()[name]), name
    one, two = optimizer.state_dict()["state"], other.state_dict()["state"]
    assert one.keys() == two.keys()
    for index, slots in one.items():
        for slot, value in slots.items():
            if value is not None:
                assert torch.equal(torch.as_tensor(value), torch.as_tensor(two[index][slot]))


def test_nothing_frozen_is_the_same_run_as_without_the_word() -> None:
    assert _freezing(_Model(), FreezingConfig()) is None


def test_the_longer_of_steps_and_share_counts() -> None:
    config = FreezingConfig(steps=10, share=0.5)
    assert config.num_frozen(9, 0.9, num_stages=4) == 4
    assert config.num_frozen(12, 0.4, num_stages=4) == 4
    assert config.num_frozen(12, 0.5, num_stages=4) == 0
    assert replace(config, share=1.0).num_frozen(10**6, 1.0, num_stages=4) == 4


@pytest.mark.parametrize("wrong", [{"steps": -1}, {"share": 1.5}, {"share": -0.1}, {"stages": 0}])
def test_options_outside_their_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"freezing.{next(iter(wrong))} must be"):
        FreezingConfig(**wrong)  # type: ignore[arg-type]


def test_more_stages_than_there_are_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"freezing\.stages is 6, and the backbone has 5 stages"):
        _freezing(_Model(), FreezingConfig(steps=1, stages=6))
