"""Boundaries against the definition, by erosion of the padded picture."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from maskwright.masks import Masks


def band(mask: np.ndarray, ratio: float) -> np.ndarray:
    """Boundary IoU's definition, CVPR 2021: pad with zeros, erode d times by 3 x 3, take away."""
    d = max(round(ratio * np.hypot(*mask.shape)), 1)
    padded = np.pad(mask.astype(np.uint8), 1)
    return mask & (cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=d)[1:-1, 1:-1] == 0)


@pytest.mark.parametrize("ratio", [0.001, 0.02, 0.06, 0.5])
def test_boundary_is_the_mask_without_its_erosion(dense: np.ndarray, ratio: float) -> None:
    expected = [band(mask, ratio) for mask in dense]
    found = Masks.from_dense(dense).boundary(ratio).to_dense()
    np.testing.assert_array_equal(found, np.reshape(expected, dense.shape))


def test_boundary_of_random_blobs_with_holes() -> None:
    rng = np.random.default_rng(0)
    for size in ((120, 90), (64, 200), (301, 40)):
        noise = cv2.GaussianBlur(rng.standard_normal(size), (0, 0), 7)
        dense = np.stack([noise > 0, np.abs(noise) > 0.01, noise < noise.max()])
        found = Masks.from_dense(dense).boundary().to_dense()
        np.testing.assert_array_equal(found, [band(mask, 0.02) for mask in dense])
