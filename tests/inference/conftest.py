"""A runtime without a network, and pictures it can see objects in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from skimage.measure import label

from maskwright.inference import Predictor
from maskwright.masks import Masks
from maskwright.structures import Batch, Instances


class BlobRuntime:
    """Finds bright 8-connected blobs: red ones are "coin", others "nut"; brightness is the score.

    Exact and instant, so that tests of what surrounds a network need none.
    """

    class_names = ("coin", "nut")
    picture_side: int | None = None
    object_side: int | None = None

    def __init__(self, stop_after: int | None = None) -> None:
        self.batch_sizes: list[int] = []
        self.stop_after = stop_after  # batches, then someone presses Ctrl-C

    def collate(self, images: Sequence[np.ndarray]) -> Batch:
        sizes = tuple((image.shape[0], image.shape[1]) for image in images)
        padded = torch.zeros(
            (len(images), 3, max(h for h, _ in sizes), max(w for _, w in sizes)), dtype=torch.uint8
        )
        for place, image in zip(padded, images, strict=True):
            place[:, : image.shape[0], : image.shape[1]] = torch.from_numpy(image).permute(2, 0, 1)
        return Batch(images=padded, image_sizes=sizes, original_sizes=sizes)

    def predict(self, batch: Batch) -> list[Instances]:
        if len(self.batch_sizes) == self.stop_after:
            raise KeyboardInterrupt
        self.batch_sizes.append(len(batch))
        return [
            self._find(image[:, :height, :width].permute(1, 2, 0).numpy())
            for image, (height, width) in zip(batch.images, batch.image_sizes, strict=True)
        ]

    def _find(self, image: np.ndarray) -> Instances:
        numbers = label(image.max(axis=2) > 20, connectivity=2)
        dense = numbers == np.arange(1, numbers.max() + 1)[:, None, None]
        scores = np.array([image[one].max() / 255 for one in dense], np.float32)
        order = np.argsort(-scores, kind="stable")
        masks = Masks.from_dense(dense[order])
        red = [image[one][:, 0].max() > image[one][:, 1].max() for one in dense[order]]
        return Instances(
            image_size=image.shape[:2],
            boxes=torch.from_numpy(masks.boxes),
            labels=torch.tensor([0 if is_red else 1 for is_red in red], dtype=torch.int64),
            scores=torch.from_numpy(scores[order]),
            masks=masks,
            class_names=self.class_names,
            category_ids=(11, 22),
        )


@pytest.fixture
def runtime() -> BlobRuntime:
    return BlobRuntime()


@pytest.fixture
def predictor(runtime: BlobRuntime) -> Predictor:
    return Predictor(runtime)


@pytest.fixture
def picture() -> np.ndarray:
    """Three blobs: a sure coin (2 x 4 pixels), a likely nut with a hole, an unsure nut."""
    image = np.zeros((20, 30, 3), np.uint8)
    image[2:4, 3:7] = (255, 0, 0)
    image[8:15, 10:17] = (0, 204, 0)
    image[11, 13] = 0
    image[18, 28] = (0, 51, 0)
    return image


@pytest.fixture
def folder(tmp_path: Path, picture: np.ndarray) -> Path:
    """Three pictures of different sizes, one in a folder below and one without objects."""
    root = tmp_path / "pictures"
    (root / "more").mkdir(parents=True)
    cv2.imwrite(str(root / "b.png"), picture[..., ::-1])
    cv2.imwrite(str(root / "a.png"), np.zeros((10, 12, 3), np.uint8))
    cv2.imwrite(str(root / "more" / "c.png"), picture[::-1, :, ::-1])
    return root
