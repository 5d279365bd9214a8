"""Faster R-CNN: proposals from a network on the same features that classify them.

Ren et al. 2015, https://arxiv.org/abs/1506.01497: an RPN under Fast R-CNN's head. Trained jointly
("approximate joint training", section 3.2); with a neck as in FPN (Lin et al. 2017), or on one
level of a backbone by `rpn.strides` and `box_head.strides`. The defaults are torchvision's
`fasterrcnn_resnet50_fpn`.

Shapes: b pictures, k classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Self

from jaxtyping import Float
from torch import Tensor

from maskwright.detectors.box_head import BoxHead
from maskwright.detectors.rpn import RPN
from maskwright.detectors.two_stage import TwoStage
from maskwright.ops import Fraction, PositiveCount, Setting
from maskwright.structures import Batch, Dense, Features, Losses, Size

__all__ = ["FasterRCNN"]


class FasterRCNN(TwoStage):
    """An RPN, and a box head on its proposals.

    Args:
        channels: Stride -> channels of the features.
        num_classes: Classes of objects, without background.
        config: Options of both parts and of the selection of detections.

    Raises:
        ConfigError: Levels that do not fit the features.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of `FasterRCNN`.

        Args:
            rpn: Options of the proposals.
            box_head: Options of the head that classifies them.
            score_threshold: Detections score above it.
            nms_threshold: IoU above which the lower score of a class is a duplicate.
            detections_per_image: The best so many are kept.
        """

        kind: Literal["faster_rcnn"] = "faster_rcnn"
        rpn: RPN.Config = field(default_factory=RPN.Config)
        box_head: BoxHead.Config = field(default_factory=BoxHead.Config)
        score_threshold: Fraction = 0.05
        nms_threshold: Fraction = 0.5
        detections_per_image: PositiveCount = 100

        @classmethod
        def for_setting(cls, setting: Setting) -> Self:
            """Return options that fit the data and the hardware.

            Each pyramid level has anchors twice as large as the level below it; the finest
            level's are as large as small objects. On a processor a step is spent where proposals
            and samples are many; with the fewer ones here it takes a third of the time.
            """
            finest = float(min(max(2 ** round(math.log2(setting.small_object)), 8), 32))
            rpn = RPN.Config(anchor_sizes=tuple((finest * 2**level,) for level in range(5)))
            if not setting.is_light:
                return cls(rpn=rpn, detections_per_image=setting.room)
            return cls(
                rpn=replace(
                    rpn,
                    pre_nms_train=800,
                    pre_nms_test=800,
                    post_nms_train=400,
                    post_nms_test=max(300, 2 * setting.room),
                ),
                box_head=BoxHead.Config(fc_channels=(256, 256), samples_per_image=96),
                detections_per_image=setting.room,
            )

        def build(self, channels: Mapping[int, int], num_classes: int) -> FasterRCNN:
            """Return the detector for features of these channels by stride."""
            return FasterRCNN(channels, num_classes, self)

    config: Config

    def __init__(
        self, channels: Mapping[int, int], num_classes: int, config: FasterRCNN.Config
    ) -> None:
        super().__init__()
        self.config = config
        self.rpn = RPN(channels, config.rpn)
        self.box_head = BoxHead(channels, num_classes, config.box_head)

    def propose(self, features: Features, batch: Batch) -> list[Float[Tensor, "_ 4"]]:
        """Return the boxes that the RPN finds likely to hold an object."""
        return self.rpn.propose(features, batch.image_sizes, _padded_size(batch))

    def dense(self, features: Features, padded_size: Size) -> Dense:
        """Return what the RPN says of every anchor, see `RPN.dense`."""
        return self.rpn.dense(features, padded_size)

    def propose_from(self, dense: Dense, batch: Batch) -> list[Float[Tensor, "_ 4"]]:
        """Return the boxes that the RPN finds likely to hold an object."""
        return self.rpn.propose_from(dense, batch.image_sizes)

    def learn_to_propose(
        self, features: Features, batch: Batch
    ) -> tuple[Losses, list[Float[Tensor, "_ 4"]]]:
        """Return the losses of the RPN and its proposals."""
        return self.rpn.loss(features, batch.targets or (), batch.image_sizes, _padded_size(batch))


def _padded_size(batch: Batch) -> Size:
    height, width = batch.images.shape[-2:]
    return height, width
