"""What happens to the truth under something that is put over a picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from maskwright.masks import Masks
from maskwright.structures import Instances

__all__ = ["cover_instances", "join_instances"]


def cover_instances(
    targets: Instances,
    cover: Masks,
    *,
    amodal: bool = False,
    keep_hidden: bool = False,
    ignore_below: float = 0.0,
) -> Instances:
    """Return the objects that are left under a cover.

    What is covered is removed from the masks and boxes follow. Objects of which nothing is left
    to be seen drop, since nobody could find them.

    Args:
        targets: Objects with masks.
        cover: What lies over them: one mask of the same picture.
        amodal: Masks stay whole, as far as the objects are beside the cover at all.
        keep_hidden: With `amodal`, objects that are wholly covered stay too.
        ignore_below: Objects become crowds where less than this share of the mask can be seen.
    """
    masks = targets.masks
    if masks is None:
        raise ValueError("objects must have masks to be covered, got boxes alone")
    if not len(cover.runs) or not len(masks):
        return targets
    visible = masks.difference(cover)
    if ignore_below > 0:
        is_sliver = torch.from_numpy(visible.area < ignore_below * masks.area)
        is_crowd = is_sliver if targets.is_crowd is None else targets.is_crowd | is_sliver
        targets = replace(targets, is_crowd=is_crowd)
    if amodal:
        kept = np.flatnonzero((visible.area > 0) | keep_hidden)
        return targets if len(kept) == len(masks) else targets[kept]
    kept = np.flatnonzero(visible.area > 0)
    visible = visible[kept]
    return replace(targets[kept], masks=visible, boxes=torch.from_numpy(visible.boxes))


def join_instances(parts: list[Instances]) -> Instances:
    """Return the objects of several true sets of one picture, in order; at least one set."""
    if len(parts) == 1:
        return parts[0]
    crowds = [
        torch.zeros(len(part), dtype=torch.bool) if part.is_crowd is None else part.is_crowd
        for part in parts
    ]
    return replace(
        parts[0],
        boxes=torch.cat([part.boxes for part in parts]),
        labels=torch.cat([part.labels for part in parts]),
        masks=Masks.concatenate([part.masks for part in parts if part.masks is not None]),
        is_crowd=torch.cat(crowds),
    )
