"""What runs a network, as the code around it sees it.

All runtimes share what comes before and after: reading pictures and post-processing are the
predictor's (`predictor.py`); which runtimes there are says `runtimes.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from maskwright.data import PixelFormat
from maskwright.structures import Batch, Instances

__all__ = ["Runtime", "SemanticRuntime", "TakesPixels"]


@runtime_checkable
class Runtime(Protocol):
    """What runs the network: `InstanceSegmenter` in PyTorch, or an exported graph.

    A runtime resizes and pads (`collate`), runs and pastes (`predict`).
    """

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names by label."""

    @property
    def picture_side(self) -> int | None:
        """Short side, in pixels, of the pictures it knows: the size of tiles; None: not known."""

    @property
    def object_side(self) -> int | None:
        """Side, in pixels, of large objects in them: the overlap of tiles; None: not known."""

    def collate(self, images: Sequence[np.ndarray]) -> Batch:
        """Make a batch of (h, w, 3) uint8 RGB pictures."""

    def predict(self, batch: Batch) -> list[Instances]:
        """Find the objects of each picture, with masks, in the frame of the original picture."""


@runtime_checkable
class SemanticRuntime(Protocol):
    """What runs a network that gives pixels a class: `SemanticSegmenter`, for one.

    `InstanceSegmenter` is both: with some mask heads (FCN, DeepLab) it has class maps as well.
    """

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names by label."""

    def collate(self, images: Sequence[np.ndarray]) -> Batch:
        """Make a batch of (h, w, 3) uint8 RGB pictures."""

    def class_maps(self, batch: Batch) -> list[np.ndarray]:
        """Return the class of each pixel of the original pictures: 0 background, label + 1."""


@runtime_checkable
class TakesPixels(Protocol):
    """A runtime that says which pictures it takes; one that does not takes RGB of 8 bits."""

    @property
    def pixel_format(self) -> PixelFormat | None:
        """Channels, type and statistics; None is RGB of 8 bits."""
