"""From scored boxes to detections: threshold, duplicates, the best few.

Shapes: n boxes, k classes.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torchvision.ops import batched_nms

from maskwright.ops.boxes import are_larger, clip_boxes
from maskwright.structures import Instances, Size

__all__ = ["select_detections"]

_MIN_SIDE = 1e-2
"""Boxes narrower than this, in pixels, hold nothing (torchvision's value)."""


def select_detections(
    boxes: Float[Tensor, "n k 4"],
    scores: Float[Tensor, "n k"],
    image_size: Size,
    *,
    score_threshold: float,
    nms_threshold: float,
    max_detections: int,
) -> Instances:
    """Return the best boxes of one picture, without duplicates, the highest score first.

    Non-maximum suppression works within each class. Equal scores keep the order of box, then class.

    Args:
        boxes: One per class, or (n, 1, 4) where all classes share it; cut at the picture's border.
        scores: In [0, 1].
        image_size: Of the picture inside the batch.
        score_threshold: Detections score above it.
        nms_threshold: IoU above which the lower score is a duplicate.
        max_detections: At most so many are returned.

    >>> boxes = torch.tensor([[[0.0, 0, 9, 9]], [[0.0, 0, 9, 8]], [[0.0, 0, 2, 2]]])
    >>> scores = torch.tensor([[0.9], [0.8], [0.7]])
    >>> select_detections(boxes, scores, (20, 20), score_threshold=0.5, nms_threshold=0.5,
    ...                   max_detections=10).scores
    tensor([0.9000, 0.7000])
    """
    index, labels = torch.where(scores > score_threshold)
    kept_boxes = clip_boxes(boxes.expand(-1, scores.shape[1], -1)[index, labels], image_size)
    kept_scores = scores[index, labels]
    real = are_larger(kept_boxes, _MIN_SIDE)
    kept_boxes, kept_scores, labels = kept_boxes[real], kept_scores[real], labels[real]
    best = batched_nms(kept_boxes, kept_scores, labels, nms_threshold)[:max_detections]
    return Instances(
        image_size=image_size,
        boxes=kept_boxes[best],
        labels=labels[best],
        scores=kept_scores[best],
    )
