from __future__ import annotations

import numpy as np
import pytest

from maskwright.masks import Masks
from maskwright.masks.pairs import (
    common_areas,
    meeting_pairs,
    meeting_pairs_of_groups,
    window_areas,
)
from maskwright.masks.runs import offsets_of, run_boxes


def _every_pair(dense: np.ndarray) -> np.ndarray:
    return np.stack(np.triu_indices(len(dense), 1), axis=1)


def test_common_areas_are_those_of_the_pixels(dense: np.ndarray) -> None:
    masks, pairs = Masks.from_dense(dense), _every_pair(dense)
    expected = (dense[pairs[:, 0]] & dense[pairs[:, 1]]).sum(axis=(1, 2))
    np.testing.assert_array_equal(common_areas(masks.runs, masks.offsets, pairs), expected)


def test_window_areas_are_those_of_the_pixels(dense: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    masks, height, width = Masks.from_dense(dense), *dense.shape[1:]
    indices = rng.integers(0, max(len(dense), 1), 20 if len(dense) else 0)
    x = np.sort(rng.integers(0, width + 1, (len(indices), 2)), axis=1)
    y = np.sort(rng.integers(0, height + 1, (len(indices), 2)), axis=1)
    windows = np.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], axis=1).astype(np.int32)
    expected = [
        dense[i, y1:y2, x1:x2].sum() for i, (x1, y1, x2, y2) in zip(indices, windows, strict=True)
    ]
    areas = window_areas(masks.runs, masks.offsets, indices, windows)
    assert areas.tolist() == expected


def _meet(boxes: np.ndarray, i: int, j: int) -> bool:
    return bool(
        (boxes[i, :2] < boxes[j, 2:]).all()
        and (boxes[j, :2] < boxes[i, 2:]).all()
        and boxes[i, 2] > boxes[i, 0]
        and boxes[j, 2] > boxes[j, 0]
    )


@pytest.mark.parametrize("n", [0, 1, 60])
def test_pairs_that_meet_are_found_as_by_trying_all(n: int) -> None:
    rng = np.random.default_rng(n)
    corners = rng.integers(0, 50, (n, 2))
    boxes = np.concatenate([corners, corners + rng.integers(1, 12, (n, 2))], axis=1)
    boxes[::7] = 0
    expected = [(i, j) for i in range(n) for j in range(i + 1, n) if _meet(boxes, i, j)]
    assert [tuple(pair) for pair in meeting_pairs(boxes.astype(np.int32)).tolist()] == expected


@pytest.mark.parametrize("n", [0, 1, 60])
def test_pairs_of_two_groups_that_meet_are_found_as_by_trying_all(n: int) -> None:
    rng = np.random.default_rng(n)
    windows = np.array([[x, y, x + 30, y + 30] for y in (0, 20, 40) for x in (0, 20, 40)], np.int32)
    group = np.sort(rng.integers(0, 9, n))
    corners = rng.integers(0, 28, (n, 2))
    ends = np.minimum(corners + rng.integers(1, 25, (n, 2)), 30)
    boxes = np.concatenate([corners, ends], axis=1) + windows[group][:, [0, 1, 0, 1]]
    boxes[::11] = 0
    boxes = boxes[np.lexsort((boxes[:, 0], group))].astype(np.int32)
    expected = {
        (i, j)
        for i in range(n)
        for j in range(i + 1, n)
        if group[i] != group[j] and _meet(boxes, i, j)
    }
    offsets = offsets_of(np.bincount(group, minlength=9))
    pairs = meeting_pairs_of_groups(boxes, offsets, windows)
    assert len(pairs) == len(expected)
    assert {tuple(pair) for pair in pairs.tolist()} == expected


def test_boxes_of_empty_masks_meet_nothing() -> None:
    masks = Masks.from_dense(np.stack([np.zeros((4, 4)), np.ones((4, 4)), np.zeros((4, 4))]) > 0)
    assert len(meeting_pairs(run_boxes(masks.runs, masks.offsets))) == 0
