"""The contract of every detector: it finds boxes and knows nothing of masks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TypeAlias

from jaxtyping import Float
from torch import Tensor, nn

from maskwright.backbones import Backbone
from maskwright.detectors.picture_search import PictureSearch
from maskwright.structures import Batch, Dense, Features, Instances, Losses, Rois, Size

__all__ = ["Candidates", "Detector"]

Candidates: TypeAlias = tuple[Float[Tensor, "_ _ 4"], Float[Tensor, "_ k"]]
"""Boxes of one picture, (n, k, 4) or (n, 1, 4) where all classes share them, and their scores."""


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

    def candidates(self, features: Features, batch: Batch) -> list[Candidates]:
        """Return per picture the boxes and scores that `detect` chooses from, with gradients.

        Nothing is left out for a low score or as a duplicate, so what is found here changes
        smoothly with the pixels. A detector that does not say otherwise has what it detects.
        """
        return [
            (found.boxes[:, None], _score_columns(found)) for found in self.detect(features, batch)
        ]

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


def _score_columns(found: Instances) -> Float[Tensor, "n k"]:
    """Return the scores in the column of each object's label, zero in the others."""
    assert found.scores is not None
    labels = found.labels
    width = int(labels.max()) + 1 if len(labels) else 1
    columns = found.scores.new_zeros((len(found), width))
    return columns.scatter(1, labels[:, None], found.scores[:, None])
