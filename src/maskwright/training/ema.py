"""Exponential moving average of a model's weights (Polyak and Juditsky, 1992)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from maskwright.errors import ConfigError, TrainingError

__all__ = ["EMA"]


class EMA:
    """Follows the parameters and buffers of a model, one update per optimiser step.

    `average += (1 - d) * (weights - average)`, so constant tensors (frozen layers) stay equal to
    the bit. The decay warms up, d = min(decay, (1 + t) / (10 + t)) after t updates, the rule of
    TensorFlow's `ExponentialMovingAverage`: early averages forget the random start. Integer
    buffers (counters) are copied.

    Args:
        model: The bare model, not its DDP wrapper; already on its device.
        decay: Of the warmed-up average, in [0, 1): it spans about 1 / (1 - decay) steps.

    Raises:
        ConfigError: `decay` outside its range.
    """

    def __init__(self, model: nn.Module, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ConfigError(f"decay must be in [0, 1), got {decay}")
        self.decay = decay
        self.num_updates = 0
        self._model = model
        self._average = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the model's present weights."""
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        self.num_updates += 1
        averages, currents = [], []
        for name, current in self._model.state_dict().items():
            if current.is_floating_point():
                averages.append(self._average[name])
                currents.append(current)
            else:
                self._average[name].copy_(current)
        if averages:
            torch._foreach_lerp_(averages, currents, 1.0 - decay)

    @contextmanager
    def applied(self) -> Iterator[nn.Module]:
        """Lend the averaged weights to the model inside the block, to evaluate or to save it.

        The model has its own weights again afterwards, to the bit. Do not train inside.
        """
        self._swap()
        try:
            yield self._model
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, tensor in self._model.state_dict().items():
            own = tensor.clone()
            tensor.copy_(self._average[name])
            self._average[name].copy_(own)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the state as plain tensors: `average.<name>` each, and `num_updates`."""
        state = {f"average.{name}": tensor for name, tensor in self._average.items()}
        return {**state, "num_updates": torch.tensor(self.num_updates)}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take over a state that `state_dict` returned.

        Raises:
            TrainingError: Names or shapes are not those of this model.
        """
        own = self.state_dict()
        if wrong := sorted(
            own.keys() ^ state.keys()
            | {name for name in own.keys() & state.keys() if own[name].shape != state[name].shape}
        ):
            raise TrainingError(
                f"the saved moving average is of another model: {len(wrong)} tensors are missing, "
                f"too many or of another shape, the first is {wrong[0]}"
            )
        self.num_updates = int(state["num_updates"])
        for name, tensor in self._average.items():
            tensor.copy_(state[f"average.{name}"])
