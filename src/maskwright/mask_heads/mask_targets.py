"""What mask heads learn from: the true masks, cut to boxes.

Shapes: n RoIs of one picture, s cells per side.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from maskwright.structures import Instances, Rois

__all__ = ["crop_targets", "spread_rois"]


def crop_targets(
    targets: Instances, rois: Rois, size: int, *, shift: float = 0.0
) -> Float[Tensor, "n s s"]:
    """Return how much of each cell of each RoI its target covers, in [0, 1].

    Equal to RoIAlign of the dense masks (not half-pixel), without building them.

    Args:
        targets: The true objects of the picture, with masks.
        rois: Boxes of the picture and the targets they belong to.
        size: Cells per side.
        shift: Moves the boxes by so many pixels up and left; 0.5 puts the samples where cell
            [i, i + 1) has its centre.

    Raises:
        ValueError: The targets have no masks.
    """
    if targets.masks is None:
        raise ValueError("targets have no masks, and a mask head cannot learn without")
    boxes = rois.boxes.detach().float().cpu().numpy() - np.float32(shift)
    crops = targets.masks.crop_resize(boxes, rois.matched.cpu().numpy(), size)
    return torch.from_numpy(crops).to(rois.boxes.device)


def spread_rois(rois: Rois, limit: int | None) -> Rois:
    """Return at most `limit` RoIs, evenly spread over the given ones; all where None.

    Proposals come sorted by score with the true boxes last, so an even spread has some of each,
    and needs no randomness.
    """
    if limit is None or len(rois) <= limit:
        return rois
    chosen = torch.linspace(0, len(rois) - 1, limit, device=rois.boxes.device).round().long()
    return Rois(boxes=rois.boxes[chosen], labels=rois.labels[chosen], matched=rois.matched[chosen])
