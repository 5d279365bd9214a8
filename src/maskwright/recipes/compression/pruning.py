"""Structured pruning: whole channels go until a model needs so many fewer multiply-adds.

Channels go in small portions, always the portion whose loss of importance per multiply-add saved is
least, so that cheap channels of no use go before dear ones of some. Importance is measured anew on
the half-pruned model a few times on the way (Molchanov et al. 2019, section 3.3, prune in portions
for the same reason).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from maskwright.detectors import RCNN
from maskwright.errors import ConfigError, MaskwrightError
from maskwright.model import InstanceSegmenter, Model
from maskwright.model.narrowing import list_narrowed
from maskwright.recipes.compression.arithmetic import (
    LayerCost,
    Workload,
    layer_costs,
    total_multiply_adds,
)
from maskwright.recipes.compression.channel_groups import (
    ChannelGroup,
    find_channel_groups,
    import_torch_pruning,
    remove_channels,
)
from maskwright.recipes.compression.importance import measure_importance
from maskwright.structures import Batch

__all__ = ["Pruned", "prune"]

_ROUNDS = 4
"""How often importance is measured on the way to the target."""

_LEAST = 0.125
"""Part of the channels of a group that stays whatever their importance: a layer of none would cut
the network in two."""


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """A model with fewer channels.

    Args:
        model: With the weights of the channels that stay, in evaluation mode.
        before: Multiply-adds of one picture before,
        after: and after.
        channels_before: Channels that might have gone,
        channels_after: and those of them that stay.
    """

    model: Model
    before: int
    after: int
    channels_before: int
    channels_after: int

    @property
    def factor(self) -> float:
        """How many times fewer multiply-adds there are."""
        return self.before / self.after


def prune(
    model: Model,
    target: float,
    batches: Callable[[], Iterable[Batch]],
    work: Workload,
) -> Pruned:
    """Return a model with `target` times fewer multiply-adds; the given one stays as it is.

    Args:
        model: A trained model, maybe pruned before.
        target: Above 1.
        batches: Called several times; some training pictures with their objects.
        work: What multiply-adds are counted on.

    Raises:
        ConfigError: A target of 1 or less, one that cannot be reached (says which can), or a
            detector whose channels cannot go.
        MissingExtraError: torch-pruning is not installed.
    """
    _require_prunable(model, target)
    import_torch_pruning()
    network = copy.deepcopy(model).cpu().eval()
    before = total_multiply_adds(layer_costs(network, work))
    first = find_channel_groups(network, work.size)
    for number in range(1, _ROUNDS + 1):
        goal = before / target ** (number / _ROUNDS)
        groups = find_channel_groups(network, work.size)
        importance = measure_importance(network, groups, batches())
        floors = _floors(groups, first)
        removed, reached = _choose(groups, importance, layer_costs(network, work), goal, floors)
        remove_channels(network, work.size, removed)
        if reached > goal:
            raise ConfigError(
                f"{target:g} times fewer multiply-adds cannot be reached by pruning: with an "
                f"eighth of the channels left wherever channels may go, there are "
                f"{before / reached:.2f} times fewer. Take a lower --target, or --method distill, "
                "which teaches a smaller network"
            )
    pruned = _rebuilt(model, network)
    return Pruned(
        model=pruned,
        before=before,
        after=total_multiply_adds(layer_costs(pruned, work)),
        channels_before=sum(group.size for group in first),
        channels_after=sum(group.size for group in find_channel_groups(pruned, work.size)),
    )


def _require_prunable(model: Model, target: float) -> None:
    if not target > 1:
        raise ConfigError(f"the target must be above 1 (2 means half the work), got {target:g}")
    if isinstance(model, InstanceSegmenter) and isinstance(model.detector, RCNN):
        raise ConfigError(
            "R-CNN cannot be pruned: its classifiers were fitted to the features of the whole "
            "network after training. Prune another detector, or teach one by --method distill"
        )


def _floors(groups: Sequence[ChannelGroup], first: Sequence[ChannelGroup]) -> list[int]:
    """Return the fewest channels that each group may be left with."""
    full = {name: group.size for group in first for name in group.writers}
    floors = []
    for group in groups:
        size = max(full.get(name, group.size) for name in group.writers)
        least = _LEAST * size
        floors.append(group.unit * max(1, -(-int(least) // group.unit)))
    return floors


def _choose(
    groups: Sequence[ChannelGroup],
    importance: Sequence[Tensor],
    costs: dict[str, LayerCost],
    goal: float,
    floors: Sequence[int],
) -> tuple[list[tuple[ChannelGroup, list[int]]], int]:
    """Return the channels of each group that go, and the multiply-adds that remain."""
    blocks = [
        each.reshape(-1, group.block).sum(dim=1)
        for each, group in zip(importance, groups, strict=True)
    ]
    orders = [each.argsort().tolist() for each in blocks]
    gone = [0] * len(groups)
    costs, total = dict(costs), total_multiply_adds(costs)
    while total > goal:
        best: tuple[float, int, int, dict[str, LayerCost], int] | None = None
        for number, group in enumerate(groups):
            portion = _portion(group, gone[number], floors[number])
            if not portion:
                continue
            changed = _without(group, portion, costs)
            saved = sum(
                costs[name].multiply_adds - each.multiply_adds for name, each in changed.items()
            )
            lowest = orders[number][gone[number] // group.block :][: portion // group.block]
            loss = float(blocks[number][lowest].sum())
            if saved > 0 and (best is None or loss / saved < best[0]):
                best = (loss / saved, number, portion, changed, saved)
        if best is None:
            break
        _, number, portion, changed, saved = best
        costs |= changed
        total -= saved
        gone[number] += portion
    removed = [
        (group, _channels(order, group.block, count))
        for group, order, count in zip(groups, orders, gone, strict=True)
    ]
    return removed, total


def _portion(group: ChannelGroup, gone: int, floor: int) -> int:
    """Return how many channels of the group would go next, 0 where none may."""
    left = group.size - gone
    portion = left % group.unit or group.unit  # at first, so that a multiple of the unit stays
    return portion if portion % group.block == 0 and left - portion >= floor else 0


def _without(group: ChannelGroup, count: int, costs: dict[str, LayerCost]) -> dict[str, LayerCost]:
    """Return the costs of the layers of a group with so many channels less."""
    changed: dict[str, LayerCost] = {}
    for name, per_channel in group.writers.items():
        cost = costs[name]
        changed[name] = replace(cost, outputs=cost.outputs - count * per_channel)
    for name in group.depthwise:
        cost = costs[name]
        left = cost.outputs - count
        changed[name] = replace(cost, inputs=left, outputs=left, groups=left)
    for reader in group.readers:
        cost = changed.get(reader.name, costs[reader.name])
        per_channel = len(reader.inputs) // group.size
        changed[reader.name] = replace(cost, inputs=cost.inputs - count * per_channel)
    return changed


def _channels(order: Sequence[int], block: int, count: int) -> list[int]:
    """Return the channels of the first blocks of the order, `count` in all."""
    return [number * block + place for number in order[: count // block] for place in range(block)]


def _rebuilt(model: Model, network: Model) -> Model:
    """Return the pruned network as its config builds it, which is how its file will be read."""
    classes = model.class_names, model.category_ids
    full = replace(model.config, narrowed=()).build(*classes)
    config = replace(model.config, narrowed=list_narrowed(network, full))
    pruned = config.build(*classes)
    try:
        pruned.load_state_dict(network.state_dict())
    except RuntimeError as error:
        raise MaskwrightError(
            f"the pruned network cannot be described layer by layer: {error}"
        ) from error
    return pruned.eval()
