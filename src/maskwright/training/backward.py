"""How one batch becomes gradients: functions of one shape, chosen by whoever calls `fit`.

A `Backward` is given the forward pass (the model, under autocast where that was asked for) and a
batch; it leaves the gradient of the mean loss in `parameter.grad` and returns the losses. What
differs between plain training, accumulation and differentially private training is only here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import torch
from torch import Tensor

from maskwright.errors import ConfigError, TrainingError
from maskwright.structures import Batch, Losses

__all__ = ["Backward", "Forward", "accumulate", "total_loss", "whole_batch"]

Forward = Callable[[Batch], Losses]
"""The model as `fit` calls it: a batch in, losses that are means over its pictures out."""

Backward = Callable[[Forward, Batch], Losses]
"""Adds a batch's gradient to `parameter.grad` and returns the batch's losses."""


def whole_batch(forward: Forward, batch: Batch) -> Losses:
    """Run the batch forward and backward in one go and return its losses."""
    losses = forward(batch)
    total_loss(losses).backward()  # type: ignore[no-untyped-call]
    return losses


def accumulate(
    num_pictures: int, *, apart: Callable[[], AbstractContextManager[None]] = nullcontext
) -> Backward:
    """Return a `Backward` that takes a batch `num_pictures` at a time, to save memory.

    Every piece keeps the padding of the batch and weighs as much as it has pictures, so that the
    gradient is that of the whole batch, up to rounding; layers that look across the batch (batch
    norm in training mode) see the pieces.

    Args:
        num_pictures: The most pictures that go through the model at once, at least 1.
        apart: Opens a block in which gradients are not exchanged between processes; every piece
            but the last is done in one, so that a batch is exchanged once.

    Raises:
        ConfigError: `num_pictures` is less than 1.
    """
    if num_pictures < 1:
        raise ConfigError(f"num_pictures must be at least 1, got {num_pictures}")

    def in_pieces(forward: Forward, batch: Batch) -> Losses:
        sums: Losses = {}
        pieces = list(_pieces(batch, num_pictures))
        for number, piece in enumerate(pieces, start=1):
            share = len(piece) / len(batch)
            with nullcontext() if number == len(pieces) else apart():
                weighted = {name: loss * share for name, loss in forward(piece).items()}
                total_loss(weighted).backward()  # type: ignore[no-untyped-call]
            for name, loss in weighted.items():
                sums[name] = sums[name] + loss.detach() if name in sums else loss.detach()
        return sums

    return in_pieces


def total_loss(losses: Losses) -> Tensor:
    """Return the sum of the losses, which is what training minimises.

    Raises:
        TrainingError: There are no losses.

    >>> total_loss({"box": torch.tensor(1.5), "mask": torch.tensor(0.25)})
    tensor(1.7500)
    """
    if not losses:
        raise TrainingError(
            "the model returned no losses, at least one was wanted: is it in training mode and "
            "does its forward return a dict of losses?"
        )
    return torch.stack(list(losses.values())).sum()


def _pieces(batch: Batch, num_pictures: int) -> Iterator[Batch]:
    for start in range(0, len(batch), num_pictures):
        chosen = slice(start, start + num_pictures)
        yield replace(
            batch,
            images=batch.images[chosen],
            image_sizes=batch.image_sizes[chosen],
            original_sizes=batch.original_sizes[chosen],
            targets=None if batch.targets is None else batch.targets[chosen],
            names=batch.names[chosen],
        )
