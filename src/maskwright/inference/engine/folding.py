"""Batch normalisation folded into the convolutions before it: two operations become one.

At prediction, batch normalisation multiplies and shifts each channel by fixed numbers, and so does
a convolution. Weights are combined in double precision. Group normalisation depends on its input
and stays.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from maskwright.inference.engine.data_flow import followers, watch

__all__ = ["fold_batch_norms", "replace_everywhere"]

_FROZEN_IN_TIMM = ("FrozenBatchNormAct2d",)
_PADS_ITSELF = ("Conv2dSame",)
"""Classes of timm, by name because timm is an extra: frozen batch norm with what follows it, and a
convolution that is an ordinary one but for how it pads."""


def fold_batch_norms(network: nn.Module, run: Callable[[], object]) -> int:
    """Fold batch norms, frozen or not, into the convolutions that feed them, in place.

    Args:
        network: In evaluation mode.
        run: Calls the network on some input.

    Returns:
        How many were folded.
    """
    flow = watch(network, run)
    pairs = list(followers(flow, _takes_a_norm, _is_batch_norm))
    for convolution, norm in pairs:
        assert isinstance(convolution, nn.Conv2d)
        scale, shift = _scale_and_shift(norm)
        _scale_outputs(convolution, scale, shift)
        # timm's norms may carry dropout (nothing at prediction) and the activation that follows
        replace_everywhere(network, norm, getattr(norm, "act", None) or nn.Identity())
    return len(pairs)


def replace_everywhere(network: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Put one module in the place of another wherever the network holds it."""
    for parent in list(network.modules()):
        for name, child in list(parent._modules.items()):
            if child is old:
                setattr(parent, name, new)


def _takes_a_norm(module: nn.Module) -> bool:
    # other subclasses may compute their weights anew (weight standardisation)
    return type(module) is nn.Conv2d or type(module).__name__ in _PADS_ITSELF


def _is_batch_norm(module: nn.Module) -> bool:
    if isinstance(module, FrozenBatchNorm2d) or type(module).__name__ in _FROZEN_IN_TIMM:
        return True
    return isinstance(module, nn.BatchNorm2d) and module.running_mean is not None


def _scale_and_shift(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Return what the norm multiplies each channel by and what it adds then, in float64."""
    variance = _double(norm.running_var)
    scale = (variance + float(norm.eps)).rsqrt()  # type: ignore[arg-type]
    shift = -_double(norm.running_mean) * scale
    if norm.weight is not None:
        weight = _double(norm.weight)
        scale, shift = scale * weight, shift * weight
    return scale, shift if norm.bias is None else shift + _double(norm.bias)


def _scale_outputs(convolution: nn.Conv2d, scale: Tensor, shift: Tensor) -> None:
    weight = convolution.weight
    bias = 0.0 if convolution.bias is None else _double(convolution.bias) * scale
    folded = _double(weight) * scale[:, None, None, None]
    convolution.weight = nn.Parameter(folded.to(weight), requires_grad=False)
    convolution.bias = nn.Parameter((shift + bias).to(weight), requires_grad=False)


def _double(tensor: object) -> Tensor:
    assert isinstance(tensor, Tensor)
    return tensor.detach().to(torch.float64)
