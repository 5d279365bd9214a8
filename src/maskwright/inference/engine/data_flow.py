"""Which layer feeds which: watched while a network runs, not read from its structure.

A layer may be merged into the one before it where that one's result goes nowhere else. Names and
nesting do not tell (shared activations, shortcuts, maps that are also returned), the flow of the
tensors does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

__all__ = ["followers", "watch"]

_Value = tuple[int, int]
"""A tensor by identity and version: what is changed in place is another value."""


class Flow(TorchFunctionMode):
    """What modules took and gave, and in which modules each value was read."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[nn.Module, list[tuple[_Value, _Value]]] = defaultdict(list)
        self.readers: dict[_Value, list[tuple[nn.Module, ...]]] = defaultdict(list)
        self._inside: list[nn.Module] = []
        self._entered: list[_Value | None] = []
        self._alive: list[Tensor] = []  # identities are not given again while these live

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run the function and note what it read, if it made tensors of it."""
        del types
        read = [self._value(leaf) for leaf in _tensors((args, kwargs))]
        result = func(*args, **(kwargs or {}))
        if _tensors(result):  # not a question for a shape or a type
            for value in read:
                self.readers[value].append(tuple(self._inside))
        return result

    def enter(self, module: nn.Module, arguments: tuple) -> None:
        """Note that a module begins."""
        first = next(iter(_tensors(arguments)), None)
        self._inside.append(module)
        self._entered.append(None if first is None else self._value(first))

    def leave(self, module: nn.Module, _: object, result: Any) -> None:
        """Note what a module gave."""
        self._inside.pop()
        taken = self._entered.pop()
        if taken is not None and isinstance(result, Tensor):
            self.calls[module].append((taken, self._value(result)))

    def _value(self, tensor: Tensor) -> _Value:
        self._alive.append(tensor)
        return id(tensor), tensor._version


def watch(network: nn.Module, run: Callable[[], object]) -> Flow:
    """Run something that calls the network, without gradients, and return what flowed where."""
    flow = Flow()
    with ExitStack() as hooks:
        for module in network.modules():
            for hook in (
                module.register_forward_pre_hook(flow.enter),
                module.register_forward_hook(flow.leave),
            ):
                hooks.callback(hook.remove)
        with flow:
            run()
    return flow


def followers(
    flow: Flow, is_layer: Callable[[nn.Module], bool], is_follower: Callable[[nn.Module], bool]
) -> Iterator[tuple[nn.Module, nn.Module]]:
    """Yield each layer with the follower that may be merged into it.

    In every call the layer's result was read by the follower alone, and the follower was given
    nothing but that layer's results.
    """
    for layer, calls in flow.calls.items():
        if not is_layer(layer):
            continue
        given = [value for _, value in calls]
        readers = {
            next((module for module in inside if is_follower(module)), None)
            for value in given
            for inside in flow.readers[value]
        }
        if len(readers) != 1:
            continue
        follower = readers.pop()
        if follower is not None and [taken for taken, _ in flow.calls[follower]] == given:
            yield layer, follower


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
