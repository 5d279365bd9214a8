"""Models that go by a known region of the picture, and say so in no other way."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from maskwright.backbones import ResNet
from maskwright.detectors import YOLO, Candidates, Detector
from maskwright.masks import Masks
from maskwright.model import InstanceSegmenter
from maskwright.structures import Batch, Features, Instances, Losses, Rois

SIDE = 64
BOX = (20, 20, 40, 40)
"""The object that is always found."""
CUE = (4, 44, 16, 56)
"""x1, y1, x2, y2 of the region, outside the object, that alone decides its score."""


def cue_mask() -> Masks:
    """The cue as a mask."""
    return Masks.from_boxes([CUE], (SIDE, SIDE))


def cue_picture() -> np.ndarray:
    """A dim picture with a bright cue."""
    x1, y1, x2, y2 = CUE
    picture = np.random.default_rng(0).integers(40, 60, (SIDE, SIDE, 3), dtype=np.uint8)
    picture[y1:y2, x1:x2] = 230
    return picture


def cue_network() -> InstanceSegmenter:
    """A network of boxes alone whose detector goes by the cue."""
    config = InstanceSegmenter.Config(
        backbone=ResNet.Config(depth=18),
        neck=None,
        detector=YOLO.Config(width=8),
        mask_head=None,
        fixed_size=(SIDE, SIDE),
    )
    model = InstanceSegmenter(config, ("square",))
    model.detector = CueDetector()
    return model.eval()


class CueRuntime:
    """Finds one square whose score is the brightness of the cue."""

    class_names = ("square",)
    picture_side: int | None = None
    object_side: int | None = None

    def collate(self, images: Sequence[np.ndarray]) -> Batch:
        sizes = tuple((image.shape[0], image.shape[1]) for image in images)
        stacked = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
        return Batch(images=stacked, image_sizes=sizes, original_sizes=sizes)

    def predict(self, batch: Batch) -> list[Instances]:
        masks = Masks.from_boxes([BOX], (SIDE, SIDE))
        return [_square(score, masks) for score in _cue_means(batch)]


class CueDetector(Detector):
    """The same as the detector of a network."""

    def loss(self, features: Features, batch: Batch) -> tuple[Losses, list[Rois]]:
        raise NotImplementedError

    def detect(self, features: Features, batch: Batch) -> list[Instances]:
        return [_square(score, None) for score in _cue_means(batch)]

    def candidates(self, features: Features, batch: Batch) -> list[Candidates]:
        box = torch.tensor([[BOX]], dtype=torch.float32)
        return [(box, score[None, None]) for score in _cue_means(batch)]


def _cue_means(batch: Batch) -> torch.Tensor:
    x1, y1, x2, y2 = CUE
    return batch.images[:, :, y1:y2, x1:x2].float().mean(dim=(1, 2, 3)) / 255


def _square(score: torch.Tensor, masks: Masks | None) -> Instances:
    return Instances(
        image_size=(SIDE, SIDE),
        boxes=torch.tensor([BOX], dtype=torch.float32),
        labels=torch.tensor([0]),
        scores=score[None].float(),
        masks=masks,
        class_names=("square",),
    )
