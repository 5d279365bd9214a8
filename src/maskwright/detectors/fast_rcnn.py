"""Fast R-CNN: selective search proposes, one pass over the picture classifies.

Girshick 2015, https://arxiv.org/abs/1504.08083: RoI max pooling of shared features, then softmax
and smooth L1 heads. The heads are `BoxHead`, as in Faster R-CNN, and so are their deviations;
beyond those: background is drawn from all proposals below the IoU of an object (the paper: from
0.1 to 0.5, section 2.3), and duplicates go by an IoU of 0.5, not 0.3, as in our other detectors.

Cost: the search runs on the processor, whatever the device, once for every picture that is not
remembered (see `PictureSearch`): each view that augmentation makes, and each new picture at
prediction. With `FastRCNN.Config.for_setting` (250 px, "fast") that is about 0.25 s a picture on
one core, with the defaults (400 px) 0.8 s, with "quality" 4 s: our measurement.

Shapes: b pictures, k classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Self

from jaxtyping import Float
from torch import Tensor

from maskwright.detectors.box_head import BoxHead
from maskwright.detectors.picture_search import PictureSearch
from maskwright.detectors.two_stage import TwoStage
from maskwright.ops import Fraction, PositiveCount, Setting
from maskwright.structures import Batch, Dense, Features, Losses

__all__ = ["FastRCNN"]


class FastRCNN(TwoStage):
    """Selective search on the pixels, and a box head on its proposals.

    Args:
        channels: Stride -> channels of the features.
        num_classes: Classes of objects, without background.
        config: Options of both parts and of the selection of detections.

    Attributes:
        search: What proposes.

    Raises:
        ConfigError: Levels that do not fit the features.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of `FastRCNN`.

        Args:
            search: Options of the proposals.
            box_head: Options of the head that classifies them; `pool="align"` takes RoIAlign.
            score_threshold: Detections score above it.
            nms_threshold: IoU above which the lower score of a class is a duplicate.
            detections_per_image: The best so many are kept.
        """

        kind: Literal["fast_rcnn"] = "fast_rcnn"
        search: PictureSearch.Config = field(default_factory=PictureSearch.Config)
        # 64 samples a picture: Fast R-CNN, section 2.3
        box_head: BoxHead.Config = field(
            default_factory=lambda: BoxHead.Config(pool="max", samples_per_image=64)
        )
        score_threshold: Fraction = 0.05
        nms_threshold: Fraction = 0.5
        detections_per_image: PositiveCount = 100

        @classmethod
        def for_setting(cls, setting: Setting) -> Self:
            """Return options that fit the data and the hardware.

            Augmented views are searched one by one, so on a processor the search is a quick one,
            on a smaller picture and for fewer boxes.
            """
            if not setting.is_light:
                return cls(detections_per_image=setting.room)
            return cls(
                search=PictureSearch.Config(
                    max_proposals=max(500, 4 * setting.room), longest_side=250
                ),
                box_head=BoxHead.Config(pool="max", fc_channels=(256, 256), samples_per_image=96),
                detections_per_image=setting.room,
            )

        def build(self, channels: Mapping[int, int], num_classes: int) -> FastRCNN:
            """Return the detector for features of these channels by stride."""
            return FastRCNN(channels, num_classes, self)

    config: Config
    search: PictureSearch

    def __init__(
        self, channels: Mapping[int, int], num_classes: int, config: FastRCNN.Config
    ) -> None:
        super().__init__()
        self.config = config
        self.search = PictureSearch(config.search)
        self.box_head = BoxHead(channels, num_classes, config.box_head)

    def propose(self, features: Features, batch: Batch) -> list[Float[Tensor, "_ 4"]]:
        """Return the boxes that selective search finds on each picture."""
        del features
        return self.search(batch)

    def propose_from(self, dense: Dense, batch: Batch) -> list[Float[Tensor, "_ 4"]]:
        """Return the boxes that selective search finds; no graph has a part in it."""
        del dense
        return self.search(batch)

    def learn_to_propose(
        self, features: Features, batch: Batch
    ) -> tuple[Losses, list[Float[Tensor, "_ 4"]]]:
        """Return no losses, for selective search learns nothing, and its boxes."""
        del features
        return {}, self.search(batch, keep=False)
