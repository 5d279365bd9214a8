"""Fake quantisation: a model learns with its numbers rounded as 8-bit integers will round them.

Jacob et al. 2018, https://arxiv.org/abs/1712.05877, section 3: in the forward pass weights and the
inputs of every convolution and linear layer are rounded to 256 values, in the backward pass
rounding counts as the identity within the range. Ranges of inputs are moving averages of the
smallest and the largest value of a batch (section 3.1), one range per layer; weights have one per
output channel, symmetric (Krishnamoorthi 2018, https://arxiv.org/abs/1806.08342, section 3.1.3),
which makes them the same whether a batch norm is folded into them or not. `maskwright export
--int8` quantises in the same way: per channel and per tensor.

Nothing of the model is changed. A mode of PyTorch sees each convolution as it is called, whatever
class of layer calls it, so weights, their names and the model file stay as they are, and the ranges
are left behind: the export measures them anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from maskwright.structures import Batch, Losses

__all__ = ["FakeQuantised", "round_inputs", "round_weights"]

_LEVELS = 255
_PACE = 0.05
"""Of the moving averages of ranges: they follow about the last 20 batches."""

_LAYERS = nn.Conv2d | nn.ConvTranspose2d | nn.Linear


class FakeQuantised(nn.Module):
    """Something that learns, with a network's layers rounding to 8 bits meanwhile.

    Args:
        learner: Returns the losses of a batch: a model, or one with a teacher.
        network: Whose layers round; a part of the learner, or it.

    Attributes:
        ranges: Smallest and largest input of each layer so far, (layers, 2); NaN where a layer has
            not been seen.
    """

    ranges: Tensor

    def __init__(self, learner: nn.Module, network: nn.Module) -> None:
        super().__init__()
        self.learner = learner
        layers = [each for each in network.modules() if isinstance(each, _LAYERS)]
        self._places = {id(layer.weight): place for place, layer in enumerate(layers)}
        nothing = torch.full((len(layers), 2), torch.nan)
        device = next(network.parameters()).device
        self.register_buffer("ranges", nothing.to(device))

    def forward(self, batch: Batch) -> Losses:
        """Return the learner's losses, rounding, and let the ranges follow the batch."""
        with _Rounding(self._places, self.ranges, is_learning=True):
            losses: Losses = self.learner(batch)
        return losses

    @contextmanager
    def rounding(self) -> Iterator[None]:
        """Let the network predict with the ranges learnt so far, inside the block."""
        with _Rounding(self._places, self.ranges, is_learning=False):
            yield


class _Rounding(TorchFunctionMode):
    def __init__(self, places: Mapping[int, int], ranges: Tensor, *, is_learning: bool) -> None:
        super().__init__()
        self.places, self.ranges, self.is_learning = places, ranges, is_learning

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func not in _AXES or len(args) < 2 or id(args[1]) not in self.places:
            return func(*args, **(kwargs or {}))
        inputs, weight, *rest = args
        place = self.places[id(weight)]
        if self.is_learning:
            self._follow(place, inputs)
        rounded = round_inputs(inputs, self.ranges[place])
        return func(rounded, round_weights(weight, _AXES[func]), *rest, **(kwargs or {}))

    @torch.no_grad()
    def _follow(self, place: int, inputs: Tensor) -> None:
        if not inputs.numel():
            return
        now = torch.stack(inputs.detach().float().aminmax())
        known = self.ranges[place]
        self.ranges[place] = torch.where(known.isnan(), now, known.lerp(now, _PACE))


_AXES: dict[Callable[..., Any], int] = {F.conv2d: 0, F.linear: 0, F.conv_transpose2d: 1}
"""Function -> the axis of the output channels in its weight."""


def round_inputs(inputs: Tensor, low_high: Tensor) -> Tensor:
    """Return values rounded to 256 steps of a range, which is widened to hold 0.

    Args:
        inputs: Any; values outside the range become its ends.
        low_high: Smallest and largest; NaN leaves all as it is.
    """
    low, high = (float(each) for each in low_high)
    low, high = min(low, 0.0), max(high, 0.0)  # padding must be exact
    if not high > low or not inputs.numel():
        return inputs
    scale = (high - low) / _LEVELS
    zero = min(max(round(-low / scale), 0), _LEVELS)
    rounded = torch.fake_quantize_per_tensor_affine(inputs.float(), scale, zero, 0, _LEVELS)
    return rounded.to(inputs.dtype)


def round_weights(weight: Tensor, axis: int = 0) -> Tensor:
    """Return weights rounded to -127..127 times a scale of each output channel.

    Args:
        weight: Of a convolution or linear layer.
        axis: Of its output channels.

    >>> round_weights(torch.tensor([[1.0, 0.5], [0.001, 0.0]])).tolist()[1]
    [0.0010000000474974513, 0.0]
    """
    others = [each for each in range(weight.ndim) if each != axis]
    scale = weight.detach().abs().amax(dim=others).float().clamp(min=1e-12) / 127
    zeros = torch.zeros_like(scale, dtype=torch.int32)
    rounded = torch.fake_quantize_per_channel_affine(weight.float(), scale, zeros, axis, -127, 127)
    return rounded.to(weight.dtype)
