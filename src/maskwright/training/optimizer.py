"""Optimisers: which parameters decay, and which learn at which rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from maskwright.errors import ConfigError

__all__ = ["OptimizerConfig", "parameter_groups", "set_learning_rate"]


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Which optimiser trains a model, and how fast.

    Args:
        kind: "sgd" (with momentum) or "adamw" (Loshchilov and Hutter, 2019).
        learning_rate: Full rate; a schedule multiplies it.
        momentum: Of SGD, in [0, 1).
        nesterov: Nesterov's form of the momentum, for SGD.
        betas: Of AdamW: decay of the first and second moments.
        weight_decay: For weights of convolutions and linear layers; norms and biases have none.
        backbone_factor: Multiplies the rate of the backbone; below 1 for a pretrained one, 0 to
            leave it as it is.

    Raises:
        ConfigError: A value outside its range.
    """

    kind: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = 0.02
    momentum: float = 0.9
    nesterov: bool = False
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 1e-4
    backbone_factor: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in ("sgd", "adamw"):
            raise ConfigError(f"optimizer kind must be 'sgd' or 'adamw', got {self.kind!r}")
        if not self.learning_rate > 0:
            raise ConfigError(f"learning_rate must be over 0, got {self.learning_rate}")
        if not 0 <= self.momentum < 1:
            raise ConfigError(f"momentum must be in [0, 1), got {self.momentum}")
        if self.nesterov and self.momentum == 0:
            raise ConfigError("nesterov needs a momentum over 0, got momentum 0")
        for name in ("weight_decay", "backbone_factor"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} must be at least 0, got {getattr(self, name)}")

    def build(
        self, model: nn.Module, backbone_prefixes: tuple[str, ...] = ("backbone.",)
    ) -> torch.optim.Optimizer:
        """Return the optimiser of all parameters of `model`, frozen ones included.

        A frozen parameter has no gradient and is passed over, so a run may freeze and thaw parts
        without another optimiser.

        Args:
            model: The model to train.
            backbone_prefixes: Parameters whose name starts so learn at `backbone_factor`.
        """
        groups = parameter_groups(model, self, backbone_prefixes)
        if self.kind == "adamw":
            return torch.optim.AdamW(groups, lr=self.learning_rate, betas=self.betas)
        return torch.optim.SGD(
            groups, lr=self.learning_rate, momentum=self.momentum, nesterov=self.nesterov
        )


def parameter_groups(
    model: nn.Module, config: OptimizerConfig, backbone_prefixes: tuple[str, ...] = ("backbone.",)
) -> list[dict[str, Any]]:
    """Split the parameters by rate (backbone or not) and by decay (weights or not).

    Parameters of one dimension or none are norms' scales and all biases: they do not decay
    (He et al., 2019, "Bag of Tricks", section 3.1).

    Returns:
        Up to four groups, empty ones left out, in an order that depends on the model alone; each
        has `params`, `names` (in the same order), `lr`, `initial_lr` and `weight_decay`.

    >>> groups = parameter_groups(nn.Linear(3, 2), OptimizerConfig(weight_decay=0.1))
    >>> [(group["names"], group["weight_decay"]) for group in groups]
    [(['weight'], 0.1), (['bias'], 0.0)]
    """
    groups: dict[tuple[bool, bool], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        in_backbone = name.startswith(backbone_prefixes)
        decays = parameter.ndim > 1
        rate = config.learning_rate * (config.backbone_factor if in_backbone else 1.0)
        group = groups.setdefault(
            (in_backbone, decays),
            {
                "params": [],
                "names": [],
                "lr": rate,
                "initial_lr": rate,
                "weight_decay": config.weight_decay if decays else 0.0,
            },
        )
        group["params"].append(parameter)
        group["names"].append(name)
    return list(groups.values())


def set_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> float:
    """Set each group's rate to `factor` times its `initial_lr`; return the highest."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor
    return max(float(group["lr"]) for group in optimizer.param_groups)
