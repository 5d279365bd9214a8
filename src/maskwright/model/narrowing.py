"""Narrowed layers: how a model file says that layers have fewer channels than their config gives.

Pruning takes channels out of single layers, which no option of a backbone, neck or head describes.
The model's `Config` therefore lists every layer whose counts differ from those that the rest of
the config builds (`narrowed`); building makes the full network and cuts those layers, so a pruned
model is rebuilt, exported and trained further like any other. Without pruning the list is empty.

A convolution or linear layer has inputs, outputs and groups; a normalisation has as many outputs
as inputs, and groups where it normalises groups of channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from maskwright.errors import ConfigError, nearest_name
from maskwright.ops import PositiveCount
from maskwright.structures import Features, Size

__all__ = [
    "NarrowedLayer",
    "is_countable",
    "is_frozen_norm",
    "layer_counts",
    "list_narrowed",
    "narrow_model",
]

_FROZEN_IN_TIMM = ("FrozenBatchNormAct2d",)
"""By name, because timm is an extra."""

_PROBE_SIDE = 128
"""Of the picture that channels are measured on, in pixels."""


@dataclass(frozen=True, kw_only=True)
class NarrowedLayer:
    """A layer with other channel counts than the config of its part gives.

    Args:
        name: Of the layer in the model, as in the names of its tensors.
        inputs: Channels (of a linear layer features) that it reads.
        outputs: Channels that it gives.
        groups: Of channels that are convolved or normalised apart.
    """

    name: str
    inputs: PositiveCount
    outputs: PositiveCount
    groups: PositiveCount = 1


def is_countable(layer: nn.Module) -> bool:
    """Whether `layer_counts` knows this kind of layer."""
    return (
        isinstance(
            layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.BatchNorm2d | nn.GroupNorm
        )
    ) or is_frozen_norm(layer)


def is_frozen_norm(layer: nn.Module) -> bool:
    """Whether it is a batch norm whose scale and statistics are fixed numbers."""
    return isinstance(layer, FrozenBatchNorm2d) or type(layer).__name__ in _FROZEN_IN_TIMM


def layer_counts(layer: nn.Module) -> tuple[int, int, int]:
    """Return inputs, outputs and groups of a layer that `is_countable`.

    >>> layer_counts(nn.Conv2d(8, 16, 3, groups=4)), layer_counts(nn.GroupNorm(2, 8))
    ((8, 16, 4), (8, 8, 2))
    """
    match layer:
        case nn.Conv2d() | nn.ConvTranspose2d():
            return layer.in_channels, layer.out_channels, layer.groups
        case nn.Linear():
            return layer.in_features, layer.out_features, 1
        case nn.GroupNorm():
            return layer.num_channels, layer.num_channels, layer.num_groups
    width = _tensor(layer, "running_mean").shape[0]
    return width, width, 1


def list_narrowed(model: nn.Module, full: nn.Module) -> tuple[NarrowedLayer, ...]:
    """Return the layers of a model whose counts differ from those of its unpruned network.

    Args:
        model: With fewer channels.
        full: What its config builds without a list of narrowed layers.
    """
    wide = dict(full.named_modules())
    found = []
    for name, layer in model.named_modules():
        if is_countable(layer) and layer_counts(layer) != layer_counts(wide[name]):
            inputs, outputs, groups = layer_counts(layer)
            found.append(NarrowedLayer(name=name, inputs=inputs, outputs=outputs, groups=groups))
    return tuple(found)


def narrow(model: nn.Module, layers: Sequence[NarrowedLayer]) -> None:
    """Cut layers to fewer channels, in place; the first channels stay.

    Which ones stay does not matter where weights are loaded afterwards.

    Raises:
        ConfigError: A layer that the model does not have, or that would have more channels than
            its config gives.
    """
    known = dict(model.named_modules())
    for each in layers:
        layer = known.get(each.name)
        if layer is None or not is_countable(layer):
            near = nearest_name(each.name, [n for n, m in known.items() if is_countable(m)])
            raise ConfigError(f"the config narrows {each.name!r}, no layer of this model.{near}")
        full = layer_counts(layer)
        if each.inputs > full[0] or each.outputs > full[1] or each.groups > full[2]:
            raise ConfigError(
                f"the config narrows {each.name} to {each.inputs} inputs, {each.outputs} outputs "
                f"and {each.groups} groups, but it has only {full[0]}, {full[1]} and {full[2]}"
            )
        if each.inputs % each.groups or each.outputs % each.groups:
            raise ConfigError(
                f"the config narrows {each.name} to {each.inputs} inputs and {each.outputs} "
                f"outputs, which {each.groups} groups do not divide"
            )
        _cut(layer, each)


def narrow_model(
    network: Any, layers: Sequence[NarrowedLayer], heads: Callable[[Features, Size], object]
) -> None:
    """Cut layers of a whole model and note the channels that its backbone and neck give then.

    Args:
        network: With `backbone` and `neck`, on the CPU.
        layers: See `narrow`; none leaves the model as it is.
        heads: Runs what reads the maps of a picture of that (height, width).

    Raises:
        ConfigError: As `narrow`, or layers that no longer fit each other.
    """
    if not layers:
        return
    narrow(network, layers)
    channels = network.pixel_mean.shape[0]
    side = network.config.size_multiple * -(-_PROBE_SIDE // network.config.size_multiple)
    height, width = network.config.fixed_size or (side, side)
    was_training = network.training
    try:
        with torch.no_grad():
            maps: Features = network.eval().backbone(torch.zeros(1, channels, height, width))
            network.backbone.channels = _widths(maps)
            if network.neck is not None:
                maps = network.neck(maps)
                network.neck.channels = _widths(maps)
            heads(maps, (height, width))
    except RuntimeError as error:
        raise ConfigError(
            f"the {len(layers)} narrowed layers of the config do not fit each other: {error}"
        ) from error
    finally:
        network.train(was_training)


def _widths(maps: Features) -> dict[int, int]:
    return {stride: int(each.shape[1]) for stride, each in maps.items()}


def _cut(layer: nn.Module, counts: NarrowedLayer) -> None:
    match layer:
        case nn.Conv2d():
            layer.in_channels, layer.out_channels = counts.inputs, counts.outputs
            layer.groups = counts.groups
            _take(layer, "weight", counts.outputs, counts.inputs // counts.groups)
            _take(layer, "bias", counts.outputs)
        case nn.ConvTranspose2d():
            layer.in_channels, layer.out_channels = counts.inputs, counts.outputs
            layer.groups = counts.groups
            _take(layer, "weight", counts.inputs, counts.outputs // counts.groups)
            _take(layer, "bias", counts.outputs)
        case nn.Linear():
            layer.in_features, layer.out_features = counts.inputs, counts.outputs
            _take(layer, "weight", counts.outputs, counts.inputs)
            _take(layer, "bias", counts.outputs)
        case nn.GroupNorm():
            layer.num_channels, layer.num_groups = counts.outputs, counts.groups
            for name in ("weight", "bias"):
                _take(layer, name, counts.outputs)
        case _:
            if "num_features" in vars(layer):  # torchvision's frozen norm does not count them
                vars(layer)["num_features"] = counts.outputs
            for name in ("weight", "bias", "running_mean", "running_var"):
                _take(layer, name, counts.outputs)


def _take(layer: nn.Module, name: str, *sides: int) -> None:
    """Keep the first entries of a parameter or buffer along its first axes."""
    old = getattr(layer, name)
    if old is None:
        return
    new = old.detach()[tuple(slice(side) for side in sides)].clone()
    if isinstance(old, nn.Parameter):
        setattr(layer, name, nn.Parameter(new, requires_grad=old.requires_grad))
    else:
        setattr(layer, name, new)


def _tensor(layer: nn.Module, name: str) -> Tensor:
    found = getattr(layer, name)
    assert isinstance(found, Tensor)
    return found
