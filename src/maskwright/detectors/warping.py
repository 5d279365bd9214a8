"""Warping: the pixels of boxes, stretched to squares of one size with some context around.

R-CNN, Girshick et al. 2014, https://arxiv.org/abs/1311.2524, section 2.1 and appendix A.

Shapes: b pictures, r boxes of all pictures, s side of the crops.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torchvision.ops import roi_align

from maskwright.errors import ConfigError

__all__ = ["require_room_for_box", "warp_boxes"]


def warp_boxes(
    images: Float[Tensor, "b c H W"],
    boxes: Sequence[Float[Tensor, "_ 4"]],
    *,
    size: int,
    context: int = 0,
) -> Float[Tensor, "r c s s"]:
    """Return the crop of every box, picture after picture, whatever its aspect.

    The box fills the crop but for `context` pixels on each side, where its surroundings are seen.
    Pixels are averaged where a crop is smaller than its box and interpolated where it is larger;
    beyond the batch's border all is 0, which is the mean of normalised pictures.

    Args:
        images: Normalised pictures.
        boxes: Of each picture, in its pixels, with a positive width and height.
        size: Side of the crops in pixels.
        context: Pixels of each side of the crop that lie outside the box.

    Raises:
        ConfigError: The context leaves nothing for the box.

    >>> picture = torch.arange(16.0).reshape(1, 1, 4, 4)
    >>> warp_boxes(picture, [torch.tensor([[1.0, 1.0, 3.0, 3.0]])], size=2)
    tensor([[[[ 5.,  6.], [ 9., 10.]]]])
    """
    require_room_for_box(size, context)
    widened = [_widen(each, size / (size - 2 * context)) for each in boxes]
    crops: Tensor = roi_align(
        images, [each.to(images) for each in widened], size, sampling_ratio=-1, aligned=True
    )
    return crops


def require_room_for_box(size: int, context: int) -> None:
    """Raise ConfigError if a context on both sides leaves nothing of a crop of `size` pixels."""
    if size - 2 * context < 1:
        raise ConfigError(
            f"a context of {context} on both sides leaves nothing of a crop of {size} pixels: "
            f"at most {(size - 1) // 2} fit"
        )


def _widen(boxes: Float[Tensor, "n 4"], factor: float) -> Float[Tensor, "n 4"]:
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]) * (factor / 2)
    return torch.cat((centre - half, centre + half), dim=1)
