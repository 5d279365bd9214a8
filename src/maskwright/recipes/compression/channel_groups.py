"""Which channels of a model must go together: those of layers that are added, normalised or read.

torch-pruning (MIT, https://github.com/VainF/Torch-Pruning; Fang et al. 2023, "DepGraph: Towards Any
Structural Pruning", https://arxiv.org/abs/2301.12900) follows the gradients of one pass through a
network and says which layers' channels depend on each other. It is asked for that alone, and to
take the chosen channels out; which ones go is decided in `importance.py` and `pruning.py`.

What cannot be cut safely stays whole: what a part predicts (its size is the number of classes,
anchors or prototypes), frozen layers, layers convolved in groups, and channels that meet a layer or
a free parameter of another kind than `maskwright.model.narrowing` describes.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from maskwright.errors import MissingExtraError
from maskwright.model import Model
from maskwright.model.narrowing import is_countable, is_frozen_norm, layer_counts
from maskwright.recipes.compression.arithmetic import EveryLayer
from maskwright.structures import Size

__all__ = [
    "ChannelGroup",
    "Reader",
    "find_channel_groups",
    "import_torch_pruning",
    "remove_channels",
]

_UNIT = 8
"""Channels are kept in multiples of it: what vector units and cache lines of all processors
divide; finer counts cost multiply-adds that take no less time."""

_WEIGHTED = nn.Conv2d | nn.ConvTranspose2d | nn.Linear


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A layer that reads the channels of a group.

    Args:
        name: Of the layer.
        layer: The layer.
        inputs: Which of its inputs they are; several per channel behind a flattening.
        channels: The channel of the group that each of these is.
    """

    name: str
    layer: nn.Module
    inputs: tuple[int, ...]
    channels: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class ChannelGroup:
    """Channels that go in all of these layers or in none.

    Args:
        root: The layer by whose outputs they are numbered.
        size: How many there are.
        block: So many neighbours go together (a group of a group normalisation).
        unit: So many must go at a time.
        writers: Name of each layer that gives them -> how many outputs it has per channel.
        depthwise: Names of layers that convolve each of them apart.
        readers: What reads them.
    """

    root: nn.Module
    size: int
    block: int
    unit: int
    writers: dict[str, int]
    depthwise: tuple[str, ...]
    readers: tuple[Reader, ...]


def find_channel_groups(model: Model, size: Size) -> list[ChannelGroup]:
    """Return the groups of channels that may go, in the order of the network.

    Args:
        model: On the CPU.
        size: (height, width) of a picture to follow, in the network.

    Raises:
        MissingExtraError: torch-pruning is not installed.
    """
    graph = _follow(model, size)
    names = {layer: name for name, layer in model.named_modules()}
    found = []
    for group in graph.get_all_groups():
        described = _describe(group, graph, names)
        if described is not None:
            found.append(described)
    return found


def remove_channels(
    model: Model, size: Size, removed: Sequence[tuple[ChannelGroup, Sequence[int]]]
) -> None:
    """Take channels out of a model, in place; what stays keeps its weights.

    Args:
        model: That the groups were found in.
        size: As for `find_channel_groups`.
        removed: Groups with the numbers of the channels that go.
    """
    graph = _follow(model, size)
    for group, channels in removed:
        if len(channels):
            pruner = graph.get_pruner_of_module(group.root)
            graph.get_pruning_group(group.root, pruner.prune_out_channels, sorted(channels)).prune()


def import_torch_pruning() -> Any:
    """Import torch-pruning, or say how to install it."""
    try:
        import torch_pruning
    except ImportError as error:
        raise MissingExtraError("torch-pruning", "compress", "prune channels") from error
    return torch_pruning


def _follow(model: Model, size: Size) -> Any:
    """Return torch-pruning's graph of the layers of a model."""
    pruning = import_torch_pruning()
    whole = EveryLayer(model)
    picture = model.pixel_mean.new_zeros((1, model.pixel_mean.shape[0], *size))
    was_training = model.training
    trainable = {each: each.requires_grad for each in model.parameters()}
    for each in trainable:
        each.requires_grad_(True)  # the graph is made of gradients
    try:
        with torch.enable_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # free parameters, which `_describe` looks for
            return pruning.DependencyGraph().build_dependency(
                whole,
                example_inputs=picture,
                customized_pruners=_norm_pruners(model, pruning),
                verbose=False,
            )
    finally:
        model.train(was_training)
        for each, requires in trainable.items():
            each.requires_grad_(requires)


def _describe(group: Any, graph: Any, names: dict[nn.Module, str]) -> ChannelGroup | None:
    """Return a group of torch-pruning as ours; None where its channels must stay."""
    root = group[0].dep.target.module
    size = len(group[0].idxs)
    writers: dict[str, int] = {}
    depthwise: list[str] = []
    readers: list[Reader] = []
    blocks = [1]
    for item in group:
        layer = item.dep.target.module
        if not isinstance(layer, nn.Module):
            return None  # a free parameter
        if layer not in names:
            continue  # torch-pruning's own: a sum, a concatenation
        if not is_countable(layer) or any(not p.requires_grad for p in layer.parameters()):
            return None
        inputs, outputs, groups = layer_counts(layer)
        name = names[layer]
        if not isinstance(layer, _WEIGHTED):
            if isinstance(layer, nn.GroupNorm):
                if list(item.idxs) != list(range(outputs)):
                    return None
                blocks.append(outputs // groups)
        elif groups > 1:
            if not (inputs == outputs == groups):
                return None
            depthwise.append(name)
        elif graph.is_out_channel_pruning_fn(item.dep.handler):
            writers[name] = len(item.idxs) // size
        else:
            readers.append(
                Reader(
                    name=name,
                    layer=layer,
                    inputs=tuple(item.idxs),
                    channels=tuple(item.root_idxs),
                )
            )
    if not readers:
        return None  # what a part predicts
    block = math.lcm(*blocks)
    return ChannelGroup(
        root=root,
        size=size,
        block=block,
        unit=math.lcm(block, _UNIT),
        writers=writers,
        depthwise=tuple(dict.fromkeys(depthwise)),
        readers=tuple(readers),
    )


def _norm_pruners(model: Model, pruning: Any) -> dict[type[nn.Module], Any]:
    """Return what cuts the normalisations that torch-pruning does not, or not so, by class."""
    function = pruning.pruner.function

    class GroupNormPruner(function.GroupNormPruner):  # type: ignore[misc, name-defined]
        """Takes whole groups out, so that what stays is normalised as before."""

        def prune_out_channels(self, layer: nn.GroupNorm, idxs: Sequence[int]) -> nn.Module:
            per_group = layer.num_channels // layer.num_groups
            super().prune_out_channels(layer, idxs)
            layer.num_groups = layer.num_channels // per_group
            return layer

        prune_in_channels = prune_out_channels

    class FrozenNormPruner(function.BasePruningFunc):  # type: ignore[misc, name-defined]
        """Cuts the fixed numbers of a frozen batch norm."""

        def prune_out_channels(self, layer: nn.Module, idxs: Sequence[int]) -> nn.Module:
            width = self.get_out_channels(layer)
            kept = torch.tensor(sorted(set(range(width)) - set(idxs)))
            for name in ("weight", "bias", "running_mean", "running_var"):
                setattr(layer, name, getattr(layer, name)[kept])
            if "num_features" in vars(layer):  # torchvision's does not count them
                vars(layer)["num_features"] = len(kept)
            return layer

        prune_in_channels = prune_out_channels

        def get_out_channels(self, layer: nn.Module) -> int:
            return layer_counts(layer)[1]

        get_in_channels = get_out_channels

    found: dict[type[nn.Module], Any] = {}
    for layer in model.modules():
        if isinstance(layer, nn.GroupNorm):
            found[type(layer)] = GroupNormPruner()
        elif is_frozen_norm(layer):
            found[type(layer)] = FrozenNormPruner()
    return found
