"""What class maps learn with: losses over all cells of a picture, or over the least sure ones.

Shapes: b pictures, k classes, (gh, gw) cells of the map, q cells that are learnt from, in a row.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from maskwright.ops import (
    MaskTerm,
    boundary_loss,
    dice_loss,
    lovasz_loss,
    mask_loss_names,
    parse_mask_loss,
    signed_distances,
)
from maskwright.structures import Losses

__all__ = ["class_map_loss", "class_map_losses"]

_GAMMA = 2.0
"""Of the focal loss: Lin et al. 2017, section 4.1."""

_IMPORTANCE = 0.75
"""Part of the chosen cells that are the least sure; PointRend's beta."""


def class_map_losses(
    logits: Float[Tensor, "b k+1 gh gw"],
    counts: Float[Tensor, "b k+1 gh gw"],
    *,
    mask_loss: str,
    num_cells: int | None,
) -> Losses:
    """Return the losses of the maps, each a mean over pictures, named "class_map...".

    cross_entropy and focal are means over the counted pixels. dice and boundary are means over the
    classes of objects that the picture shows, 0 where it shows none; lovasz, with the error
    1 - p of the softmax (Lovasz-Softmax, Berman et al. 2018, section 2.2), also over background.

    Args:
        logits: Of the map.
        counts: Pixels of each cell by class, see `class_counts`.
        mask_loss: See `parse_mask_loss`.
        num_cells: Learn from at most so many cells of a picture: three in four are those whose
            two best classes are nearest to each other, the others any. All cells where None.
    """
    terms = parse_mask_loss(mask_loss)
    names = mask_loss_names(mask_loss)

    def distances() -> Tensor:
        truth = _truth(counts)
        return torch.stack([signed_distances(each) for each in truth.unbind()])

    chosen: Int64[Tensor, "b q"] | None = None
    if num_cells is not None and num_cells < logits[0, 0].numel():
        chosen = _least_sure(logits.detach().flatten(2), num_cells)
        logits, here = _at(logits, chosen), _at(counts, chosen)
    else:
        here = counts
    return {
        name.replace("mask", "class_map"): term.weight
        * _mean_over_pictures(
            term, logits, here, lambda: distances() if chosen is None else _at(distances(), chosen)
        )
        for name, term in zip(names, terms, strict=True)
    }


def class_map_loss(
    logits: Float[Tensor, "b k+1 gh gw"], counts: Float[Tensor, "b k+1 gh gw"]
) -> Float[Tensor, ""]:
    """Return the cross-entropy per counted pixel of each picture, mean over pictures.

    Each pixel is judged by the logits of its cell, so the best a cell can do is to say which part
    of it each class covers; that keeps outlines between cells where they are. A picture of which
    nothing is counted has a loss of zero.
    """
    entropy = -(counts * F.log_softmax(logits.float(), dim=1)).sum(dim=(1, 2, 3))
    return (entropy / counts.sum(dim=(1, 2, 3)).clamp(min=1)).mean()


def _mean_over_pictures(
    term: MaskTerm, logits: Tensor, counts: Tensor, distances: Callable[[], Tensor]
) -> Float[Tensor, ""]:
    """Return one term."""
    if term.name == "cross_entropy":
        return class_map_loss(logits, counts)
    if term.name == "focal":
        return _focal_loss(logits, counts)
    probs = logits.float().softmax(dim=1)
    known = counts.sum(dim=1, keepdim=True)
    truth = _truth(counts).flatten(2)  # (b, k + 1, q)
    present = truth.any(dim=2)  # (b, k + 1)
    # cells of which nothing is counted are right whatever they say
    probs = torch.where(known > 0, probs, 0.0).flatten(2)
    if term.name == "lovasz":
        picture, channel = torch.where(present)
        inside = truth[picture, channel]
        errors = (inside.to(probs) - probs[picture, channel]).abs()
        return _mean_over_classes(lovasz_loss(errors, inside), picture, len(probs))
    picture, channel = torch.where(present[:, 1:])
    drawn = probs[:, 1:][picture, channel]
    if term.name == "dice":
        covered = (counts / known.clamp(min=1)).flatten(2)[:, 1:][picture, channel]
        return _mean_over_classes(dice_loss(drawn, covered), picture, len(probs))
    away = distances().flatten(2)[:, 1:][picture, channel]
    inside = truth[:, 1:][picture, channel]
    return _mean_over_classes(boundary_loss(drawn, inside, away), picture, len(probs))


def _focal_loss(logits: Tensor, counts: Tensor) -> Float[Tensor, ""]:
    """Cross-entropy in which classes that are right already count little (Lin et al. 2017)."""
    log_probs = F.log_softmax(logits.float(), dim=1)
    weights = (1.0 - log_probs.exp()).clamp(min=0) ** _GAMMA
    loss = -(counts * weights * log_probs).sum(dim=(1, 2, 3))
    return (loss / counts.sum(dim=(1, 2, 3)).clamp(min=1)).mean()


def _mean_over_classes(
    losses: Float[Tensor, " m"], picture: Int64[Tensor, " m"], num_pictures: int
) -> Float[Tensor, ""]:
    """Mean over each picture's classes, then over pictures; 0 for one without classes."""
    counts = torch.bincount(picture, minlength=num_pictures)
    return (losses / counts[picture]).sum() / num_pictures


def _truth(counts: Float[Tensor, "b k+1 gh gw"]) -> Tensor:
    """Return (b, k + 1, gh, gw) bool: the class of most pixels of a cell, none of unknown ones."""
    channels = torch.arange(counts.shape[1], device=counts.device)[:, None, None]
    return (counts.argmax(dim=1, keepdim=True) == channels) & (counts.sum(dim=1, keepdim=True) > 0)


@torch.no_grad()
def _least_sure(logits: Float[Tensor, "b k+1 _"], num_cells: int) -> Int64[Tensor, "b q"]:
    """Return the cells whose two best classes are nearest, and some of the others."""
    best = logits.topk(2, dim=1).values  # (b, 2, cells)
    margin = best[:, 0] - best[:, 1]
    num_sure = int(_IMPORTANCE * num_cells)
    nearest = margin.topk(num_sure, dim=1, largest=False).indices
    # one draw for all pictures: a batch learns where its pictures would alone
    order = torch.rand(margin.shape[1], device=margin.device).expand_as(margin)
    order = order.scatter(1, nearest, 2.0)  # those that are chosen already come last
    others = order.topk(num_cells - num_sure, dim=1, largest=False).indices
    return torch.cat((nearest, others), dim=1)


def _at(maps: Float[Tensor, "b c gh gw"], cells: Int64[Tensor, "b q"]) -> Float[Tensor, "b c 1 q"]:
    """Return the maps at the chosen cells, as maps of one row."""
    index = cells[:, None].expand(-1, maps.shape[1], -1)
    return maps.flatten(2).gather(2, index)[:, :, None]
