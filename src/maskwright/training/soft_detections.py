"""Soft detections: what a teacher says of each place, as a target where the student says the same.

Two detectors of one kind with the same default boxes, cells or anchors answer the same questions,
and so do two class maps of the same stride. Their answers are compared as Hinton et al. 2015
(https://arxiv.org/abs/1503.02531, section 2) do it: the divergence of the student's probabilities
from the teacher's at a temperature T, times T^2. Boxes follow Chen et al. 2017, "Learning Efficient
Object Detection Models with Knowledge Distillation" (SSD, RPN: smooth L1), and Zheng et al. 2022,
"Localization Distillation", https://arxiv.org/abs/2102.12252 (YOLO: divergence of distances).

Deviation: nearly all places are background to both, and would drown the others. Each place weighs
as much as the surer of the two believes in an object there (for boxes the teacher alone), where
Chen et al. have a fixed weight for background; losses are divided by the sum of the weights.

Shapes: b pictures, n places, k classes, m bins of a distance, (gh, gw) cells of a class map.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from maskwright.detectors import SSD, YOLO, Detector, FasterRCNN
from maskwright.mask_heads import ClassMapHead
from maskwright.model import InstanceSegmenter, Model, SemanticSegmenter
from maskwright.structures import Dense, Losses

__all__ = ["Part", "common_parts", "soft_detection_losses"]

Part = Literal["detections", "map"]
"""What two models may say alike: objects at every place, or the class of every cell."""

_LEAST = 1.0
"""Places that losses are divided by at least: pictures of nothing teach little."""


def common_parts(model: Model, teacher: Model) -> tuple[Part, ...]:
    """Return what both models answer for the same places and classes."""
    parts: list[Part] = []
    if model.class_names != teacher.class_names:
        return ()  # the same classes with other labels
    if isinstance(model, InstanceSegmenter) and isinstance(teacher, InstanceSegmenter):
        places = _places(model.detector)
        if places is not None and places == _places(teacher.detector):
            parts.append("detections")
    own, other = _class_map(model), _class_map(teacher)
    if own is not None and other is not None and own.map_stride == other.map_stride:
        parts.append("map")
    return tuple(parts)


def soft_detection_losses(
    parts: tuple[Part, ...], model: Model, own: Dense, wanted: Dense, temperature: float
) -> Losses:
    """Return `distilled_classes`, `distilled_boxes` and `distilled_map`, as far as both have them.

    Args:
        parts: Of `common_parts`.
        model: The student.
        own: What its `dense` returned, with gradients.
        wanted: What the teacher's returned on the same pictures.
        temperature: See the head of this file.
    """
    losses: Losses = {}
    if "detections" in parts:
        assert isinstance(model, InstanceSegmenter)
        classes, boxes = _COMPARED[type(model.detector)](own, wanted, temperature)
        losses |= {"distilled_classes": classes, "distilled_boxes": boxes}
    if "map" in parts:
        pair = own["class_logits"].movedim(1, -1), wanted["class_logits"].movedim(1, -1)
        losses["distilled_map"] = _divergence(*pair, temperature).mean()
    return losses


def _places(detector: Detector) -> object:
    """Return what decides the places of a detector's answers; None where it is not comparable."""
    match detector:
        case SSD(config=config):
            boxes = config.sizes, config.growth, config.aspect_ratios, config.max_side
            return "ssd", detector.strides, boxes, config.steps, config.delta_weights
        case YOLO(config=config):
            return "yolo", tuple(detector.strides), config.largest_distance
        case FasterRCNN(config=config):
            rpn = config.rpn
            return "rpn", tuple(detector.rpn.strides), rpn.anchor_sizes, rpn.aspect_ratios
    return None


def _class_map(model: Model) -> ClassMapHead | None:
    head = model.head if isinstance(model, SemanticSegmenter) else model.mask_head
    return head if isinstance(head, ClassMapHead) else None


def _compare_ssd(own: Dense, wanted: Dense, temperature: float) -> tuple[Tensor, Tensor]:
    believed = 1 - wanted["logits"].softmax(dim=-1)[..., 0]  # (b, n)
    either = torch.maximum(believed, 1 - own["logits"].detach().softmax(dim=-1)[..., 0])
    classes = _divergence(own["logits"], wanted["logits"], temperature)
    boxes = F.smooth_l1_loss(own["deltas"], wanted["deltas"], reduction="none").sum(dim=-1)
    return _weighted(classes, either), _weighted(boxes, believed)


def _compare_yolo(own: Dense, wanted: Dense, temperature: float) -> tuple[Tensor, Tensor]:
    believed = wanted["logits"].sigmoid()  # (b, n, k)
    either = torch.maximum(believed, own["logits"].detach().sigmoid())
    classes = _binary_divergence(own["logits"], wanted["logits"], temperature)
    distances = _divergence(own["distances"], wanted["distances"], temperature)  # (b, n, 4)
    boxes = _weighted(distances.mean(dim=-1), believed.amax(dim=-1))
    return _weighted(classes, either), boxes


def _compare_rpn(own: Dense, wanted: Dense, temperature: float) -> tuple[Tensor, Tensor]:
    strides = [name.removeprefix("objectness_") for name in own if name.startswith("objectness_")]

    def joined(dense: Dense, name: str) -> Tensor:
        return torch.cat([dense[f"{name}_{stride}"] for stride in strides], dim=1)

    logits, taught = joined(own, "objectness"), joined(wanted, "objectness")  # (b, n)
    believed = taught.sigmoid()
    either = torch.maximum(believed, logits.detach().sigmoid())
    classes = _binary_divergence(logits, taught, temperature)
    deltas = joined(own, "deltas"), joined(wanted, "deltas")
    boxes = F.smooth_l1_loss(*deltas, reduction="none").sum(dim=-1)
    return _weighted(classes, either), _weighted(boxes, believed)


_COMPARED: dict[type[Detector], Callable[[Dense, Dense, float], tuple[Tensor, Tensor]]] = {
    SSD: _compare_ssd,
    YOLO: _compare_yolo,
    FasterRCNN: _compare_rpn,
}


def _divergence(
    own: Float[Tensor, "*places k"], wanted: Float[Tensor, "*places k"], temperature: float
) -> Float[Tensor, "*places"]:
    """Return T^2 KL(teacher, student) of the softmax over the last axis."""
    student = (own.float() / temperature).log_softmax(dim=-1)
    teacher = (wanted.float() / temperature).log_softmax(dim=-1)
    return temperature**2 * (teacher.exp() * (teacher - student)).sum(dim=-1)


def _binary_divergence(
    own: Float[Tensor, "*places"], wanted: Float[Tensor, "*places"], temperature: float
) -> Float[Tensor, "*places"]:
    """Return T^2 KL(teacher, student) of sigmoids: of two logits, one of which is 0."""
    zero = torch.zeros_like(own)
    pairs = torch.stack((own, zero), dim=-1), torch.stack((wanted, zero), dim=-1)
    return _divergence(*pairs, temperature)


def _weighted(losses: Tensor, weights: Tensor) -> Float[Tensor, ""]:
    return (losses * weights).sum() / weights.sum().clamp(min=_LEAST)
