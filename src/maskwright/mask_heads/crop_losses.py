"""What mask heads that draw box by box learn with: losses of crops, or of points in them.

Shapes: n RoIs of all pictures, s cells of a crop per side, p points of a RoI, q = s * s or p.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from maskwright.mask_heads.mask_targets import crop_targets, point_targets
from maskwright.ops import (
    MaskTerm,
    boundary_loss,
    dice_loss,
    lovasz_hinge_loss,
    mask_loss_names,
    mean_over_pictures,
    parse_mask_loss,
    sample_crops,
    sigmoid_focal_loss,
    signed_distances,
    uncertain_points,
    zero_with_gradient,
)
from maskwright.structures import Instances, Losses, Rois

__all__ = ["crop_mask_losses", "no_mask_losses", "point_mask_losses"]


def no_mask_losses(head: nn.Module, mask_loss: str) -> Losses:
    """Return zeros with gradients, for a batch without RoIs."""
    return {name: zero_with_gradient(head) for name in mask_loss_names(mask_loss)}


def crop_mask_losses(
    logits: Float[Tensor, "n s s"],
    rois: Sequence[Rois],
    targets: Sequence[Instances],
    *,
    mask_loss: str,
    shift: float,
) -> Losses:
    """Return the losses of the crops of each picture's RoIs, a mean over pictures each.

    Args:
        logits: Of each cell, picture after picture.
        rois: One or more of all pictures together.
        targets: The true objects of each picture, with masks.
        mask_loss: See `parse_mask_loss`.
        shift: Of the targets, see `crop_targets`.
    """
    truth = _crops_of_truth(rois, targets, logits.shape[-1], shift)
    return _losses(logits, truth, lambda: signed_distances(truth > 0.5), rois, mask_loss)


def point_mask_losses(
    logits_at: Callable[[Float[Tensor, "n p 2"]], Float[Tensor, "n p"]],
    rois: Sequence[Rois],
    targets: Sequence[Instances],
    *,
    mask_loss: str,
    num_points: int,
    size: int,
    shift: float,
) -> Losses:
    """Return the losses at the points of each RoI where its mask is least sure.

    The truth of a point is that of its pixel, so outlines are as sharp as the picture, and no map
    of the picture is made per RoI.

    Args:
        logits_at: Returns the mask logits at points (x, y) in [0, 1) of each RoI's box.
        rois: One or more of all pictures together.
        targets: The true objects of each picture, with masks.
        mask_loss: See `parse_mask_loss`.
        num_points: p.
        size: Cells per side of the crops that distances to outlines are measured on.
        shift: Of the targets, see `crop_targets`.
    """
    counts = [len(each) for each in rois]
    points = uncertain_points(
        logits_at, sum(counts), num_points, device=rois[0].boxes.device
    )  # (n, p, 2)
    truth = torch.cat(
        [
            point_targets(target, roi, place, shift=shift)
            for target, roi, place in zip(targets, rois, torch.split(points, counts), strict=True)
        ]
    )

    def distances() -> Tensor:
        crops = _crops_of_truth(rois, targets, size, shift)
        return sample_crops(signed_distances(crops > 0.5), points)[:, None]

    logits = logits_at(points)
    return _losses(logits[:, None], truth[:, None], distances, rois, mask_loss)


def _crops_of_truth(
    rois: Sequence[Rois], targets: Sequence[Instances], size: int, shift: float
) -> Float[Tensor, "n s s"]:
    return torch.cat(
        [
            crop_targets(target, roi, size, shift=shift)
            for roi, target in zip(rois, targets, strict=True)
        ]
    )


def _losses(
    logits: Float[Tensor, "n _ _"],
    truth: Float[Tensor, "n _ _"],
    distances: Callable[[], Float[Tensor, "n _ _"]],
    rois: Sequence[Rois],
    mask_loss: str,
) -> Losses:
    counts = [len(each) for each in rois]
    terms = parse_mask_loss(mask_loss)
    return {
        name: term.weight
        * mean_over_pictures(_per_roi(term, logits, truth.to(logits), distances), counts)
        for name, term in zip(mask_loss_names(mask_loss), terms, strict=True)
    }


def _per_roi(
    term: MaskTerm, logits: Tensor, truth: Tensor, distances: Callable[[], Tensor]
) -> Float[Tensor, " n"]:
    """Return one term of each RoI."""
    if term.name == "cross_entropy":
        entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
        return entropy.mean(dim=(1, 2))
    if term.name == "focal":
        return sigmoid_focal_loss(logits, truth, alpha=None).mean(dim=(1, 2))
    flat, wanted = logits.flatten(1), truth.flatten(1)  # (n, q)
    if term.name == "dice":
        return dice_loss(flat.sigmoid(), wanted)
    if term.name == "lovasz":
        return lovasz_hinge_loss(flat, wanted > 0.5)
    return boundary_loss(flat.sigmoid(), wanted > 0.5, distances().flatten(1))
