"""The contract of every detector: it finds boxes and knows nothing of masks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

from torch import nn

from maskwright.backbones import Backbone
from maskwright.detectors.picture_search import PictureSearch
from maskwright.structures import Batch, Dense, Features, Instances, Losses, Rois, Size

__all__ = ["Detector"]


class Detector(nn.Module, ABC):
    """Finds boxes, classes and scores on feature maps.

    Attributes:
        search: What proposes boxes on the pixels, for detectors that leave that to selective
            search; give its `cache` a `ProposalCache` to keep boxes in a folder.
    """

    search: PictureSearch | None = None

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

    def dense(self, features: Features, padded_size: Size) -> Dense:
        """Return what the detector says of every place, before it chooses: an exported graph's.

        Args:
            features: Levels by stride.
            padded_size: (H, W) of the batch.
        """
        del features, padded_size
        return {}

    def detect_from(self, dense: Dense, features: Features, batch: Batch) -> list[Instances]:
        """Return what `detect` does, from what `dense` returned.

        Args:
            dense: Of `dense`, or of a graph.
            features: The levels that boxes are pooled from; the others may be missing.
            batch: As for `detect`.
        """
        del dense
        return self.detect(features, batch)

    def prepare(self, backbone: Backbone) -> None:
        """Make ready for the first step of a training, once; most detectors need nothing.

        Args:
            backbone: The shared one, with the weights it starts from, for a detector that has a
                network of its own.
        """

    @property
    def is_finished(self) -> bool:
        """Whether everything is learnt by steps, or `finish` has been called."""
        return True

    def finish(self, batches: Iterable[Batch]) -> None:
        """Learn what is not learnt by steps, after the last one; most detectors need nothing.

        Args:
            batches: The training pictures as they are, with targets, on any device; they may be
                gone through several times.
        """
