"""The class itself: form, indexing, constructors, errors, importing."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

from maskwright.errors import MaskError
from maskwright.masks import Masks


def test_equal_masks_have_equal_runs_however_they_were_made(dense: np.ndarray) -> None:
    masks = Masks.from_dense(dense)
    for form in (dense.astype(np.uint8) * 255, dense.astype(np.int64), torch.from_numpy(dense)):
        assert Masks.from_dense(form) == masks
    strided = np.asfortranarray(dense)
    assert Masks.from_dense(strided) == masks
    assert masks.runs.dtype == np.int32
    assert not masks.runs.flags.writeable
    assert pickle.loads(pickle.dumps(masks)) == masks


def test_bitmaps_are_the_tight_part_of_the_dense_mask(dense: np.ndarray) -> None:
    masks = Masks.from_dense(dense)
    for i, (x1, y1, x2, y2) in enumerate(masks.boxes.astype(int).tolist()):
        bitmap, corner = masks.bitmap(i)
        assert corner == (x1, y1)
        assert bitmap.dtype == np.uint8
        np.testing.assert_array_equal(bitmap, dense[i, y1:y2, x1:x2])


def test_indexing_is_that_of_numpy(dense: np.ndarray) -> None:
    masks = Masks.from_dense(dense)
    n = len(dense)
    flags = np.arange(n) % 2 == 0
    for index in (
        slice(None),
        slice(1, None),
        slice(None, None, -1),
        flags,
        np.flatnonzero(flags),
        [],
    ):
        rows = np.asarray(index, int) if isinstance(index, list) else index
        assert masks[index] == Masks.from_dense(dense[rows])
    assert masks[torch.from_numpy(flags)] == masks[flags]
    assert [mask.area[0] for mask in masks] == masks.area.tolist()
    if n:
        assert masks[-1] == masks[n - 1] == Masks.from_dense(dense[-1:])
        assert masks[[0, 0]] == Masks.concatenate([masks[0], masks[0]])


def test_indices_outside_are_an_index_error() -> None:
    masks = Masks.from_dense(np.ones((2, 3, 3), bool))
    for index in (2, -3, [0, 2]):
        with pytest.raises(IndexError):
            masks[index]
    with pytest.raises(IndexError):
        masks[np.array([True])]


def test_concatenation_keeps_the_order(dense: np.ndarray) -> None:
    masks = Masks.from_dense(dense)
    parts = [masks[1:], masks[:1], Masks.empty(masks.image_size)]
    joined = Masks.concatenate(parts)
    assert joined == Masks.from_dense(np.concatenate([dense[1:], dense[:1]]))


def test_concatenation_of_nothing_or_of_different_pictures_is_refused() -> None:
    with pytest.raises(MaskError, match="at least one Masks"):
        Masks.concatenate([])
    with pytest.raises(MaskError, match=r"masks of a \(4, 3\) and of a \(3, 4\) picture"):
        Masks.concatenate([Masks.empty((4, 3)), Masks.empty((3, 4))])


def test_boxes_fill_the_pixels_whose_centres_they_hold() -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(-5, 20, (50, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(-2, 12, (50, 2))], axis=1).astype(
        np.float32
    )
    y, x = np.mgrid[:15, :18] + 0.5
    x1, y1, x2, y2 = boxes.T[:, :, None, None]
    inside = (x >= x1) & (x < x2) & (y >= y1) & (y < y2)
    assert Masks.from_boxes(boxes, (15, 18)) == Masks.from_dense(inside)
    assert len(Masks.from_boxes(np.zeros((0, 4)), (15, 18))) == 0


def test_empty_masks_have_the_shapes_of_none() -> None:
    none = Masks.empty((5, 6))
    assert none.image_size == (5, 6)
    assert none.area.shape == (0,)
    assert none.boxes.shape == (0, 4)
    assert none.boxes.dtype == np.float32
    assert none.to_dense().shape == (0, 5, 6)
    assert none.to_coco() == none.to_polygons() == none.to_uncompressed_rle() == []
    assert none.union().area.tolist() == [0]
    assert none.to_label_map().sum() == 0
    assert none.iou(none).shape == (0, 0)
    assert none.boundary() == none.remove_overlaps() == none.flip_vertical() == none
    assert none != Masks.empty((6, 5))
    assert none != "none"


@pytest.mark.parametrize(
    ("runs", "offsets", "message"),
    [
        ([[0, 0, 3], [0, 3, 4]], [0, 2], "mask 0 .* must not touch"),
        ([[1, 0, 1], [0, 0, 1]], [0, 2], "mask 0 .* sorted"),
        ([[0, 0, 1], [0, 2, 2]], [0, 1, 2], "mask 1 .* bottom > top"),
        ([[4, 0, 1]], [0, 1], "mask 0 .* inside the picture"),
        ([[0, 0, 6]], [0, 1], "mask 0 .* inside the picture"),
        ([[0, -1, 2]], [0, 1], "mask 0 .* inside the picture"),
        ([[0, 0, 1]], [0, 2], "from 0 to the number of runs"),
        ([[0, 0, 1]], [], "from 0 to the number of runs"),
        ([[0, 0, 1], [1, 0, 1]], [0, 2, 1, 2], "mask 1 .* offsets must not decrease"),
        ([[0, 0]], [0, 1], r"runs must be \(r, 3\)"),
        ([[0.5, 0, 1]], [0, 1], r"runs must be \(r, 3\)"),
    ],
)
def test_runs_not_in_the_stored_form_are_refused(runs: list, offsets: list, message: str) -> None:
    with pytest.raises(MaskError, match=message):
        Masks((5, 4), runs, offsets)


@pytest.mark.parametrize(
    ("dense", "message"),
    [
        (np.zeros((2, 3)), r"dense masks must be \(n, h, w\), got \(2, 3\)"),
        (np.zeros((2, 3, 3)), "boolean or integer, got float64: compare"),
        (np.zeros((2, 0, 3), bool), "1 or more"),
    ],
)
def test_bad_dense_masks_are_refused(dense: np.ndarray, message: str) -> None:
    with pytest.raises(MaskError, match=message):
        Masks.from_dense(dense)


@pytest.mark.parametrize("size", [(0, 3), (3,), (3, 4, 5), "ab", None, (-1, 4), (2**40, 4)])
def test_bad_sizes_are_refused(size: object) -> None:
    with pytest.raises(MaskError, match="image_size"):
        Masks.empty(size)


def test_bitmaps_beyond_the_picture_are_refused() -> None:
    with pytest.raises(MaskError, match=r"mask 1 .* inside the picture"):
        Masks.from_bitmaps(
            [(np.ones((2, 2), bool), (0, 0)), (np.ones((2, 2), bool), (3, 0))], (4, 4)
        )


def test_importing_masks_loads_neither_torch_nor_numba() -> None:
    code = (
        "import sys, maskwright.masks as m; m.Masks.empty; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'numba', 'cv2')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
