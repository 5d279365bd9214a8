"""RoI pooling: features of one size for boxes of every size, from the level that fits each.

Shapes: b pictures, c channels, n boxes of all pictures together, s pooled cells per side.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torchvision.ops import roi_align, roi_pool

from maskwright.errors import ConfigError
from maskwright.ops.boxes import box_areas
from maskwright.ops.roi_bags import can_pool_by_bags, roi_align_by_bags
from maskwright.structures import Features

__all__ = ["PoolMethod", "assign_levels", "pool_rois", "pooled_levels"]

PoolMethod = Literal["align", "align_half_pixel", "max"]
"""RoIAlign as torchvision's weights expect it (coordinates are those of cell centres), RoIAlign
with cell i covering [i, i + 1) (Detectron2's correction), or Fast R-CNN's quantised max pooling."""

_CANONICAL_SIZE = 224.0
_CANONICAL_LEVEL = 4
"""FPN (Lin et al. 2017), equation 1: a box of 224 px, ImageNet's size, belongs to level 4."""


def assign_levels(boxes: Float[Tensor, "n 4"], strides: Sequence[int]) -> Int64[Tensor, " n"]:
    """Return for each box the index in `strides` of the level to pool it from.

    FPN (Lin et al. 2017), equation 1: level floor(4 + log2(sqrt(area) / 224)), where level k has
    stride 2^k; the nearest of the given levels beyond their ends.

    Args:
        boxes: In pixels of the batch.
        strides: Powers of two, rising.

    >>> assign_levels(torch.tensor([[0.0, 0.0, 20.0, 20.0], [0.0, 0.0, 250.0, 250.0]]), [4, 8, 16])
    tensor([0, 2])
    """
    size = box_areas(boxes).clamp(min=0).sqrt()
    # 1e-6 keeps a box of exactly 224 px on its level in spite of rounding (torchvision's value)
    level = torch.floor(_CANONICAL_LEVEL + torch.log2(size / _CANONICAL_SIZE) + 1e-6)
    available = torch.tensor([round(math.log2(stride)) for stride in strides], device=boxes.device)
    return ((level[:, None] >= available).sum(dim=1) - 1).clamp(min=0)


def pool_rois(
    features: Features,
    boxes: Sequence[Float[Tensor, "_ 4"]],
    *,
    size: int,
    sampling_ratio: int = 2,
    method: PoolMethod = "align",
) -> Float[Tensor, "n c s s"]:
    """Return the pooled features of the boxes of all pictures, picture after picture.

    RoIAlign: Mask R-CNN (He et al. 2017), section 3; by `roi_bags` where the features are stored
    with their channels last on the processor. RoI max pooling: Fast R-CNN, section 2.1.

    Args:
        features: Levels of equal channels to pool from.
        boxes: Of each picture, in pixels of the batch.
        size: Cells per side of the result.
        sampling_ratio: Sampled points per side of a cell; unused by max pooling.
        method: See `PoolMethod`.

    >>> pool_rois({4: torch.ones(1, 2, 8, 8)}, [torch.zeros(0, 4)], size=7).shape
    torch.Size([0, 2, 7, 7])
    """
    strides = sorted(features)
    pictures = torch.repeat_interleave(
        torch.arange(len(boxes)), torch.tensor([len(each) for each in boxes])
    )
    together = torch.cat(list(boxes))
    rois = torch.cat((pictures[:, None].to(together), together), dim=1)  # (n, 5)
    if len(strides) == 1:
        return _pool(features[strides[0]], rois, strides[0], size, sampling_ratio, method)
    levels = assign_levels(together, strides)
    members = [torch.where(levels == level)[0] for level in range(len(strides))]
    pooled = torch.cat(
        [
            _pool(features[stride], rois[chosen], stride, size, sampling_ratio, method)
            for stride, chosen in zip(strides, members, strict=True)
        ]
    )
    return pooled[torch.cat(members).argsort()]


def pooled_levels(channels: Mapping[int, int], strides: Sequence[int]) -> list[int]:
    """Return which of `strides` the features have, checked to be of one width.

    Raises:
        ConfigError: None of them, or levels of different widths.

    >>> pooled_levels({4: 64, 8: 64, 64: 64}, (4, 8, 16, 32))
    [4, 8]
    """
    found = sorted(set(strides) & set(channels))
    if not found:
        raise ConfigError(
            f"no level to pool from: asked for strides {sorted(strides)}, "
            f"the features have {sorted(channels)}"
        )
    if len({channels[stride] for stride in found}) != 1:
        raise ConfigError(
            "boxes are pooled from several levels, so their channels must be equal, got "
            f"{ {stride: channels[stride] for stride in found} } (stride: channels): "
            "add a neck, or name one level in strides"
        )
    return found


def _pool(
    feature: Tensor, rois: Tensor, stride: int, size: int, sampling_ratio: int, method: PoolMethod
) -> Tensor:
    pooled: Tensor
    # never below single precision: in bfloat16, 300 px and 301 px are the same coordinate
    precision = torch.promote_types(feature.dtype, torch.float32)
    feature, rois = feature.to(precision), rois.to(precision)
    if method == "max":
        pooled = roi_pool(feature, rois, size, 1.0 / stride)
    else:
        half_pixel = method == "align_half_pixel"
        align = roi_align_by_bags if can_pool_by_bags(feature) else roi_align
        pooled = align(feature, rois, size, 1.0 / stride, sampling_ratio, aligned=half_pixel)
    return pooled
