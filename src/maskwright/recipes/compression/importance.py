"""How much the losses would change without a channel, to first order.

Molchanov et al. 2019, "Importance Estimation for Neural Network Pruning",
https://arxiv.org/abs/1906.10771, equation 8 at the gates of section 3.2: without a channel, every
weight that reads it multiplies nothing, so the loss changes by about the sum of weight times
gradient over those weights. Its square is averaged over batches. A channel that several layers read
(behind shortcuts) has one sum over all of them, for it goes everywhere at once.

Deviation: the paper's networks have one loss. Ours have one for classes, boxes and masks each, on
scales of their own (on nuclei 1.4, 0.6 and 0.07 after training), and in their sum a mask head is
worth next to nothing. So each loss is asked by itself, and counts by what part of it would change.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maskwright.model import Model
from maskwright.recipes.compression.channel_groups import ChannelGroup
from maskwright.structures import Batch

__all__ = ["measure_importance"]

_NO_LOSS = 1e-12
"""Square of a loss that nothing can be divided by: its changes are 0 as well."""


def measure_importance(
    model: Model, groups: Sequence[ChannelGroup], batches: Iterable[Batch]
) -> list[Float[Tensor, " _"]]:
    """Return the importance of each channel of each group, all on one scale.

    It is a sum over the losses: the mean square of a loss's change, by the mean square of the loss.

    Args:
        model: That the groups were found in; gradients are gone afterwards.
        groups: See `find_channel_groups`.
        batches: Some training pictures with targets.
    """
    changes: dict[str, list[Tensor]] = {}
    sizes: dict[str, float] = {}
    was_training = model.training
    model.eval()  # batch norms keep their statistics, nothing is dropped
    for batch in batches:
        for name, loss in model(batch).items():
            sizes[name] = sizes.get(name, 0.0) + float(loss.detach()) ** 2
            if not loss.requires_grad:
                continue  # nothing to learn from in these pictures
            model.zero_grad(set_to_none=True)
            loss.backward(retain_graph=True)  # the losses share the backbone
            totals = changes.setdefault(name, [torch.zeros(group.size) for group in groups])
            for total, group in zip(totals, groups, strict=True):
                total.add_(_change(group).square())
    model.zero_grad(set_to_none=True)
    model.train(was_training)
    importance = [torch.zeros(group.size) for group in groups]
    for name, totals in changes.items():
        for whole, total in zip(importance, totals, strict=True):
            whole.add_(total / max(sizes[name], _NO_LOSS))
    return importance


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
