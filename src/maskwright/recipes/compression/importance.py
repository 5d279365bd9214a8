"""How much the loss would change without a channel, to first order.

Molchanov et al. 2019, "Importance Estimation for Neural Network Pruning",
https://arxiv.org/abs/1906.10771, equation 8 at the gates of section 3.2: without a channel, every
weight that reads it multiplies nothing, so the loss changes by about the sum of weight times
gradient over those weights. Its square is averaged over batches. A channel that several layers read
(behind shortcuts) has one sum over all of them, for it goes everywhere at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maskwright.model import Model
from maskwright.recipes.compression.channel_groups import ChannelGroup
from maskwright.structures import Batch
from maskwright.training import total_loss

__all__ = ["measure_importance"]


def measure_importance(
    model: Model, groups: Sequence[ChannelGroup], batches: Iterable[Batch]
) -> list[Float[Tensor, " _"]]:
    """Return the importance of each channel of each group, all on one scale.

    Args:
        model: That the groups were found in; gradients are gone afterwards.
        groups: See `find_channel_groups`.
        batches: Some training pictures with targets.
    """
    totals = [torch.zeros(group.size) for group in groups]
    count = 0
    was_training = model.training
    model.eval()  # batch norms keep their statistics, nothing is dropped
    for batch in batches:
        model.zero_grad(set_to_none=True)
        total_loss(model(batch)).backward()  # type: ignore[no-untyped-call]
        for total, group in zip(totals, groups, strict=True):
            total.add_(_change(group).square())
        count += 1
    model.zero_grad(set_to_none=True)
    model.train(was_training)
    return [total / max(count, 1) for total in totals]


def _change(group: ChannelGroup) -> Float[Tensor, " size"]:
    """Return by how much the loss falls or rises without each channel, to first order."""
    change = torch.zeros(group.size)
    for reader in group.readers:
        weight = reader.layer.weight
        assert isinstance(weight, nn.Parameter)
        if weight.grad is None:
            continue  # nothing went through it
        products = (weight.detach() * weight.grad).cpu()
        axis = 0 if isinstance(reader.layer, nn.ConvTranspose2d) else 1
        sums = products.transpose(0, axis).flatten(1).sum(dim=1)  # per input
        change.index_add_(0, torch.tensor(reader.channels), sums[torch.tensor(reader.inputs)])
    return change
