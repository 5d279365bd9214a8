"""IoU and set operations against pycocotools and NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco

from maskwright.errors import MaskError
from maskwright.masks import Masks

shapes = st.tuples(st.integers(0, 4), st.integers(1, 12), st.integers(1, 12))


def rles(dense: np.ndarray) -> list[dict]:
    return [coco.encode(np.asfortranarray(mask, np.uint8)) for mask in dense]


def test_iou_equals_pycocotools_to_the_last_bit(dense: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    other = np.concatenate([dense, rng.random((3, *dense.shape[1:])) < 0.6])
    is_crowd = np.arange(len(other)) % 2 == 1
    masks, others = Masks.from_dense(dense), Masks.from_dense(other)
    for crowd in (np.zeros(len(other), bool), is_crowd):
        ratios = masks.iou(others, crowd)
        assert ratios.shape == (len(dense), len(other))
        if len(dense):
            known = coco.iou(rles(dense), rles(other), crowd.astype(np.uint8).tolist())
            np.testing.assert_array_equal(ratios, known)
    np.testing.assert_array_equal(masks.iou(others), masks.iou(others, np.zeros(len(other), bool)))


def test_iou_of_scattered_objects_equals_pycocotools() -> None:
    rng = np.random.default_rng(1)
    corners = rng.uniform(0, 150, (60, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(1, 60, (60, 2))], axis=1)
    crops = rng.random((60, 8, 8))
    masks = Masks.paste(crops, boxes, (160, 180))
    known = coco.iou(masks[:25].to_coco(), masks[25:].to_coco(), [0] * 35)
    np.testing.assert_array_equal(masks[:25].iou(masks[25:]), known)


def test_one_other_mask_is_held_against_every_mask(dense: np.ndarray) -> None:
    masks = Masks.from_dense(dense)
    for share in (0.1, 0.5, 0.9):
        other = np.random.default_rng(3).random(dense.shape[1:]) < share
        one = Masks.from_dense(other[None])
        assert masks.intersection(one) == Masks.from_dense(dense & other)
        assert masks.difference(one) == Masks.from_dense(dense & ~other)


@given(arrays(bool, shapes), st.randoms(use_true_random=False))
def test_set_operations_equal_numpy(dense: np.ndarray, random) -> None:
    other = np.random.default_rng(random.randrange(1000)).random(dense.shape) < 0.5
    masks, others = Masks.from_dense(dense), Masks.from_dense(other)
    assert masks.intersection(others) == Masks.from_dense(dense & other)
    assert masks.difference(others) == Masks.from_dense(dense & ~other)
    assert masks.union() == Masks.from_dense(dense.any(axis=0)[None])
    one = np.ones((1, *dense.shape[1:]), bool)
    assert masks.intersection(Masks.from_dense(one)) == masks
    assert masks.difference(Masks.from_dense(one)).area.sum() == 0


@given(arrays(bool, shapes))
def test_overlaps_go_to_the_earlier_object(dense: np.ndarray) -> None:
    before = np.cumsum(dense, axis=0) - dense
    expected = dense & (before == 0)
    assert Masks.from_dense(dense).remove_overlaps() == Masks.from_dense(expected)


def test_masks_of_different_pictures_or_numbers_are_refused() -> None:
    masks = Masks.from_dense(np.ones((2, 3, 4)) > 0)
    with pytest.raises(MaskError, match=r"\(3, 4\) and of a \(4, 3\) picture"):
        masks.iou(Masks.empty((4, 3)))
    with pytest.raises(MaskError, match="wanted 2 masks or one"):
        masks.intersection(Masks.empty((3, 4)))
    with pytest.raises(MaskError, match="is_crowd must have one entry per mask"):
        masks.iou(masks, [True])
