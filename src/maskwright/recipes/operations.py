"""Floating-point operations, counted while a network runs: the one count that all others are of.

PyTorch's own counter knows convolutions and matrix products, whoever calls them. Costs of models,
the parts of a benchmark and the layers that pruning weighs are read from it.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from torch.utils.flop_counter import FlopCounterMode

__all__ = ["OperationCounter"]


class OperationCounter:
    """Counts what runs inside its `with`: multiplications and additions, apart.

    A multiply-add is two operations. Poolings, NMS and pasting are not counted.

    >>> import torch
    >>> with OperationCounter() as counter:
    ...     _ = torch.zeros(2, 3) @ torch.zeros(3, 4)
    >>> counter.operations, counter.multiply_adds
    (48, 24)
    """

    def __init__(self) -> None:
        self._counter = FlopCounterMode(display=False)

    def __enter__(self) -> Self:
        self._counter.__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._counter.__exit__(kind, error, trace)  # type: ignore[no-untyped-call]

    @property
    def operations(self) -> int:
        """Counted so far; may be read inside, as a clock is."""
        return int(self._counter.get_total_flops())

    @property
    def multiply_adds(self) -> int:
        """Half the operations."""
        return self.operations // 2
