"""The contract of every detector: it finds boxes and knows nothing of masks."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import nn

from maskwright.structures import Batch, Features, Instances, Losses, Rois

__all__ = ["Detector"]


class Detector(nn.Module, ABC):
    """Finds boxes, classes and scores on feature maps."""

    @abstractmethod
    def loss(self, features: Features, batch: Batch) -> tuple[Losses, list[Rois]]:
        """Return the losses (means over pictures) and, per picture, where the mask head learns.

        Crowd targets are ignore regions: nothing is matched to them and nothing inside them
        counts as background. Pictures without targets are learnt from too.
        """

    @abstractmethod
    def detect(self, features: Features, batch: Batch) -> list[Instances]:
        """Return the objects of each picture without masks, in the frame of `batch.images`.

        Scores fall along each result. At most `detections_per_image`, none below
        `score_threshold`, duplicates removed.
        """
