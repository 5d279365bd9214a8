"""Boxes: areas, overlaps, clipping, and the code of a box relative to another.

Shapes: n, m boxes; any leading dimensions where `...` stands.
Boxes are xyxy float pixels, x2 and y2 exclusive. Empty in, empty out.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from maskwright.structures import Size

__all__ = [
    "are_larger",
    "box_areas",
    "clip_boxes",
    "decode_boxes",
    "encode_boxes",
    "pairwise_coverage",
    "pairwise_iou",
    "scale_boxes",
]

_MAX_LOG_SCALE = math.log(1000.0 / 16)
"""Largest decoded log scale: from a 16 px anchor to a 1000 px box (Fast R-CNN's code)."""


def box_areas(boxes: Float[Tensor, "*k n 4"]) -> Float[Tensor, "*k n"]:
    """Return the areas in square pixels.

    >>> box_areas(torch.tensor([[0.0, 0.0, 4.0, 3.0]]))
    tensor([12.])
    """
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def pairwise_iou(boxes: Float[Tensor, "n 4"], others: Float[Tensor, "m 4"]) -> Float[Tensor, "n m"]:
    """Return intersection over union of every pair; NaN for two boxes without area.

    >>> box = torch.tensor([[0.0, 0.0, 2.0, 2.0]])
    >>> pairwise_iou(box, torch.tensor([[1.0, 0.0, 3.0, 2.0], [5.0, 5.0, 6.0, 6.0]]))
    tensor([[0.3333, 0.0000]])
    """
    shared = _pairwise_intersection(boxes, others)
    return shared / (box_areas(boxes)[:, None] + box_areas(others)[None, :] - shared)


def pairwise_coverage(
    boxes: Float[Tensor, "n 4"], regions: Float[Tensor, "m 4"]
) -> Float[Tensor, "n m"]:
    """Return the part of each box that lies in each region: intersection over the box's area.

    >>> box = torch.tensor([[0.0, 0.0, 2.0, 2.0]])
    >>> pairwise_coverage(box, torch.tensor([[1.0, 0.0, 30.0, 20.0]]))
    tensor([[0.5000]])
    """
    return _pairwise_intersection(boxes, regions) / box_areas(boxes)[:, None]


def clip_boxes(boxes: Float[Tensor, "*k 4"], image_size: Size) -> Float[Tensor, "*k 4"]:
    """Return the boxes cut at the borders of a picture of `image_size`.

    >>> clip_boxes(torch.tensor([[-1.0, 2.0, 9.0, 9.0]]), (5, 8))
    tensor([[0., 2., 8., 5.]])
    """
    height, width = image_size
    x1, y1, x2, y2 = boxes.unbind(-1)
    return torch.stack(
        (x1.clamp(0, width), y1.clamp(0, height), x2.clamp(0, width), y2.clamp(0, height)), dim=-1
    )


def are_larger(boxes: Float[Tensor, "*k n 4"], side: float) -> Bool[Tensor, "*k n"]:
    """Return True for boxes at least `side` pixels wide and high.

    >>> are_larger(torch.tensor([[0.0, 0.0, 4.0, 3.0], [0.0, 0.0, 4.0, 0.0]]), 1.0)
    tensor([ True, False])
    """
    return (boxes[..., 2] - boxes[..., 0] >= side) & (boxes[..., 3] - boxes[..., 1] >= side)


def scale_boxes(boxes: Float[Tensor, "n 4"], old: Size, new: Size) -> Float[Tensor, "n 4"]:
    """Return the boxes of a picture of size `old` in the frame of its copy of size `new`.

    >>> scale_boxes(torch.tensor([[1.0, 1.0, 2.0, 3.0]]), (10, 10), (20, 30))
    tensor([[3., 2., 6., 6.]])
    """
    # divided in float32, as torchvision does, so that equal boxes paste equal masks
    ratios = torch.tensor([new[1], new[0]], dtype=torch.float32) / torch.tensor(
        [old[1], old[0]], dtype=torch.float32
    )
    return boxes * ratios.repeat(2).to(boxes)


def encode_boxes(
    boxes: Float[Tensor, "*k 4"],
    anchors: Float[Tensor, "*k 4"],
    weights: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0),
) -> Float[Tensor, "*k 4"]:
    """Return the deltas (dx, dy, dw, dh) that lead from the anchors to the boxes.

    R-CNN (Girshick et al. 2014), appendix C, equations 6 to 9: shifts of the centre in widths
    and heights of the anchor, logarithms of the scales; each times its weight.
    `encode_boxes(decode_boxes(deltas, anchors), anchors) == deltas` while deltas are not clamped.

    Args:
        boxes: With a positive width and height.
        anchors: With a positive width and height; broadcast against the boxes.
        weights: Factors of dx, dy, dw, dh, which bring their spread near one.

    >>> anchor = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
    >>> encode_boxes(torch.tensor([[5.0, 0.0, 15.0, 10.0]]), anchor)
    tensor([[0.5000, 0.0000, 0.0000, 0.0000]])
    """
    centre, size = _centre_and_size(boxes)
    anchor_centre, anchor_size = _centre_and_size(anchors)
    factors = boxes.new_tensor(weights)
    shift = factors[:2] * (centre - anchor_centre) / anchor_size
    scale = factors[2:] * torch.log(size / anchor_size)
    return torch.cat((shift, scale), dim=-1)


def decode_boxes(
    deltas: Float[Tensor, "*k 4"],
    anchors: Float[Tensor, "*k 4"],
    weights: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0),
) -> Float[Tensor, "*k 4"]:
    """Return the boxes to which the deltas lead from the anchors.

    The inverse of `encode_boxes`; log scales above log(1000 / 16) are clamped so that an untrained
    network does not overflow. Anchors are broadcast against the deltas.

    >>> decode_boxes(torch.tensor([[0.5, 0.0, 0.0, 0.0]]), torch.tensor([[0.0, 0.0, 10.0, 10.0]]))
    tensor([[ 5.,  0., 15., 10.]])
    """
    anchor_centre, anchor_size = _centre_and_size(anchors.to(deltas.dtype))
    deltas = deltas / deltas.new_tensor(weights)
    centre = deltas[..., :2] * anchor_size + anchor_centre
    half = 0.5 * (torch.exp(deltas[..., 2:].clamp(max=_MAX_LOG_SCALE)) * anchor_size)
    return torch.cat((centre - half, centre + half), dim=-1)


def _centre_and_size(boxes: Tensor) -> tuple[Tensor, Tensor]:
    size = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + 0.5 * size, size


def _pairwise_intersection(boxes: Tensor, others: Tensor) -> Tensor:
    # Column by column: up to twice as fast as on (n, m, 2), whose last dimension is no vector.
    x1, y1, x2, y2 = boxes[:, :, None].unbind(1)  # each (n, 1)
    u1, v1, u2, v2 = others.unbind(1)  # each (m,)
    width = (torch.minimum(x2, u2) - torch.maximum(x1, u1)).clamp(min=0)  # (n, m)
    height = (torch.minimum(y2, v2) - torch.maximum(y1, v1)).clamp(min=0)
    return width * height
