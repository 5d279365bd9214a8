"""YOLO: one pass, and every cell of a grid says what object it sees and where its borders are.

You Only Look Once, Redmon et al. 2016, https://arxiv.org/abs/1506.02640, in its anchor-free form:
YOLOX, Ge et al. 2021, https://arxiv.org/abs/2107.08430 (section 2.1: decoupled heads on strides 8,
16 and 32); which cells learn an object is TOOD's (Feng et al. 2021, see task_alignment.py); borders
are distributions, and classes have soft targets, as in Generalized Focal Loss (Li et al. 2020, see
ops/generalized_focal.py). Deviations from YOLOX: no objectness, the class score is the quality of
the box (TOOD); all levels share one head behind a layer of their own (RetinaNet, TOOD), which
learns from fewer pictures; group normalisation in it (FCOS), whose result does not depend on the
batch; task-aligned instead of SimOTA assignment; GIoU instead of IoU.

Shapes: b pictures, n cells of all levels, k classes, m bins of a distance, c channels,
(h, w) of a level, p cells that learn an object.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from maskwright.backbones import Norm, norm_layer
from maskwright.detectors.detector import Detector
from maskwright.detectors.task_alignment import Alignment, align_cells
from maskwright.errors import ConfigError
from maskwright.ops import (
    IGNORED,
    Cells,
    Count,
    Fraction,
    Positive,
    PositiveCount,
    Setting,
    clip_boxes,
    decode_distances,
    distribution_focal_loss,
    encode_distances,
    expected_value,
    giou_loss,
    grid_cells,
    mean_over_pictures,
    paired_iou,
    quality_focal_loss,
    select_detections,
)
from maskwright.structures import Batch, Features, Instances, Losses, Rois

__all__ = ["YOLO"]

_PRIOR = 0.01
"""Score of every cell before training: RetinaNet (Lin et al. 2017), section 4.1."""

_FIRST_DISTANCE = 2.5
"""Mean distance in strides before training. Boxes are five cells wide at first, so that each level
overlaps objects of its own size best and the assignment starts well; an even distribution would
have them 16 cells wide."""

_SMALL = 16.0
"""Side in pixels below which an object has fewer than two cells of stride 8 to a side."""


class YOLO(Detector):
    """Predicts class scores and the distances to four borders at every cell of every level.

    Args:
        channels: Stride -> channels of the features; they may differ.
        num_classes: Classes of objects, without background.
        config: Levels, layers, assignment and the selection of detections.

    Raises:
        ConfigError: The features have none of the levels.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of `YOLO`.

        Args:
            strides: Levels to predict on; those that the features lack are left out.
            width: Channels of the head.
            num_convs: 3 x 3 convolutions of each of its two branches.
            norm: Normalisation of every convolution; None for a bias instead.
            largest_distance: From a cell's centre to a border, in strides; each whole distance
                has a bin, 0 too.
            cells_per_object: At most so many cells learn an object (TOOD's m).
            score_power: Weight of the score in the alignment (TOOD's alpha).
            iou_power: Weight of the overlap (TOOD's beta).
            box_weight: Factor of the loss `box` (GFL's lambda 0).
            distribution_weight: Factor of the loss `distribution` (GFL's lambda 1).
            roi_iou: From here on the box of a cell serves the mask head.
            rois_per_image: At most so many boxes of a picture do.
            score_threshold: Detections score above it.
            nms_threshold: IoU above which the lower score of a class is a duplicate.
            pre_nms: Cells of the highest scores that detections come from.
            detections_per_image: The best so many are kept.
        """

        kind: Literal["yolo"] = "yolo"
        strides: tuple[PositiveCount, ...] = (8, 16, 32)
        width: PositiveCount = 128
        num_convs: Count = 2
        norm: Norm | None = "group"
        largest_distance: PositiveCount = 16
        cells_per_object: PositiveCount = 13
        score_power: Positive = 1.0
        iou_power: Positive = 6.0
        box_weight: Positive = 2.0
        distribution_weight: Positive = 0.25
        roi_iou: Fraction = 0.5
        rois_per_image: PositiveCount = 128
        score_threshold: Fraction = 0.05
        nms_threshold: Fraction = 0.6
        pre_nms: PositiveCount = 1000
        detections_per_image: PositiveCount = 100

        @classmethod
        def for_setting(cls, setting: Setting) -> Self:
            """Return options that fit the data and the hardware.

            Small objects need a level of stride 4: of stride 8 they have a cell or none to
            themselves. It costs three times what the other levels cost together.
            """
            return cls(
                strides=(4, 8, 16, 32) if setting.small_object < _SMALL else (8, 16, 32),
                width=min(setting.width, 64) if setting.is_light else setting.width,
                pre_nms=max(1000, 5 * setting.room),
                detections_per_image=setting.room,
            )

        def build(self, channels: Mapping[int, int], num_classes: int) -> YOLO:
            """Return the detector for features of these channels by stride."""
            return YOLO(channels, num_classes, self)

    def __init__(self, channels: Mapping[int, int], num_classes: int, config: YOLO.Config) -> None:
        super().__init__()
        self.config = config
        self.strides = _levels(channels, config.strides)
        self.num_classes = num_classes
        width, bins = config.width, config.largest_distance + 1
        layer = partial(
            Conv2dNormActivation,
            norm_layer=None if config.norm is None else norm_layer(config.norm),
            activation_layer=nn.SiLU,
        )
        self.stems = nn.ModuleList(
            layer(channels[stride], width, kernel_size=1) for stride in self.strides
        )
        self.class_branch, self.box_branch = (
            nn.Sequential(*(layer(width, width, kernel_size=3) for _ in range(config.num_convs)))
            for _ in range(2)
        )
        self.classifier = nn.Conv2d(width, num_classes, kernel_size=1)
        self.regressor = nn.Conv2d(width, 4 * bins, kernel_size=1)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for predictor in (self.classifier, self.regressor):
            nn.init.normal_(predictor.weight, std=0.01)
        assert self.classifier.bias is not None
        assert self.regressor.bias is not None
        nn.init.constant_(self.classifier.bias, -math.log((1 - _PRIOR) / _PRIOR))
        # geometric: each bin is less likely than the one before by a factor, which sets the mean
        bins = torch.arange(self.config.largest_distance + 1)
        self.regressor.bias.data = -math.log1p(1 / _FIRST_DISTANCE) * bins.repeat(4)

    def forward(
        self, features: Features
    ) -> tuple[Float[Tensor, "b n k"], Float[Tensor, "b n 4 m"]]:
        """Return the logits of the classes and of the distances, in the order of `grid_cells`."""
        logits, distances = [], []
        for stride, stem in zip(self.strides, self.stems, strict=True):
            x = stem(features[stride])  # (b, c, h, w)
            scores = self.classifier(self.class_branch(x))  # (b, k, h, w)
            borders = self.regressor(self.box_branch(x))  # (b, 4 m, h, w)
            logits.append(scores.flatten(2).transpose(1, 2).float())
            distances.append(borders.flatten(2).transpose(1, 2).unflatten(2, (4, -1)).float())
        return torch.cat(logits, dim=1), torch.cat(distances, dim=1)

    def loss(self, features: Features, batch: Batch) -> tuple[Losses, list[Rois]]:
        """Return the losses `classification`, `box` and `distribution`, and the RoIs.

        Each picture's losses are divided by the sum of its cells' qualities (TOOD). RoIs are the
        true boxes and the good ones among the boxes of the cells that learn an object.
        """
        targets = batch.targets or ()
        logits, distances = self(features)
        cells = self._cells(features)
        scores = logits.detach().sigmoid()
        boxes = decode_distances(expected_value(distances.detach()), cells)  # (b, n, 4)
        alignments = [
            align_cells(
                score,
                box,
                cells.centres,
                target,
                cells_per_object=self.config.cells_per_object,
                score_power=self.config.score_power,
                iou_power=self.config.iou_power,
            )
            for score, box, target in zip(scores, boxes, targets, strict=True)
        ]
        rois = [
            self._rois(each, alignment, target)
            for each, alignment, target in zip(boxes, alignments, targets, strict=True)
        ]
        return self._losses(logits, distances, cells, alignments, targets), rois

    @torch.no_grad()
    def detect(self, features: Features, batch: Batch) -> list[Instances]:
        """Return the objects of each picture, the highest score first."""
        logits, distances = self(features)
        cells = self._cells(features)
        found = []
        for scores, borders, size in zip(
            logits.sigmoid(), distances, batch.image_sizes, strict=True
        ):
            best = scores.amax(dim=1).topk(min(self.config.pre_nms, len(cells))).indices
            boxes = decode_distances(expected_value(borders[best]), cells[best])
            found.append(
                select_detections(
                    boxes[:, None],
                    scores[best],
                    size,
                    score_threshold=self.config.score_threshold,
                    nms_threshold=self.config.nms_threshold,
                    max_detections=self.config.detections_per_image,
                )
            )
        return found

    def _cells(self, features: Features) -> Cells:
        return grid_cells({stride: features[stride] for stride in self.strides})

    def _losses(
        self,
        logits: Tensor,
        distances: Tensor,
        cells: Cells,
        alignments: Sequence[Alignment],
        targets: Sequence[Instances],
    ) -> Losses:
        classification, box, distribution = [], [], []
        for logit, distance, alignment, target in zip(
            logits, distances, alignments, targets, strict=True
        ):
            positive = torch.where(alignment.matched >= 0)[0]  # (p,)
            objects = alignment.matched[positive]
            quality = alignment.quality[positive]
            wanted = torch.zeros_like(logit)
            wanted[positive, target.labels[objects]] = quality
            focal = quality_focal_loss(logit, wanted).sum(dim=1)
            classification.append(focal[alignment.matched != IGNORED])
            true_boxes, here = target.boxes[objects].to(logit), cells[positive]
            borders = distance[positive]  # (p, 4, m)
            predicted = decode_distances(expected_value(borders), here)
            box.append(quality * giou_loss(predicted, true_boxes))
            sides = distribution_focal_loss(borders, encode_distances(true_boxes, here))
            distribution.append(quality * sides.mean(dim=1))
        divisors = [float(alignment.quality.sum()) for alignment in alignments]
        return {
            "classification": _mean(classification, divisors),
            "box": self.config.box_weight * _mean(box, divisors),
            "distribution": self.config.distribution_weight * _mean(distribution, divisors),
        }

    def _rois(self, boxes: Tensor, alignment: Alignment, target: Instances) -> Rois:
        """Return where the mask head learns, object by object."""
        positive = torch.where(alignment.matched >= 0)[0]
        found, matched = clip_boxes(boxes[positive], target.image_size), alignment.matched[positive]
        good = paired_iou(found, target.boxes[matched].to(found)) >= self.config.roi_iou
        single = torch.arange(len(target), device=boxes.device)
        if target.is_crowd is not None:
            single = single[~target.is_crowd]
        matched, order = torch.cat((single, matched[good])).sort(stable=True)
        found = torch.cat((target.boxes[single].to(found), found[good]))[order]
        # evenly spread over the objects: no chance in it, and none is forgotten before others
        limit = min(len(matched), self.config.rois_per_image)
        chosen = torch.linspace(0, len(matched) - 1, limit, device=boxes.device).round().long()
        matched = matched[chosen]
        return Rois(boxes=found[chosen], labels=target.labels[matched], matched=matched)


def _mean(losses: Sequence[Tensor], divisors: Sequence[float]) -> Tensor:
    return mean_over_pictures(torch.cat(list(losses)), [len(each) for each in losses], divisors)


def _levels(channels: Mapping[int, int], strides: Sequence[int]) -> list[int]:
    """Return the strides to predict on, rising."""
    found = sorted(set(strides) & set(channels))
    if not found:
        raise ConfigError(
            f"yolo has no level to predict on: asked for strides {sorted(strides)}, the features "
            f"have {sorted(channels)}; name some of these in strides"
        )
    return found
