"""Mask targets against torchvision's RoIAlign."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.ops import roi_align

from maskwright.errors import MaskError
from maskwright.masks import Masks


def aligned(dense: np.ndarray, boxes: np.ndarray, indices: np.ndarray, size: int) -> np.ndarray:
    rois = torch.cat([torch.from_numpy(indices)[:, None].float(), torch.from_numpy(boxes)], dim=1)
    return roi_align(torch.from_numpy(dense[:, None]).float(), rois, (size, size))[:, 0].numpy()


@pytest.mark.parametrize("size", [1, 7, 14, 28])
def test_crops_equal_roi_align_to_the_last_bit(dense: np.ndarray, size: int) -> None:
    if not len(dense):
        assert Masks.from_dense(dense).crop_resize(np.zeros((0, 4)), [], size).shape == (
            0,
            size,
            size,
        )
        return
    rng = np.random.default_rng(size)
    height, width = dense.shape[1:]
    corners = rng.uniform(-0.3, 1.1, (20, 2)) * [width, height]
    extents = np.exp(rng.uniform(np.log(0.1), np.log(1.5), (20, 2))) * [width, height]
    boxes = np.concatenate([corners, corners + extents], axis=1).astype(np.float32)
    boxes[0] = [0, 0, width, height]
    boxes[1] = [1, 1, 1, 1]
    boxes[2] = [3, 2, 1, 1]
    indices = rng.integers(0, len(dense), 20)
    crops = Masks.from_dense(dense).crop_resize(boxes, indices, size)
    np.testing.assert_array_equal(crops, aligned(dense, boxes, indices, size))
    assert crops.dtype == np.float32


def test_large_boxes_equal_roi_align() -> None:
    rng = np.random.default_rng(0)
    crops = rng.random((5, 12, 12))
    boxes = np.array(
        [
            [10, 20, 300, 280],
            [0, 0, 400, 300],
            [380, 4, 399, 290],
            [50, 50, 52, 52],
            [-40, -30, 90, 350],
        ]
    )
    masks = Masks.paste(crops, boxes, (300, 400))
    rois = np.float32(boxes + rng.uniform(-5, 5, boxes.shape))
    known = aligned(masks.to_dense(), rois, np.arange(5), 28)
    np.testing.assert_array_equal(masks.crop_resize(rois, np.arange(5), 28), known)


def test_indices_outside_are_refused() -> None:
    masks = Masks.from_boxes([[0, 0, 1, 1]], (4, 4))
    with pytest.raises(MaskError, match="indices must be from 0 to 0, got 1 to 1"):
        masks.crop_resize([[0, 0, 1, 1]], [1], 14)
    with pytest.raises(MaskError, match=r"indices must be \(1,\) integers"):
        masks.crop_resize([[0, 0, 1, 1]], [0.0], 14)
    with pytest.raises(MaskError, match="size must be"):
        masks.crop_resize([[0, 0, 1, 1]], [0], 0)
