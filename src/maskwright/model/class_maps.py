"""From a head's class map to the class of every pixel of the original pictures.

Shapes: b pictures, k classes, (gh, gw) cells of a class map, (h, w) of an original picture.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int32
from torch import Tensor

from maskwright.structures import Batch, Size

__all__ = ["class_maps_of", "label_pixels"]


def class_maps_of(
    logits: Float[Tensor, "b k+1 gh gw"], batch: Batch
) -> list[Int32[np.ndarray, "_ _"]]:
    """Return per picture the class of each pixel of the original: 0 background, label + 1."""
    padded = (batch.images.shape[-2], batch.images.shape[-1])
    return [
        label_pixels(each, padded, size, original).cpu().numpy()
        for each, size, original in zip(
            logits.float(), batch.image_sizes, batch.original_sizes, strict=True
        )
    ]


def label_pixels(
    logits: Float[Tensor, "k+1 gh gw"], padded_size: Size, image_size: Size, original_size: Size
) -> Int32[Tensor, "h w"]:
    """Return the channel with the largest logit at each pixel of the original picture.

    Logits are enlarged bilinearly, to the padded batch and from there to the original. Channel by
    channel: all of them at the size of a 24-megapixel picture would take gigabytes. The first of
    equal channels wins.

    Args:
        logits: A class map of the padded picture.
        padded_size: Of the batch.
        image_size: Of the picture inside the batch.
        original_size: Of the picture before it was resized.

    >>> label_pixels(torch.tensor([[[0.0, 1.0]], [[1.0, 0.0]]]), (1, 2), (1, 2), (1, 4))
    tensor([[1, 1, 0, 0]], dtype=torch.int32)
    """
    labels = torch.zeros(original_size, dtype=torch.int32, device=logits.device)
    best: Tensor | None = None
    for channel, cells in enumerate(logits):
        scores = _enlarge(cells, padded_size)[: image_size[0], : image_size[1]]
        scores = _enlarge(scores, original_size)
        if best is None:
            best = scores
            continue
        labels.masked_fill_(scores > best, channel)
        best = torch.maximum(best, scores)
    return labels


def _enlarge(scores: Float[Tensor, "_ _"], size: Size) -> Float[Tensor, "_ _"]:
    if scores.shape == size:
        return scores
    return F.interpolate(scores[None, None], size, mode="bilinear", align_corners=False)[0, 0]
