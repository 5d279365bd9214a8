from __future__ import annotations

import pytest
import torch
from torch import nn

from maskwright.errors import ConfigError
from maskwright.training import OptimizerConfig, parameter_groups
from maskwright.training.optimizer import set_learning_rate


def _model() -> nn.Module:
    def block() -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.Flatten(), nn.Linear(4, 2)
        )

    return nn.ModuleDict({"backbone": block(), "head": block()})


def test_norms_and_biases_do_not_decay_and_the_backbone_has_its_own_rate() -> None:
    model = _model()
    config = OptimizerConfig(learning_rate=0.1, weight_decay=0.01, backbone_factor=0.25)
    optimizer = config.build(model)
    setting = {
        id(parameter): (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    assert len(setting) == sum(len(g["params"]) for g in optimizer.param_groups)
    assert setting.keys() == {id(parameter) for parameter in model.parameters()}
    for path, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            is_weight = isinstance(module, (nn.Conv2d, nn.Linear)) and name == "weight"
            rate = 0.025 if path.startswith("backbone") else 0.1
            assert setting[id(parameter)] == (rate, 0.01 if is_weight else 0.0)


def test_names_stand_in_the_order_of_the_parameters() -> None:
    model = _model()
    by_name = dict(model.named_parameters())
    for group in parameter_groups(model, OptimizerConfig()):
        for name, parameter in zip(group["names"], group["params"], strict=True):
            assert by_name[name] is parameter


def test_the_factor_scales_every_group_and_the_highest_rate_is_returned() -> None:
    optimizer = OptimizerConfig(learning_rate=0.2, backbone_factor=0.1).build(_model())
    assert set_learning_rate(optimizer, 0.5) == 0.1
    assert set_learning_rate(optimizer, 0.5) == 0.1  # of the full rate, not of the last
    assert {round(group["lr"], 12) for group in optimizer.param_groups} == {0.1, 0.01}


def test_the_kind_chooses_the_class() -> None:
    assert isinstance(OptimizerConfig(kind="adamw").build(_model()), torch.optim.AdamW)
    sgd = OptimizerConfig(nesterov=True).build(_model())
    assert isinstance(sgd, torch.optim.SGD)
    assert all(group["nesterov"] for group in sgd.param_groups)


def test_a_part_thawed_during_a_run_starts_to_learn() -> None:
    model = nn.ModuleDict({"backbone": nn.Linear(2, 2), "head": nn.Linear(2, 2)})
    model["backbone"].requires_grad_(False)
    optimizer = OptimizerConfig().build(model)
    before = model["backbone"].weight.detach().clone()

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        model["head"](model["backbone"](torch.ones(1, 2))).square().sum().backward()
        optimizer.step()

    step()
    assert torch.equal(model["backbone"].weight, before)
    model["backbone"].requires_grad_(True)
    step()
    assert not torch.equal(model["backbone"].weight, before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "adam"}, "'sgd' or 'adamw', got 'adam'"),
        ({"learning_rate": 0.0}, "learning_rate must be over 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be over 0"),
        ({"momentum": 1.0}, r"momentum must be in \[0, 1\)"),
        ({"momentum": 0.0, "nesterov": True}, "nesterov needs a momentum"),
        ({"weight_decay": -1.0}, "weight_decay must be at least 0"),
        ({"backbone_factor": -0.1}, "backbone_factor must be at least 0"),
    ],
)
def test_values_outside_their_range_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        OptimizerConfig(**options)  # type: ignore[arg-type]
