"""YOLO: one pass, and every cell of a grid says what object it sees and where its borders are.

You Only Look Once, Redmon et al. 2016, https://arxiv.org/abs/1506.02640, in its anchor-free form:
YOLOX, Ge et al. 2021, https://arxiv.org/abs/2107.08430, on strides 8, 16 and 32 with decoupled
heads (decoupled_head.py). Deviations from YOLOX: TOOD's assignment (Feng et al. 2021, see
task_alignment.py) instead of SimOTA; no objectness, for the class score is the quality of the box
and borders are distributions (Generalized Focal Loss, Li et al. 2020, see
ops/generalized_focal.py); GIoU instead of IoU; group normalisation in the head (FCOS), so that a
picture's result does not depend on the others in its batch.

Shapes: b pictures, n cells of all levels, k classes, m bins of a distance, p cells that learn an
object.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Self

import torch
from torch import Tensor

from maskwright.backbones import Norm
from maskwright.detectors.decoupled_head import DecoupledHead
from maskwright.detectors.detector import Candidates, Detector
from maskwright.detectors.task_alignment import Alignment, align_cells
from maskwright.errors import ConfigError
from maskwright.ops import (
    IGNORED,
    Cells,
    Count,
    Fraction,
    IoULoss,
    Positive,
    PositiveCount,
    QualityFocal,
    Setting,
    class_weights,
    clip_boxes,
    decode_distances,
    distribution_focal_loss,
    encode_distances,
    expected_value,
    grid_cells,
    iou_loss,
    mean_over_pictures,
    paired_iou,
    quality_focal_loss,
    select_detections,
)
from maskwright.structures import Batch, Dense, Features, Instances, Losses, Rois, Size

__all__ = ["YOLO"]

_SMALL = 16.0
"""Side in pixels below which an object has fewer than two cells of stride 8 to a side."""


class YOLO(Detector):
    """Finds objects at every cell of every level, all at once.

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
            class_loss: Its `gamma` holds cells that are right already back; its `balance` weighs
                rare classes more.
            box_loss: "giou", "diou" or "ciou".
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
        class_loss: QualityFocal = field(default_factory=QualityFocal)
        box_loss: IoULoss = "giou"
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
        self.num_classes = num_classes
        self.strides = _levels(channels, config.strides)
        self.head = DecoupledHead(
            {stride: channels[stride] for stride in self.strides},
            num_classes,
            config.largest_distance + 1,
            width=config.width,
            num_convs=config.num_convs,
            norm=config.norm,
        )
        class_weights(config.class_loss, num_classes)  # which checks the counts

    def loss(self, features: Features, batch: Batch) -> tuple[Losses, list[Rois]]:
        """Return the losses `classification`, `box` and `distribution`, and the RoIs.

        Each picture's losses are divided by the sum of its cells' qualities (TOOD). RoIs are the
        true boxes and the good ones among the boxes of the cells that learn an object.
        """
        targets = batch.targets or ()
        logits, distances = self.head(features)
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

    def detect(self, features: Features, batch: Batch) -> list[Instances]:
        """Return the objects of each picture, the highest score first."""
        padded = (batch.images.shape[-2], batch.images.shape[-1])
        return self.detect_from(self.dense(features, padded), features, batch)

    def dense(self, features: Features, padded_size: Size) -> Dense:
        """Return `logits` (b, n, k), `distances` (b, n, 4, m), `centres` (n, 2), `strides` (n,)."""
        del padded_size
        logits, distances = self.head(features)
        cells = self._cells(features)
        return {
            "logits": logits,
            "distances": distances,
            "centres": cells.centres,
            "strides": cells.strides,
        }

    def detect_from(self, dense: Dense, features: Features, batch: Batch) -> list[Instances]:
        """Return the objects of each picture; no features are read."""
        del features
        logits, distances = dense["logits"], dense["distances"]
        cells = Cells(centres=dense["centres"], strides=dense["strides"])
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

    def candidates(self, features: Features, batch: Batch) -> list[Candidates]:
        """Return the box and the scores of every cell, of each picture."""
        logits, distances = self.head(features)
        cells = self._cells(features)
        return [
            (
                clip_boxes(decode_distances(expected_value(borders), cells), size)[:, None],
                logit.sigmoid(),
            )
            for logit, borders, size in zip(logits, distances, batch.image_sizes, strict=True)
        ]

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
            focal = quality_focal_loss(logit, wanted, power=self.config.class_loss.gamma)
            focal = self._balanced(focal.sum(dim=1), positive, target.labels[objects])
            classification.append(focal[alignment.matched != IGNORED])
            true_boxes, here = target.boxes[objects].to(logit), cells[positive]
            borders = distance[positive]  # (p, 4, m)
            predicted = decode_distances(expected_value(borders), here)
            box.append(quality * iou_loss(self.config.box_loss, predicted, true_boxes))
            sides = distribution_focal_loss(borders, encode_distances(true_boxes, here))
            distribution.append(quality * sides.mean(dim=1))
        divisors = [float(alignment.quality.sum()) for alignment in alignments]
        return {
            "classification": _mean(classification, divisors),
            "box": self.config.box_weight * _mean(box, divisors),
            "distribution": self.config.distribution_weight * _mean(distribution, divisors),
        }

    def _balanced(self, losses: Tensor, positive: Tensor, labels: Tensor) -> Tensor:
        """Weigh the cells that learn an object by its class (Cui et al. 2019, section 4.2)."""
        weights = class_weights(self.config.class_loss, self.num_classes)
        if weights is None:
            return losses
        factors = torch.ones_like(losses)
        factors[positive] = weights.to(losses)[labels]
        return losses * factors

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
