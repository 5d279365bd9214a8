"""The contract of every mask head: it turns boxes into masks and does not ask who found them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from maskwright.structures import Dense, Features, Instances, Losses, Rois

__all__ = ["MaskHead"]


class MaskHead(nn.Module, ABC):
    """Draws the object inside each box."""

    @abstractmethod
    def loss(
        self, features: Features, rois: Sequence[Rois], targets: Sequence[Instances]
    ) -> Losses:
        """Return the losses, means over pictures, with a gradient also where there are no RoIs.

        Zero there, unless the head learns from every pixel (`ClassMapHead`).
        """

    @abstractmethod
    def crops(self, features: Features, detections: Sequence[Instances]) -> list[Tensor]:
        """Return per picture (n, s, s) probabilities in the frame of each detected box."""

    def dense(self, features: Features) -> Dense:
        """Return the maps of the whole picture that crops are made of: an exported graph's."""
        del features
        return {}

    def crops_from(
        self, dense: Dense, features: Features, detections: Sequence[Instances]
    ) -> list[Tensor]:
        """Return what `crops` does, from what `dense` returned and the levels it pools from."""
        del dense
        return self.crops(features, detections)
