"""How far found boxes are from true ones: the losses that detectors choose from by name.

Shapes: n boxes.
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from maskwright.ops.boxes import decode_boxes, encode_boxes
from maskwright.ops.paired_iou import ciou_loss, diou_loss, giou_loss

__all__ = ["BoxLoss", "IoULoss", "delta_loss", "iou_loss"]

IoULoss = Literal["giou", "diou", "ciou"]
"""1 - IoU with what draws boxes together that do not meet: generalized, distance or complete."""

BoxLoss = Literal["smooth_l1", "giou", "diou", "ciou"]
"""smooth_l1 compares the deltas that a detector predicts; the others the boxes they make."""

_IOU_LOSSES = {"giou": giou_loss, "diou": diou_loss, "ciou": ciou_loss}


def iou_loss(
    name: IoULoss, boxes: Float[Tensor, "n 4"], true_boxes: Float[Tensor, "n 4"]
) -> Float[Tensor, " n"]:
    """Return the loss of each box, 0 where it is its true box; giou and diou are at most 2.

    >>> import torch
    >>> box = torch.tensor([[0.0, 0.0, 2.0, 2.0]])
    >>> iou_loss("diou", box, box + 1)
    tensor([0.9683])
    """
    return _IOU_LOSSES[name](boxes, true_boxes)


def delta_loss(
    name: BoxLoss,
    deltas: Float[Tensor, "n 4"],
    anchors: Float[Tensor, "n 4"],
    true_boxes: Float[Tensor, "n 4"],
    *,
    weights: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0),
    beta: float = 1.0,
) -> Float[Tensor, " n"]:
    """Return the loss of deltas against what would move each anchor onto its true box.

    Args:
        name: Of the loss.
        deltas: As `decode_boxes` takes them.
        anchors: Boxes that the deltas move.
        true_boxes: One per anchor.
        weights: Factors of the deltas of x, y, width and height.
        beta: Where smooth L1 turns linear; it is summed over the four deltas.

    >>> import torch
    >>> anchor = torch.tensor([[0.0, 0.0, 4.0, 4.0]])
    >>> delta_loss("smooth_l1", torch.zeros(1, 4), anchor, anchor + 4)
    tensor([1.])
    >>> delta_loss("giou", torch.zeros(1, 4), anchor, anchor)
    tensor([0.])
    """
    if name == "smooth_l1":
        wanted = encode_boxes(true_boxes, anchors, weights)
        return F.smooth_l1_loss(deltas, wanted, beta=beta, reduction="none").sum(dim=1)
    return iou_loss(name, decode_boxes(deltas, anchors, weights), true_boxes)
