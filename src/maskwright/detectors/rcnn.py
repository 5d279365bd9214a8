"""R-CNN: selective search proposes, a network sees each proposal by itself, SVMs decide.

Girshick, Donahue, Darrell and Malik 2014, https://arxiv.org/abs/1311.2524. Its three stages:

1. `loss` fine-tunes a CNN on warped crops: a softmax over the classes and background.
2. `fit` trains a linear SVM per class on its features, true boxes against hard negatives, and
3. a ridge regression per class from the features to the box.

`detect` goes by the softmax until `fit` has run, and by SVMs and regressions from then on.
Deviations: any of our backbones with global average pooling instead of AlexNet, smaller crops
and so less context (16 of 227 pixels is 8 of 112); the regressions read the same features as the
SVMs; scores are a logistic function of the margin, which the rest of maskwright wants in [0, 1].

Cost: a CNN runs on every proposal. With `RCNN.Config.for_setting` on a processor (300 crops of
64 px) a picture takes seconds, ten times as long as with Fast R-CNN; `fit` takes as long again for
every training picture. The detector reads `batch.images`; only the mask head above it reads the
shared features.

Shapes: b pictures, r boxes of all pictures, k classes, d features of a crop.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maskwright.backbones import Backbone, BackboneConfig, ResNet
from maskwright.detectors.crop_network import CropNetwork
from maskwright.detectors.detector import Candidates, Detector
from maskwright.detectors.picture_search import PictureSearch
from maskwright.detectors.proposal_sampling import sample_proposals
from maskwright.detectors.rcnn_fitting import RegionFitting
from maskwright.ops import (
    BalancedSampler,
    ClassLoss,
    Count,
    CrossEntropy,
    Fraction,
    Positive,
    PositiveCount,
    Sampler,
    Setting,
    class_weights,
    clip_boxes,
    decode_boxes,
    mean_over_pictures,
    select_detections,
    softmax_class_loss,
    zero_with_gradient,
)
from maskwright.structures import Batch, Features, Instances, Losses, Rois

__all__ = ["RCNN"]

_STEEPNESS = math.log(19.0)
"""Scores are sigmoid(margin * steepness): 0.05, 0.5 and 0.95 at margins of -1, 0 and 1."""


class RCNN(Detector):
    """A network on warped crops of proposals, and what is fitted on its features.

    Args:
        channels: Unused: crops are cut from the pixels.
        num_classes: Classes of objects, without background.
        config: All options.

    Attributes:
        search: What proposes.
        network: What makes features of crops.
        sampler: Draws the proposals to fine-tune on; may be replaced.

    Raises:
        ConfigError: The context leaves nothing of a crop.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of `RCNN`.

        Args:
            search: Options of the proposals.
            cnn: The network on the crops; its deepest map is averaged.
            warp_size: Side of the crops in pixels.
            context: Pixels on each side of a crop that lie outside its box.
            foreground_iou: From here on a proposal belongs to an object, for the softmax.
            samples_per_image: Proposals to fine-tune on.
            positive_fraction: At most this part of them on objects.
            class_loss: Of fine-tuning: "cross_entropy" or "focal"; either can weigh rare classes
                more by its `balance`.
            negative_iou: A proposal that overlaps no object of a class by as much is a negative
                of its SVM.
            svm_cost: C, the weight of errors against the width of the margin.
            regression_iou: A proposal that overlaps an object by as much teaches its regression.
            ridge_penalty: Of the squared weights of the regressions.
            score_threshold: Detections score above it.
            nms_threshold: IoU above which the lower score of a class is a duplicate.
            detections_per_image: The best so many are kept.
        """

        kind: Literal["rcnn"] = "rcnn"
        search: PictureSearch.Config = field(default_factory=PictureSearch.Config)
        cnn: BackboneConfig = field(default_factory=lambda: ResNet.Config(depth=18))
        warp_size: PositiveCount = 112
        context: Count = 8
        foreground_iou: Fraction = 0.5  # section 2.3
        samples_per_image: PositiveCount = 128
        positive_fraction: Fraction = 0.25
        class_loss: ClassLoss = field(default_factory=CrossEntropy)
        negative_iou: Fraction = 0.3  # section 2.3
        svm_cost: Positive = 0.001  # the authors' code
        regression_iou: Fraction = 0.6  # appendix C
        ridge_penalty: Positive = 1000.0
        score_threshold: Fraction = 0.05
        nms_threshold: Fraction = 0.3  # the authors' code
        detections_per_image: PositiveCount = 100

        @classmethod
        def for_setting(cls, setting: Setting) -> Self:
            """Return options that fit the data and the hardware.

            The network is of the kind of the shared one, from which it takes its first weights.
            """
            cnn: BackboneConfig = setting.backbone or ResNet.Config(depth=18)
            if not setting.is_light:
                return cls(cnn=cnn, detections_per_image=setting.room)
            return cls(
                search=PictureSearch.Config(
                    max_proposals=max(300, 3 * setting.room), longest_side=250
                ),
                cnn=cnn,
                warp_size=64,
                context=5,
                samples_per_image=48,
                detections_per_image=setting.room,
            )

        def build(self, channels: Mapping[int, int], num_classes: int) -> RCNN:
            """Return the detector; it reads no features, so `channels` may be any."""
            return RCNN(channels, num_classes, self)

    def __init__(self, channels: Mapping[int, int], num_classes: int, config: RCNN.Config) -> None:
        del channels
        super().__init__()
        self.config = config
        self.num_classes = num_classes
        self.search = PictureSearch(config.search)
        self.network = CropNetwork(config.cnn, warp_size=config.warp_size, context=config.context)
        width = self.network.num_features
        self.classifier = nn.Linear(width, num_classes + 1)
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.zeros_(self.classifier.bias)
        class_weights(config.class_loss, num_classes)  # which checks the counts
        self.sampler: Sampler = BalancedSampler(
            num_samples=config.samples_per_image, positive_fraction=config.positive_fraction
        )
        self.register_buffer("svm_weight", torch.zeros(num_classes, width))
        self.register_buffer("svm_bias", torch.zeros(num_classes))
        self.register_buffer("ridge_weight", torch.zeros(num_classes, 4, width))
        self.register_buffer("ridge_bias", torch.zeros(num_classes, 4))
        self.register_buffer("is_fitted", torch.tensor(False))

    search: PictureSearch
    svm_weight: Tensor
    svm_bias: Tensor
    ridge_weight: Tensor
    ridge_bias: Tensor
    is_fitted: Tensor

    def loss(self, features: Features, batch: Batch) -> tuple[Losses, list[Rois]]:
        """Return the softmax loss on warped crops, and the positive RoIs of each picture."""
        del features
        sampled = [
            sample_proposals(
                proposals,
                target,
                foreground=self.config.foreground_iou,
                background=self.config.foreground_iou,
                sampler=self.sampler,
            )
            for proposals, target in zip(
                self.search(batch, keep=False), batch.targets or (), strict=True
            )
        ]
        counts = [len(each) for each in sampled]
        rois = [each.rois for each in sampled]
        if not sum(counts):
            return {"classification": zero_with_gradient(self)}, rois
        described = self.network(self.network.normalise(batch), [each.boxes for each in sampled])
        logits = self.classifier(described).float()  # (r, k + 1)
        labels = torch.cat([each.labels for each in sampled])  # (r,), background is -1
        classification = softmax_class_loss(self.config.class_loss, logits, labels + 1)
        return {"classification": mean_over_pictures(classification, counts)}, rois

    def detect(self, features: Features, batch: Batch) -> list[Instances]:
        """Return the objects of each picture, the highest score first."""
        del features
        images = self.network.normalise(batch)
        return [
            select_detections(
                *self._classify(image[None], proposals),
                size,
                score_threshold=self.config.score_threshold,
                nms_threshold=self.config.nms_threshold,
                max_detections=self.config.detections_per_image,
            )
            for image, proposals, size in zip(
                images, self.search(batch), batch.image_sizes, strict=True
            )
        ]

    def candidates(self, features: Features, batch: Batch) -> list[Candidates]:
        """Return the moved boxes and the scores of all proposals of each picture."""
        del features
        images = self.network.normalise(batch)
        found = [
            self._classify(image[None], proposals)
            for image, proposals in zip(images, self.search(batch), strict=True)
        ]
        return [
            (clip_boxes(boxes, size), scores)
            for (boxes, scores), size in zip(found, batch.image_sizes, strict=True)
        ]

    def prepare(self, backbone: Backbone) -> None:
        """Start the CNN from the weights of the shared backbone, if it is the same network."""
        self.network.start_from(backbone)

    @property
    def is_finished(self) -> bool:
        """Whether SVMs and regressions have been fitted."""
        return bool(self.is_fitted)

    def finish(self, batches: Iterable[Batch]) -> None:
        """Fit SVMs and regressions, see `fit`."""
        self.fit(batches)

    @torch.no_grad()
    def fit(self, batches: Iterable[Batch]) -> None:
        """Fit the SVMs and the box regressions to the CNN as it is.

        To be called after fine-tuning; after more of it, call it again. A class without objects
        gets an SVM that refuses everything and a regression that moves nothing.

        Args:
            batches: Pictures with targets, gone through twice: for all true boxes, then for hard
                negatives. A loader or a list, not an iterator.
        """
        was_training = self.training
        self.eval()
        described, labels = self._describe_true_boxes(batches)
        fitting = RegionFitting(
            described,
            labels,
            self.num_classes,
            svm_cost=self.config.svm_cost,
            negative_iou=self.config.negative_iou,
            regression_iou=self.config.regression_iou,
        )
        for batch in batches:
            images = self.network.normalise(batch)
            for image, boxes, target in zip(
                images, self.search(batch), batch.targets or (), strict=True
            ):
                fitting.see(self.network.describe(image[None], boxes), boxes, target)
        for name, tensor in fitting.finish(self.config.ridge_penalty).items():
            getattr(self, name).copy_(tensor)
        self.is_fitted.fill_(True)
        self.train(was_training)

    def _describe_true_boxes(self, batches: Iterable[Batch]) -> tuple[Tensor, Tensor]:
        """Return features (p, d) and labels (p,) of all objects that are no crowds."""
        described = [self.svm_weight[:0]]
        labels = [torch.zeros(0, dtype=torch.int64)]
        for batch in batches:
            images = self.network.normalise(batch)
            for image, target in zip(images, batch.targets or (), strict=True):
                crowd = target.is_crowd
                single = target if crowd is None else target[~crowd.cpu()]
                described.append(self.network.describe(image[None], single.boxes))
                labels.append(single.labels.cpu())
        return torch.cat(described), torch.cat(labels)

    def _classify(
        self, image: Float[Tensor, "1 3 H W"], proposals: Float[Tensor, "r 4"]
    ) -> tuple[Float[Tensor, "r _ 4"], Float[Tensor, "r k"]]:
        """Return boxes and scores of the proposals of one picture, per class where fitted."""
        described = self.network.describe(image, proposals)
        if not self.is_finished:
            return proposals[:, None], self.classifier(described).float().softmax(dim=1)[:, 1:]
        margins = described @ self.svm_weight.T + self.svm_bias
        deltas = torch.einsum("kcd,rd->rkc", self.ridge_weight, described) + self.ridge_bias
        return decode_boxes(deltas, proposals[:, None]), (margins * _STEEPNESS).sigmoid()
