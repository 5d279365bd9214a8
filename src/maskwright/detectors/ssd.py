"""SSD: class scores and box corrections for default boxes on feature maps of many scales, at once.

SSD: Single Shot MultiBox Detector, Liu et al. 2016, https://arxiv.org/abs/1512.02325; with
`separable` its light form SSDLite, Sandler et al. 2018 (MobileNetV2),
https://arxiv.org/abs/1801.04381, section 6.2. It predicts on whatever levels the features have: a
backbone's own (`VGG.Config(levels="ssd300")`, `MobileNet.Config(levels="ssdlite")`) or a neck's.

Deviations: sizes of default boxes in pixels, not in parts of the picture, so that pictures may
have any size; optional 3 x 3 convolutions before the predictors, which the maps of an FPN need,
for they are not rectified; the loss is divided by the matched boxes of each picture and not of the
batch; a picture without objects is learnt from, as if one box were matched (the paper's loss is 0);
crowds are ignore regions.

Shapes: b pictures, n default boxes of all levels, a of one cell, k classes (without background),
c channels, (h, w) of a level.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from maskwright.backbones import Norm, norm_layer
from maskwright.detectors.default_boxes import (
    cell_default_boxes,
    level_sizes,
    match_default_boxes,
    tile_boxes,
)
from maskwright.detectors.detector import Candidates, Detector
from maskwright.errors import ConfigError
from maskwright.ops import (
    BACKGROUND,
    BoxLoss,
    ClassLoss,
    Count,
    CrossEntropy,
    Focal,
    Fraction,
    Positive,
    PositiveCount,
    Setting,
    class_weights,
    clip_boxes,
    decode_boxes,
    delta_loss,
    mean_over_pictures,
    paired_iou,
    select_detections,
    softmax_class_loss,
)
from maskwright.structures import Batch, Dense, Features, Instances, Losses, Rois, Size

__all__ = ["SSD"]

_ROI_IOU = 0.5
"""A predicted box serves the mask head from here on, as proposals do (Mask R-CNN, section 3.1)."""

_SMALL = 16.0
"""Side in pixels below which objects need a level finer than stride 8, the paper's finest, whose
boxes are 21 px there (0.07 x 300)."""

_PRIOR = 0.01
"""Chance of an object in any box at the start of learning by focal loss (Lin et al. 2017, 4.1)."""

_GROWTH = 2.5
"""For four or five levels to reach from small objects to those that fill the picture. Squares of
a level are then 1.6 times as large as the next smaller ones, so that every object of their shape
has one with an IoU above 0.6."""


class SSD(Detector):
    """Classifies and corrects the default boxes of every cell of every level.

    The classifier's first logit is background, class label k is logit k + 1.

    Args:
        channels: Stride -> channels of the features; they may differ.
        num_classes: Classes of objects, without background.
        config: Levels, default boxes, layers, matching and the selection of detections.

    Raises:
        ConfigError: No level to predict on, or options that do not fit the number of levels.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of `SSD`.

        Args:
            strides: Levels to predict on, without those that the features lack; all where None.
            sizes: Sides of the square default boxes in pixels of the batch: one per level and one
                for the level that would follow; or the finest level's alone.
            growth: From one level's size to the next, where `sizes` has the finest alone.
            aspect_ratios: Longer to shorter side of the other default boxes, each of which comes
                wide and tall: one tuple per level, or one for all.
            max_side: Default boxes are cut to this; None for no bound.
            steps: Pixels between the cells of each level; None for its stride.
            num_convs: 3 x 3 convolutions on each level before its predictors.
            separable: Predict with a depthwise and a 1 x 1 convolution instead of a 3 x 3 one.
            norm: Normalisation of convolutions that do not predict; None for a bias instead.
            norm_eps: Added to the variance.
            delta_weights: Factors of the deltas of x, y, width and height.
            foreground_iou: From here on a default box belongs to an object.
            class_loss: "cross_entropy" learns from the boxes below, "focal" from all of them
                (RetinaNet); either can weigh rare classes more by its `balance`.
            negatives_per_positive: Background boxes learnt from, those with the largest loss.
            box_loss: "smooth_l1" of the deltas, or of the boxes "giou", "diou" or "ciou".
            box_weight: Factor of the loss `box`.
            rois_per_image: At most so many boxes serve the mask head.
            score_threshold: Detections score above it.
            nms_threshold: IoU above which the lower score of a class is a duplicate.
            pre_nms: Best boxes of each class that detections come from.
            detections_per_image: The best so many are kept.
        """

        kind: Literal["ssd"] = "ssd"
        strides: tuple[PositiveCount, ...] | None = None
        sizes: tuple[Positive, ...] = (32.0,)
        growth: Positive = 2.0
        aspect_ratios: tuple[tuple[Positive, ...], ...] = ((2.0,),)
        max_side: Positive | None = None
        steps: tuple[Positive, ...] | None = None
        num_convs: Count = 0
        separable: bool = False
        norm: Norm | None = None
        norm_eps: Positive = 1e-5
        delta_weights: tuple[Positive, Positive, Positive, Positive] = (10.0, 10.0, 5.0, 5.0)
        foreground_iou: Fraction = 0.5
        class_loss: ClassLoss = field(default_factory=CrossEntropy)
        negatives_per_positive: Positive = 3.0
        box_loss: BoxLoss = "smooth_l1"
        box_weight: Positive = 1.0
        rois_per_image: PositiveCount = 128
        score_threshold: Fraction = 0.01
        nms_threshold: Fraction = 0.45
        pre_nms: PositiveCount = 400
        detections_per_image: PositiveCount = 200

        @classmethod
        def for_setting(cls, setting: Setting) -> Self:
            """Return options that fit the data and the hardware.

            The finest default boxes are as large as small objects. A level of stride 4 has four
            fifths of all boxes and is left out where objects are large enough for stride 8.
            """
            coarse = (8, 16, 32, 64)
            return cls(
                strides=(4, *coarse) if setting.small_object < _SMALL else coarse,
                sizes=(max(setting.small_object, 8.0),),
                growth=_GROWTH,
                num_convs=1,
                norm="group",
                score_threshold=0.05,
                pre_nms=max(400, 2 * setting.room),
                detections_per_image=setting.room,
            )

        def build(self, channels: Mapping[int, int], num_classes: int) -> SSD:
            """Return the detector for features of these channels by stride."""
            return SSD(channels, num_classes, self)

    def __init__(self, channels: Mapping[int, int], num_classes: int, config: SSD.Config) -> None:
        super().__init__()
        self.config = config
        self.strides = _levels(channels, config)
        self.num_classes = num_classes
        self._cells = _cells(config, len(self.strides))
        self._steps = [float(step) for step in config.steps or self.strides]
        widths = [channels[stride] for stride in self.strides]
        norm = None if config.norm is None else norm_layer(config.norm, eps=config.norm_eps)
        self.convs = nn.ModuleList(
            nn.Sequential(
                *(
                    Conv2dNormActivation(width, width, kernel_size=3, norm_layer=norm)
                    for _ in range(config.num_convs)
                )
            )
            for width in widths
        )
        self.classifiers, self.regressors = (
            nn.ModuleList(
                _predictor(config, width, len(cell) * outputs)
                for width, cell in zip(widths, self._cells, strict=True)
            )
            for outputs in (num_classes + 1, 4)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)  # section 3, for new layers
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        class_weights(config.class_loss, num_classes)  # which checks the counts
        if isinstance(config.class_loss, Focal):
            self._start_with_background()

    def _start_with_background(self) -> None:
        """Let every box begin as background, else the many easy ones drown the first steps."""
        bias = math.log((1.0 - _PRIOR) / _PRIOR * self.num_classes)
        for classifier, cell in zip(self.classifiers, self._cells, strict=True):
            last = classifier[-1] if isinstance(classifier, nn.Sequential) else classifier
            assert isinstance(last, nn.Conv2d)
            assert last.bias is not None
            with torch.no_grad():
                last.bias.reshape(len(cell), -1)[:, 0] = bias

    def forward(
        self, features: Features
    ) -> tuple[Float[Tensor, "b n k+1"], Float[Tensor, "b n 4"], Float[Tensor, "n 4"]]:
        """Return class logits (background first), deltas, and the default boxes."""
        logits, deltas, boxes = [], [], []
        for level, stride in enumerate(self.strides):
            x = self.convs[level](features[stride])  # (b, c, h, w)
            scores = self.classifiers[level](x).permute(0, 2, 3, 1)  # (b, h, w, a * (k + 1))
            shifts = self.regressors[level](x).permute(0, 2, 3, 1)  # (b, h, w, a * 4)
            logits.append(scores.reshape(x.shape[0], -1, self.num_classes + 1).float())
            deltas.append(shifts.reshape(x.shape[0], -1, 4).float())
            height, width = x.shape[-2:]
            cell = self._cells[level].to(x.device)
            boxes.append(tile_boxes(cell, (height, width), self._steps[level]))
        return torch.cat(logits, dim=1), torch.cat(deltas, dim=1), torch.cat(boxes)

    def loss(self, features: Features, batch: Batch) -> tuple[Losses, list[Rois]]:
        """Return the losses `classification` and `box`, and the RoIs of each picture.

        RoIs are the true boxes and what the matched default boxes have become, where that
        overlaps their object.
        """
        targets = batch.targets or ()
        logits, deltas, boxes = self(features)
        matches = [
            match_default_boxes(boxes, target, self.config.foreground_iou) for target in targets
        ]
        losses = self._losses(logits, deltas, boxes, matches, targets)
        return losses, [
            self._rois(delta.detach(), boxes, matched, target)
            for delta, matched, target in zip(deltas, matches, targets, strict=True)
        ]

    def detect(self, features: Features, batch: Batch) -> list[Instances]:
        """Return the objects of each picture, the highest score first."""
        padded = (batch.images.shape[-2], batch.images.shape[-1])
        return self.detect_from(self.dense(features, padded), features, batch)

    def dense(self, features: Features, padded_size: Size) -> Dense:
        """Return `logits` (b, n, k + 1), `deltas` (b, n, 4) and `default_boxes` (n, 4)."""
        del padded_size
        logits, deltas, boxes = self(features)
        return {"logits": logits, "deltas": deltas, "default_boxes": boxes}

    def detect_from(self, dense: Dense, features: Features, batch: Batch) -> list[Instances]:
        """Return the objects of each picture; no features are read."""
        del features
        logits, deltas, boxes = dense["logits"], dense["deltas"], dense["default_boxes"]
        found = []
        for logit, delta, size in zip(logits, deltas, batch.image_sizes, strict=True):
            scores = logit.softmax(dim=1)[:, 1:].T.contiguous()  # (k, n)
            best, order = scores.topk(min(self.config.pre_nms, len(boxes)), dim=1)
            moved = decode_boxes(delta, boxes, self.config.delta_weights)
            found.append(
                select_detections(
                    moved[order.T],  # (pre_nms, k, 4)
                    best.T,
                    size,
                    score_threshold=self.config.score_threshold,
                    nms_threshold=self.config.nms_threshold,
                    max_detections=self.config.detections_per_image,
                )
            )
        return found

    def candidates(self, features: Features, batch: Batch) -> list[Candidates]:
        """Return the moved default boxes and their scores, of each picture."""
        logits, deltas, boxes = self(features)
        return [
            (
                clip_boxes(decode_boxes(delta, boxes, self.config.delta_weights), size)[:, None],
                logit.softmax(dim=1)[:, 1:],
            )
            for logit, delta, size in zip(logits, deltas, batch.image_sizes, strict=True)
        ]

    def _losses(
        self,
        logits: Tensor,
        deltas: Tensor,
        boxes: Tensor,
        matches: Sequence[Tensor],
        targets: Sequence[Instances],
    ) -> Losses:
        classification, box, learnt, positives = [], [], [], []
        for logit, delta, matched, target in zip(logits, deltas, matches, targets, strict=True):
            positive = torch.where(matched >= 0)[0]
            negative = torch.where(matched == BACKGROUND)[0]
            if not isinstance(self.config.class_loss, Focal):
                negative = self._hard_negatives(logit.detach(), matched)
            objects = matched[positive]
            labels = torch.cat((target.labels[objects] + 1, torch.zeros_like(negative)))
            sampled = logit[torch.cat((positive, negative))]
            classification.append(softmax_class_loss(self.config.class_loss, sampled, labels))
            box.append(
                delta_loss(
                    self.config.box_loss,
                    delta[positive],
                    boxes[positive],
                    target.boxes[objects].to(boxes),
                    weights=self.config.delta_weights,
                )
            )
            learnt.append(len(labels))
            positives.append(len(positive))
        return {
            "classification": mean_over_pictures(torch.cat(classification), learnt, positives),
            "box": self.config.box_weight * mean_over_pictures(torch.cat(box), positives),
        }

    def _hard_negatives(self, logits: Tensor, matched: Tensor) -> Tensor:
        """Return the background boxes that look least like it; section 2.2, 3 per positive."""
        background = torch.where(matched == BACKGROUND)[0]
        num_positive = max(1, int((matched >= 0).sum()))
        wanted = min(len(background), int(self.config.negatives_per_positive * num_positive))
        chances = logits[background]
        hardness = chances.logsumexp(dim=1) - chances[:, 0]  # cross-entropy
        return background[hardness.topk(wanted).indices]

    def _rois(self, deltas: Tensor, boxes: Tensor, matched: Tensor, target: Instances) -> Rois:
        """Return where the mask head learns, object by object."""
        positive = torch.where(matched >= 0)[0]
        moved = decode_boxes(deltas[positive], boxes[positive], self.config.delta_weights)
        moved, objects = clip_boxes(moved, target.image_size), matched[positive]
        true_boxes = target.boxes.to(moved)
        good = paired_iou(moved, true_boxes[objects]) >= _ROI_IOU
        single = torch.arange(len(target), device=boxes.device)
        if target.is_crowd is not None:
            single = single[~target.is_crowd]
        objects, order = torch.cat((single, objects[good])).sort(stable=True)
        found = torch.cat((true_boxes[single], moved[good]))[order]
        # evenly spread over the objects: no chance in it, and none is forgotten before others
        limit = min(len(objects), self.config.rois_per_image)
        chosen = torch.linspace(0, len(objects) - 1, limit, device=boxes.device).round().long()
        objects = objects[chosen]
        return Rois(boxes=found[chosen], labels=target.labels[objects], matched=objects)


def _predictor(config: SSD.Config, width: int, outputs: int) -> nn.Module:
    """Return a 3 x 3 convolution, or SSDLite's depthwise separable one."""
    if not config.separable:
        return nn.Conv2d(width, outputs, kernel_size=3, padding=1)
    norm = None if config.norm is None else norm_layer(config.norm, eps=config.norm_eps)
    return nn.Sequential(
        Conv2dNormActivation(
            width, width, kernel_size=3, groups=width, norm_layer=norm, activation_layer=nn.ReLU6
        ),
        nn.Conv2d(width, outputs, kernel_size=1),
    )


def _cells(config: SSD.Config, num_levels: int) -> list[Float[Tensor, "a 4"]]:
    """Return the default boxes of one cell of each level, centred on the origin."""
    sizes = level_sizes(config.sizes, config.growth, num_levels)
    shared = len(config.aspect_ratios) == 1
    ratios = config.aspect_ratios * (num_levels if shared else 1)
    return [
        cell_default_boxes(size, next_size, each, config.max_side)
        for (size, next_size), each in zip(pairwise(sizes), ratios, strict=True)
    ]


def _levels(channels: Mapping[int, int], config: SSD.Config) -> list[int]:
    """Return the strides to predict on, rising, once every option fits their number."""
    strides = sorted(channels if config.strides is None else set(config.strides) & set(channels))
    if not strides:
        raise ConfigError(
            f"ssd has no level to predict on: asked for strides {sorted(config.strides or ())}, "
            f"the features have {sorted(channels)}; name some of these in strides"
        )
    count = len(strides)
    if len(config.sizes) not in (1, count + 1):
        raise ConfigError(
            f"ssd.sizes has {len(config.sizes)} sizes for {count} levels of strides {strides}: "
            f"give {count + 1}, one per level and one more, or the finest level's alone"
        )
    if len(config.aspect_ratios) not in (1, count):
        raise ConfigError(
            f"ssd.aspect_ratios has {len(config.aspect_ratios)} lists for {count} levels of "
            f"strides {strides}: give one list per level, or one for all"
        )
    if config.steps is not None and len(config.steps) != count:
        raise ConfigError(
            f"ssd.steps has {len(config.steps)} steps for {count} levels of strides {strides}: "
            "give one per level, or none to step by the strides"
        )
    return strides
