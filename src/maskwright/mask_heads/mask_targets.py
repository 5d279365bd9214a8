"""What mask heads learn from: the true masks, cut to boxes.

Shapes: n RoIs of one picture, s cells per side, p points.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from maskwright.structures import Instances, Rois

__all__ = ["crop_targets", "point_targets", "spread_rois"]


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


def point_targets(
    targets: Instances, rois: Rois, points: Float[Tensor, "n p 2"], *, shift: float = 0.0
) -> Float[Tensor, "n p"]:
    """Return whether the pixel under each point belongs to the RoI's target, 0 or 1.

    One object at a time is decoded, inside its own box.

    Args:
        targets: The true objects of the picture, with masks.
        rois: Boxes of the picture and the targets they belong to.
        points: (x, y) in [0, 1] of each box.
        shift: As for `crop_targets`: 0.5 where pixel i is [i, i + 1), 0 where i is its centre.

    Raises:
        ValueError: The targets have no masks.
    """
    if targets.masks is None:
        raise ValueError("targets have no masks, and a mask head cannot learn without")
    boxes = rois.boxes.detach().float()[:, None]
    places = boxes[..., :2] + points * (boxes[..., 2:] - boxes[..., :2])  # (n, p, 2)
    pixels = torch.floor(places + (0.5 - shift)).long().cpu().numpy()
    found = np.zeros(points.shape[:2], np.float32)
    owners = rois.matched.cpu().numpy()
    for owner in np.unique(owners):
        bitmap, (left, top) = targets.masks.bitmap(int(owner))
        of_owner = owners == owner
        x, y = pixels[of_owner, :, 0] - left, pixels[of_owner, :, 1] - top
        inside = (x >= 0) & (x < bitmap.shape[1]) & (y >= 0) & (y < bitmap.shape[0])
        seen = np.zeros(x.shape, np.float32)
        seen[inside] = bitmap[y[inside], x[inside]]
        found[of_owner] = seen
    return torch.from_numpy(found).to(rois.boxes.device)


def spread_rois(rois: Rois, limit: int | None) -> Rois:
    """Return at most `limit` RoIs, evenly spread over the given ones; all where None.

    Proposals come sorted by score with the true boxes last, so an even spread has some of each,
    and needs no randomness.
    """
    if limit is None or len(rois) <= limit:
        return rois
    chosen = torch.linspace(0, len(rois) - 1, limit, device=rois.boxes.device).round().long()
    return Rois(boxes=rois.boxes[chosen], labels=rois.labels[chosen], matched=rois.matched[chosen])
