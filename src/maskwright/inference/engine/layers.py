"""Layers that do two or three steps in one pass over memory, on oneDNN, which PyTorch brings.

A convolution with its activation, a convolution that is added to a shortcut, a linear layer with
its activation. Weights are packed for the processor at the first call, and the plain ones dropped.
Channels come last in memory. At prediction only: nothing here has a gradient.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.inference.engine.winograd import WinogradConv2d, suits_winograd

__all__ = [
    "FusedConv2d",
    "FusedLinear",
    "fused_kernels_exist",
    "is_fusible",
    "is_fusible_activation",
]

_Activation = tuple[str, list[float], str]
"""Name, numbers and variant of an activation, as oneDNN's operators of PyTorch take them."""

_NOTHING: _Activation = ("none", [], "")

_ACTIVATIONS: dict[type[nn.Module], Callable[[Any], _Activation]] = {
    nn.Identity: lambda _: _NOTHING,
    nn.ReLU: lambda _: ("relu", [], ""),
    nn.ReLU6: lambda _: ("hardtanh", [0.0, 6.0], ""),
    nn.SiLU: lambda _: ("swish", [], ""),
    nn.Hardswish: lambda _: ("hardswish", [], ""),
    nn.Sigmoid: lambda _: ("sigmoid", [], ""),
    nn.Tanh: lambda _: ("tanh", [], ""),
    nn.LeakyReLU: lambda layer: ("leaky_relu", [layer.negative_slope], ""),
    nn.GELU: lambda layer: ("gelu", [], layer.approximate),
}


_packing = threading.Lock()
"""Several threads may predict with one engine, and each layer is packed once."""


def fused_kernels_exist() -> bool:
    """Return whether this PyTorch has oneDNN (all builds for x86, Linux on ARM)."""
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return available and hasattr(torch.ops.mkldnn, "_convolution_pointwise")


def is_fusible(module: nn.Module) -> bool:
    """Return whether the module is an ordinary convolution or linear layer."""
    if type(module) is nn.Conv2d:
        return module.padding_mode == "zeros" and not isinstance(module.padding, str)
    return type(module) is nn.Linear


def is_fusible_activation(module: nn.Module) -> bool:
    """Return whether the module is an activation that a layer can do in passing."""
    return type(module) in _ACTIVATIONS and type(module) is not nn.Identity


def _shape_alone(weight: Tensor) -> nn.Parameter:
    """Return a weight of the same shape without memory: all that an empty batch needs."""
    return nn.Parameter(weight.new_zeros(1).expand(weight.shape), requires_grad=False)


class FusedConv2d(nn.Module):
    """A convolution, what is added to it, and its activation.

    3 x 3 ones of stride 1 go by Winograd's algorithm on maps that are large enough.

    Args:
        convolution: An ordinary one, see `is_fusible`.
        activation: See `is_fusible_activation`; None for none.
        is_direct: Never go by Winograd's algorithm, whose rounding is larger.
    """

    def __init__(
        self,
        convolution: nn.Conv2d,
        activation: nn.Module | None = None,
        *,
        is_direct: bool = False,
    ) -> None:
        super().__init__()
        self.weight, self.bias = convolution.weight, convolution.bias
        self.activation = activation or nn.Identity()
        self._known = _ACTIVATIONS[type(self.activation)](self.activation)
        self._geometry: Any = (
            list(convolution.padding),
            list(convolution.stride),
            list(convolution.dilation),
            convolution.groups,
        )
        self._packed: Tensor | None = None
        self._rectifies = isinstance(self.activation, nn.ReLU)
        self._winograd = (
            WinogradConv2d(self.weight, self.bias, rectifies=self._rectifies)
            if suits_winograd(convolution) and not is_direct
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the activated convolution."""
        if not x.numel():
            return self._plain(x)
        if self._winograd is not None and self._winograd.suits(x):
            found = self._winograd(x)
            return found if self._rectifies else self.activation(found)
        result: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, self._weight(x), self.bias, *self._geometry, *self._known
        )
        return result

    def add_to(self, shortcut: Tensor, x: Tensor) -> Tensor:
        """Return the activated sum of a shortcut and the convolution, in the shortcut's memory.

        Always by a direct convolution.
        """
        if not x.numel():
            return self._plain(x)
        result: Tensor = torch.ops.mkldnn._convolution_pointwise_.binary(
            shortcut, x, self._weight(x), self.bias, *self._geometry, "add", 1.0, *self._known
        )
        return result

    def _plain(self, x: Tensor) -> Tensor:
        padding, stride, dilation, groups = self._geometry
        result: Tensor = self.activation(
            F.conv2d(x, self.weight, self.bias, stride, padding, dilation, groups)
        )
        return result

    def _weight(self, x: Tensor) -> Tensor:
        with _packing:
            if self._packed is None:
                self._packed = torch.ops.mkldnn._reorder_convolution_weight(
                    self.weight, *self._geometry, list(x.shape)
                )
                if self._winograd is None:
                    self.weight = _shape_alone(self.weight)
            return self._packed


class FusedLinear(nn.Module):
    """A linear layer and its activation.

    Args:
        weight: (outputs, inputs).
        bias: (outputs,), or None.
        activation: See `is_fusible_activation`; None for none.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor | None, activation: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach(), requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias.detach(), requires_grad=False)
        self.activation = activation or nn.Identity()
        self._known = _ACTIVATIONS[type(self.activation)](self.activation)
        self._packed: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Return the activated product, along the last axis."""
        result: Tensor
        if not x.numel():
            result = self.activation(F.linear(x, self.weight, self.bias))
            return result
        with _packing:
            if self._packed is None:
                rows = x.numel() // x.shape[-1]
                self._packed = torch.ops.mkldnn._reorder_linear_weight(self.weight, rows)
                self.weight = _shape_alone(self.weight)
        result = torch.ops.mkldnn._linear_pointwise(x, self._packed, self.bias, *self._known)
        return result
