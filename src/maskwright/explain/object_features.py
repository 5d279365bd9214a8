"""What a network sees in each object, as one vector: to find objects that look alike to it."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from maskwright.model import InstanceSegmenter
from maskwright.model.picture_batches import evaluating
from maskwright.ops import pool_rois, scale_boxes
from maskwright.structures import PIXELS, Instances

__all__ = ["object_features"]

_CELLS = 7
_COARSEST = 32
"""Coarser levels see more of the surroundings than of most objects."""
_LEAST_WEIGHT = 1e-3
"""Of the cells beside a mask, so that one too thin for any cell still has features."""


@torch.no_grad()
def object_features(
    model: InstanceSegmenter, image: UInt8[np.ndarray, "h w 3"], objects: Instances
) -> Float32[np.ndarray, "n d"]:
    """Return a vector of length 1 for each object, true or found.

    The maps that detector and mask head read (after the neck, up to stride 32) are pooled in each
    box by RoIAlign, their cells are averaged by how much of each the mask covers, and each level
    is brought to length 1, so that fine and coarse ones count alike. d is the sum of their
    channels. An object's vector does not depend on the other objects. No objects give (0, d).

    Args:
        model: The network.
        image: The picture, RGB.
        objects: In its frame; without masks the whole box counts.
    """
    batch = model.collate([image])
    with evaluating(model):
        features = model.features(batch)
    boxes = scale_boxes(objects.boxes.cpu(), batch.original_sizes[0], batch.image_sizes[0])
    boxes = boxes.to(batch.images.device)
    weights = _weights(objects).to(boxes.device)  # (n, s, s)
    levels: list[Tensor] = []
    for stride in sorted(set(features) - {PIXELS}):
        if stride > _COARSEST and levels:
            break
        pooled = pool_rois(
            {stride: features[stride]}, [boxes], size=_CELLS, method="align_half_pixel"
        )  # (n, c, s, s)
        mean = torch.einsum("ncij,nij->nc", pooled, weights)
        levels.append(torch.nn.functional.normalize(mean, dim=1))
    together = torch.nn.functional.normalize(torch.cat(levels, dim=1), dim=1)
    found: np.ndarray = together.cpu().numpy()
    return found


def _weights(objects: Instances) -> Float[Tensor, "n s s"]:
    """Return the weight of each cell of each box; they sum to 1."""
    count = len(objects)
    if objects.masks is None:
        weights = torch.ones((count, _CELLS, _CELLS))
    else:
        covered = objects.masks.crop_resize(objects.boxes.cpu().numpy(), np.arange(count), _CELLS)
        weights = torch.from_numpy(covered) + _LEAST_WEIGHT
    return weights / weights.sum(dim=(1, 2), keepdim=True)
