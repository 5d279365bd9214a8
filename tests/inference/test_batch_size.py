"""The batch size that gives the most pictures a second."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from maskwright.inference.batch_size import fastest_batch_size
from maskwright.structures import Batch, Instances

_IMAGE = np.zeros((4, 4, 3), np.uint8)


class _Model:
    """Takes a time a batch and a time a picture, and holds so many pictures."""

    class_names = ("thing",)
    picture_side = object_side = None

    def __init__(self, batch_seconds: float, picture_seconds: float, most: int = 100) -> None:
        self._seconds = batch_seconds, picture_seconds
        self._most = most

    def collate(self, images: Sequence[np.ndarray]) -> Batch:
        sizes = tuple((4, 4) for _ in images)
        pixels = torch.zeros(len(images), 3, 4, 4, dtype=torch.uint8)
        return Batch(images=pixels, image_sizes=sizes, original_sizes=sizes)

    def predict(self, batch: Batch) -> list[Instances]:
        if len(batch) > self._most:
            raise RuntimeError("out of memory")
        time.sleep(self._seconds[0] + self._seconds[1] * len(batch))
        return []


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (_Model(0.0, 0.02), 1),  # a processor: a picture costs what it costs
        (_Model(0.05, 0.0001), 8),  # a GPU with room
        (_Model(0.05, 0.0001, most=4), 4),
        (_Model(0.05, 0.0001, most=3), 2),
    ],
)
def test_the_size_with_the_most_pictures_a_second_is_taken(model: _Model, expected: int) -> None:
    assert fastest_batch_size(model, _IMAGE, limit=8) == expected
