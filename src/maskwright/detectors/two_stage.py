"""Detectors that classify proposals: what Fast R-CNN and Faster R-CNN share.

They differ in one thing, who proposes: selective search on the pixels, or a network (RPN) on the
features. Everything after the proposals is the same code.

Shapes: b pictures, k classes.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

from jaxtyping import Float
from torch import Tensor

from maskwright.detectors.box_head import BoxHead
from maskwright.detectors.detector import Candidates, Detector
from maskwright.ops import clip_boxes, select_detections
from maskwright.structures import Batch, Dense, Features, Instances, Losses, Rois

__all__ = ["TwoStage"]


class _Selection(Protocol):
    """Which classified boxes become detections."""

    @property
    def score_threshold(self) -> float: ...

    @property
    def nms_threshold(self) -> float: ...

    @property
    def detections_per_image(self) -> int: ...


class TwoStage(Detector):
    """Proposals, and a box head that classifies and moves them.

    Attributes:
        config: Options of the selection of detections, and more of the subclass.
        box_head: What classifies proposals.
    """

    config: _Selection
    box_head: BoxHead

    @abstractmethod
    def propose(self, features: Features, batch: Batch) -> list[Float[Tensor, "_ 4"]]:
        """Return the boxes of each picture that may hold an object, the likelier first."""

    @abstractmethod
    def propose_from(self, dense: Dense, batch: Batch) -> list[Float[Tensor, "_ 4"]]:
        """Return what `propose` does, from what `dense` returned."""

    @abstractmethod
    def learn_to_propose(
        self, features: Features, batch: Batch
    ) -> tuple[Losses, list[Float[Tensor, "_ 4"]]]:
        """Return the losses of what proposes (maybe none) and the proposals to learn from."""

    def candidates(self, features: Features, batch: Batch) -> list[Candidates]:
        """Return the moved boxes and the scores of all proposals of each picture."""
        boxes = self.box_head.predict(features, self.propose(features, batch))
        return [
            (clip_boxes(moved, size), scores)
            for (moved, scores), size in zip(boxes, batch.image_sizes, strict=True)
        ]

    def loss(self, features: Features, batch: Batch) -> tuple[Losses, list[Rois]]:
        """Return the losses of both stages, and the positive RoIs of each picture."""
        losses, proposals = self.learn_to_propose(features, batch)
        box_losses, rois = self.box_head.loss(features, proposals, batch.targets or ())
        return losses | box_losses, rois

    def detect(self, features: Features, batch: Batch) -> list[Instances]:
        """Return the objects of each picture, the highest score first."""
        return self._classify(self.propose(features, batch), features, batch)

    def detect_from(self, dense: Dense, features: Features, batch: Batch) -> list[Instances]:
        """Return what `detect` does, from what `dense` returned and the levels it pools from."""
        return self._classify(self.propose_from(dense, batch), features, batch)

    def _classify(
        self, proposals: list[Float[Tensor, "_ 4"]], features: Features, batch: Batch
    ) -> list[Instances]:
        return [
            select_detections(
                boxes,
                scores,
                size,
                score_threshold=self.config.score_threshold,
                nms_threshold=self.config.nms_threshold,
                max_detections=self.config.detections_per_image,
            )
            for (boxes, scores), size in zip(
                self.box_head.predict(features, proposals), batch.image_sizes, strict=True
            )
        ]
