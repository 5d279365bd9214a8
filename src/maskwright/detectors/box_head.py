"""Box head: classes and corrected boxes for proposals, whoever made them.

Fast R-CNN, Girshick 2015, https://arxiv.org/abs/1504.08083, sections 2.1 to 2.3. Deviations:
RoIAlign by default (Mask R-CNN); two narrower fully connected layers and pooling from several
levels (FPN, Lin et al. 2017, section 4.2); smooth L1 with beta 1/9 (Faster R-CNN's code).

Shapes: b pictures, r RoIs of all pictures, k classes (without background), s pooled side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from maskwright.backbones import Norm, norm_layer
from maskwright.detectors.proposal_sampling import sample_proposals
from maskwright.ops import (
    BalancedSampler,
    BoxLoss,
    ClassLoss,
    CrossEntropy,
    Fraction,
    PoolMethod,
    Positive,
    PositiveCount,
    Sampler,
    class_weights,
    decode_boxes,
    delta_loss,
    mean_over_pictures,
    pool_rois,
    pooled_levels,
    softmax_class_loss,
    zero_with_gradient,
)
from maskwright.structures import Features, Instances, Losses, Rois

__all__ = ["BoxHead"]

_BETA = 1.0 / 9.0
"""Where smooth L1 turns linear: sigma = 3 in the Faster R-CNN code."""


class BoxHead(nn.Module):
    """Classifies proposals and moves their borders.

    The classifier's first logit is background, class label k is logit k + 1.

    Args:
        channels: Stride -> channels of the features.
        num_classes: Classes of objects.
        config: Pooling, layers, matching, sampling.

    Attributes:
        sampler: Draws the proposals to learn from; may be replaced.

    Raises:
        ConfigError: No level to pool from, or levels of different widths.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of `BoxHead`.

        Args:
            strides: Levels to pool from; those that the features lack are left out.
            pool: How features are pooled.
            pool_size: Pooled cells per side.
            sampling_ratio: Points per side of a cell, for RoIAlign.
            conv_channels: 3 x 3 convolutions after pooling.
            norm: Normalisation of those; None for a bias instead.
            fc_channels: Fully connected layers after them.
            class_agnostic: One box for all classes instead of one per class.
            delta_weights: Factors of the deltas of x, y, width and height.
            foreground_iou: From here on a proposal belongs to an object.
            background_iou: Below it is background; between the two it is ignored.
            samples_per_image: Proposals to learn from.
            positive_fraction: At most this part of them on objects.
            class_loss: "cross_entropy" or "focal"; either can weigh rare classes more by its
                `balance`.
            box_loss: "smooth_l1" of the deltas, or of the boxes "giou", "diou" or "ciou".
            box_weight: Factor of the loss `box`. It is divided by all samples, so that losses
                of boxes need about 10 (as in MMDetection), that of deltas 1.
        """

        strides: tuple[PositiveCount, ...] = (4, 8, 16, 32)
        pool: PoolMethod = "align"
        pool_size: PositiveCount = 7
        sampling_ratio: PositiveCount = 2
        conv_channels: tuple[PositiveCount, ...] = ()
        norm: Norm | None = None
        fc_channels: tuple[PositiveCount, ...] = (1024, 1024)
        class_agnostic: bool = False
        delta_weights: tuple[Positive, Positive, Positive, Positive] = (10.0, 10.0, 5.0, 5.0)
        foreground_iou: Fraction = 0.5
        background_iou: Fraction = 0.5
        samples_per_image: PositiveCount = 512
        positive_fraction: Fraction = 0.25
        class_loss: ClassLoss = field(default_factory=CrossEntropy)
        box_loss: BoxLoss = "smooth_l1"
        box_weight: Positive = 1.0

    def __init__(
        self, channels: Mapping[int, int], num_classes: int, config: BoxHead.Config
    ) -> None:
        super().__init__()
        self.config = config
        self.strides = pooled_levels(channels, config.strides)
        width = channels[self.strides[0]]
        norm = None if config.norm is None else norm_layer(config.norm)
        layers: list[nn.Module] = []
        for channel in config.conv_channels:
            layers.append(Conv2dNormActivation(width, channel, kernel_size=3, norm_layer=norm))
            width = channel
        layers.append(nn.Flatten())
        width *= config.pool_size**2
        for channel in config.fc_channels:
            layers.extend((nn.Linear(width, channel), nn.ReLU(inplace=True)))
            width = channel
        self.layers = nn.Sequential(*layers)
        self.classifier = nn.Linear(width, num_classes + 1)
        self.regressor = nn.Linear(width, 4 * (1 if config.class_agnostic else num_classes))
        self._initialise()
        class_weights(config.class_loss, num_classes)  # which checks the counts
        self.sampler: Sampler = BalancedSampler(
            num_samples=config.samples_per_image, positive_fraction=config.positive_fraction
        )

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        # Fast R-CNN, section 2.3, "SGD hyper-parameters"
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.normal_(self.regressor.weight, std=0.001)
        nn.init.zeros_(self.classifier.bias)
        nn.init.zeros_(self.regressor.bias)

    def forward(
        self, features: Features, boxes: Sequence[Float[Tensor, "_ 4"]]
    ) -> tuple[Float[Tensor, "r k+1"], Float[Tensor, "r k 4"]]:
        """Return class logits (background first) and deltas (k = 1 if class-agnostic)."""
        pooled = pool_rois(
            {stride: features[stride] for stride in self.strides},
            boxes,
            size=self.config.pool_size,
            sampling_ratio=self.config.sampling_ratio,
            method=self.config.pool,
        )  # (r, c, s, s)
        return self.classify(pooled)

    def classify(
        self, pooled: Float[Tensor, "r c s s"]
    ) -> tuple[Float[Tensor, "r k+1"], Float[Tensor, "r k 4"]]:
        """Return logits and deltas of boxes from their pooled features."""
        x = self.layers(pooled)
        deltas = self.regressor(x).float()
        return self.classifier(x).float(), deltas.reshape(x.shape[0], deltas.shape[1] // 4, 4)

    def loss(
        self,
        features: Features,
        proposals: Sequence[Float[Tensor, "_ 4"]],
        targets: Sequence[Instances],
    ) -> tuple[Losses, list[Rois]]:
        """Return the losses `classification` and `box`, and the positive RoIs of each picture."""
        sampled = [
            sample_proposals(
                boxes,
                target,
                foreground=self.config.foreground_iou,
                background=self.config.background_iou,
                sampler=self.sampler,
            )
            for boxes, target in zip(proposals, targets, strict=True)
        ]
        counts = [len(each) for each in sampled]
        rois = [each.rois for each in sampled]
        if not sum(counts):
            zero = zero_with_gradient(self)
            return {"classification": zero, "box": zero}, rois
        logits, deltas = self(features, [each.boxes for each in sampled])
        labels = torch.cat([each.labels for each in sampled])  # (r,), background is -1
        classification = softmax_class_loss(self.config.class_loss, logits, labels + 1)
        positive = torch.where(labels >= 0)[0]
        column = torch.zeros_like(positive) if deltas.shape[1] == 1 else labels[positive]
        box = delta_loss(
            self.config.box_loss,
            deltas[positive, column],
            torch.cat([roi.boxes for roi in rois]),
            torch.cat([each.boxes[roi.matched] for roi, each in zip(rois, targets, strict=True)]),
            weights=self.config.delta_weights,
            beta=_BETA,
        )
        mean = mean_over_pictures(box, [len(roi) for roi in rois], divisors=counts)
        losses = {
            "classification": mean_over_pictures(classification, counts),
            "box": self.config.box_weight * mean,
        }
        return losses, rois

    def predict(
        self, features: Features, proposals: Sequence[Float[Tensor, "_ 4"]]
    ) -> list[tuple[Float[Tensor, "_ k 4"], Float[Tensor, "_ k"]]]:
        """Return per picture the moved boxes and the probabilities of each proposal's classes.

        Boxes are (n, 1, 4) if class-agnostic, and not yet cut at the picture's border.
        """
        logits, deltas = self(features, proposals)
        scores = logits.softmax(dim=1)[:, 1:]
        anchors = torch.cat(list(proposals))[:, None]  # (r, 1, 4)
        boxes = decode_boxes(deltas, anchors, self.config.delta_weights)
        counts = [len(each) for each in proposals]
        return list(zip(torch.split(boxes, counts), torch.split(scores, counts), strict=True))
