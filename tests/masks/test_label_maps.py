"""Label maps, and what happens where objects overlap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from maskwright.errors import MaskError
from maskwright.masks import Masks

maps = arrays(
    np.int16, array_shapes(min_dims=2, max_dims=2, max_side=15), elements=st.integers(-2, 4)
)


@given(maps)
def test_label_maps_come_back(label_map: np.ndarray) -> None:
    masks, values = Masks.from_label_map(label_map)
    assert values.tolist() == sorted(set(label_map.ravel().tolist()) - {0})
    assert masks == Masks.from_dense(label_map[None] == values[:, None, None])
    np.testing.assert_array_equal(masks.to_label_map(values=values), label_map)


@given(arrays(bool, st.tuples(st.integers(0, 4), st.integers(1, 9), st.integers(1, 9))))
def test_overlaps_follow_the_rule_or_are_an_error(dense: np.ndarray) -> None:
    masks = Masks.from_dense(dense)
    values = np.arange(10, 10 + len(dense))
    first = np.zeros(dense.shape[1:], int)
    last = first.copy()
    for mask, value in zip(dense, values, strict=True):
        first[mask & (first == 0)] = value
        last[mask] = value
    np.testing.assert_array_equal(masks.to_label_map("first", values), first)
    np.testing.assert_array_equal(masks.to_label_map("last", values), last)
    if (dense.sum(axis=0) > 1).any():
        with pytest.raises(MaskError, match=r"masks \d and \d overlap .* overlap=\"first\""):
            masks.to_label_map()
    else:
        np.testing.assert_array_equal(masks.to_label_map(values=values), last)


def test_default_values_count_from_one_and_the_map_is_32_bits() -> None:
    label_map = Masks.from_dense(np.eye(3, dtype=bool)[:, None]).to_label_map()
    assert label_map.dtype == np.int32
    assert label_map.tolist() == [[1, 2, 3]]


def test_the_error_names_the_objects_that_overlap() -> None:
    masks = Masks.from_boxes([[0, 0, 2, 2], [4, 4, 6, 6], [5, 5, 7, 7]], (8, 8))
    with pytest.raises(MaskError, match="masks 1 and 2 overlap"):
        masks.to_label_map()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"values": [1]}, r"values must be \(2,\) integers"),
        ({"values": [1.0, 2.0]}, r"values must be \(2,\) integers"),
        ({"values": [0, 1]}, "not be 0"),
        ({"values": [2**40, 1]}, "fit 32 bits"),
        ({"overlap": "frist"}, 'overlap must be "error", "first" or "last"'),
    ],
)
def test_bad_values_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(MaskError, match=message):
        Masks.from_dense(np.eye(2, dtype=bool)[:, None]).to_label_map(**arguments)


@pytest.mark.parametrize(
    "label_map", [np.zeros((2, 2)), np.zeros(3, int), np.zeros((1, 2, 2), int)]
)
def test_maps_that_are_not_integers_of_one_picture_are_refused(label_map: np.ndarray) -> None:
    with pytest.raises(MaskError, match="label map must be"):
        Masks.from_label_map(label_map)
