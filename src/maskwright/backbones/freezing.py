"""Freezing: parts of a network that training leaves as they are."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

__all__ = ["keep_in_eval", "modules_up_to", "stop_gradients"]


def stop_gradients(modules: Iterable[nn.Module]) -> None:
    """Exclude the parameters of the modules from training."""
    for module in modules:
        module.requires_grad_(False)


def keep_in_eval(modules: Iterable[nn.Module]) -> None:
    """Put the modules in evaluation mode, so that batch statistics do not move either."""
    for module in modules:
        module.eval()


def modules_up_to(network: nn.Module, last: nn.Module) -> list[nn.Module]:
    """Return the modules whose parameters come no later than those of `last`.

    In the order in which the network registers them, which is that of its forward pass in
    every network that is a chain of stages.

    >>> chain = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1), nn.Linear(1, 1))
    >>> len(modules_up_to(chain, chain[2]))
    2
    """
    order = {id(parameter): place for place, parameter in enumerate(network.parameters())}
    end = max(order[id(parameter)] for parameter in last.parameters())
    chosen = []
    for module in network.modules():
        places = [order[id(parameter)] for parameter in module.parameters()]
        if places and max(places) <= end:
            chosen.append(module)
    return chosen
