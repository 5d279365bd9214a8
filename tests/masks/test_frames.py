"""Crop, flips and quarter turns against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from maskwright.errors import MaskError
from maskwright.masks import Masks


def test_flips_are_those_of_numpy(dense: np.ndarray) -> None:
    masks = Masks.from_dense(dense)
    assert masks.flip_horizontal() == Masks.from_dense(dense[:, :, ::-1])
    assert masks.flip_vertical() == Masks.from_dense(dense[:, ::-1])
    assert masks.flip_vertical().flip_vertical() == masks


@pytest.mark.parametrize("k", [-1, 0, 1, 2, 3, 5])
def test_quarter_turns_are_those_of_numpy(dense: np.ndarray, k: int) -> None:
    assert Masks.from_dense(dense).rotate90(k) == Masks.from_dense(np.rot90(dense, k, (1, 2)))


def test_crops_are_slices(dense: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    height, width = dense.shape[1:]
    masks = Masks.from_dense(dense)
    for _ in range(5):
        x1, y1 = int(rng.integers(width)), int(rng.integers(height))
        x2, y2 = int(rng.integers(x1, width)) + 1, int(rng.integers(y1, height)) + 1
        assert masks.crop((x1, y1, x2, y2)) == Masks.from_dense(dense[:, y1:y2, x1:x2])


@pytest.mark.parametrize("box", [(0, 0, 6, 4), (-1, 0, 3, 3), (2, 2, 2, 3), (0, 3, 2, 1)])
def test_crops_beyond_the_picture_or_empty_are_refused(box: tuple[int, ...]) -> None:
    with pytest.raises(MaskError, match=r"crop box .* must hold pixels"):
        Masks.empty((4, 5)).crop(box)


@pytest.mark.parametrize("box", [(0, 0, 1.5, 2), (0, 0, 1), None, (0, 0, 1, float("nan"))])
def test_crop_boxes_are_four_integers(box: object) -> None:
    with pytest.raises(MaskError, match=r"crop box must be 4 integers"):
        Masks.empty((4, 5)).crop(box)


def test_placing_is_the_way_back_from_a_crop(dense: np.ndarray) -> None:
    height, width = dense.shape[1:]
    masks = Masks.from_dense(dense)
    larger = np.zeros((len(dense), height + 5, width + 4), bool)
    larger[:, 3:-2, 1:-3] = dense
    assert masks.place((1, 3), larger.shape[1:]) == Masks.from_dense(larger)
    assert Masks.from_dense(larger).crop((1, 3, 1 + width, 3 + height)) == masks


@pytest.mark.parametrize("corner", [(-1, 0), (0, 2), (3, 0)])
def test_a_frame_beyond_the_larger_picture_is_refused(corner: tuple[int, int]) -> None:
    with pytest.raises(MaskError, match=r"must hold pixels, all of the \(5, 7\) picture"):
        Masks.empty((4, 5)).place(corner, (5, 7))
