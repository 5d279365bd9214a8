"""Exact outlines: they rasterise back, and they are simple polygons."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from maskwright.errors import MaskError
from maskwright.masks import Masks, Outline


def doubled_area(ring: np.ndarray) -> int:
    x, y = ring.astype(int).T
    return int((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())


def test_outlines_rasterise_back_to_the_same_masks(dense: np.ndarray) -> None:
    masks = Masks.from_dense(dense)
    assert Masks.from_outlines(masks.to_polygons(), masks.image_size) == masks


def test_outlines_are_parts_joined_by_sides_and_their_areas_add_up(dense: np.ndarray) -> None:
    for mask, outlines in zip(dense, Masks.from_dense(dense).to_polygons(), strict=True):
        _, parts = ndimage.label(mask)
        _, holes = ndimage.label(~np.pad(mask, 1), np.ones((3, 3)))
        assert len(outlines) == parts
        rings = [ring for outline in outlines for ring in (outline.exterior, *outline.holes)]
        assert sum(doubled_area(ring) for ring in rings) == 2 * mask.sum()
        assert sum(len(outline.holes) for outline in outlines) >= holes - 1


@given(arrays(bool, array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=9)))
def test_rings_are_simple_and_turn_the_right_way(dense: np.ndarray) -> None:
    for outlines in Masks.from_dense(dense).to_polygons():
        for outline in outlines:
            assert doubled_area(outline.exterior) > 0
            assert all(doubled_area(hole) < 0 for hole in outline.holes)
            for ring in (outline.exterior, *outline.holes):
                assert len(np.unique(ring, axis=0)) == len(ring)
                steps = np.roll(ring, -1, axis=0) - ring
                assert ((steps == 0).sum(axis=1) == 1).all()
                # A corner at every turn and nowhere else.
                assert ((steps * np.roll(steps, 1, axis=0)).sum(axis=1) == 0).all()


def test_parts_that_touch_at_a_corner_are_apart_and_a_ring_closed_by_a_corner_has_a_hole() -> None:
    apart = Masks.from_dense(np.eye(3, dtype=int)[None]).to_polygons()[0]
    assert [outline.exterior.tolist() for outline in apart] == [
        [[i + 1, i], [i + 1, i + 1], [i, i + 1], [i, i]] for i in range(3)
    ]
    closed = np.array([[[1, 1, 1], [1, 0, 1], [1, 1, 0]]])
    (outline,) = Masks.from_dense(closed).to_polygons()[0]
    assert len(outline.holes) == 1
    assert abs(doubled_area(outline.holes[0])) == 2


def test_holes_stay_with_their_own_part() -> None:
    mask = np.zeros((12, 30), bool)
    mask[1:11, 1:11] = mask[1:11, 14:29] = True
    mask[3:9, 3:9] = mask[3:5, 16:18] = mask[6:8, 20:26] = False
    mask[5:7, 5:7] = True  # an island in a hole
    outlines = Masks.from_dense(mask[None]).to_polygons()[0]
    assert [len(outline.holes) for outline in outlines] == [1, 0, 2]


@given(
    st.lists(st.tuples(st.floats(-5, 25), st.floats(-5, 25)), min_size=3, max_size=8),
)
def test_outlines_with_fractions_set_the_pixels_whose_centre_is_inside(
    points: list[tuple[float, float]],
) -> None:
    ring = np.round(np.array(points) * 8) / 8 + 1 / 16  # centres never lie on a corner
    masks = Masks.from_outlines([[Outline(ring)]], (20, 18))
    y, x = np.mgrid[:20, :18] + 0.5
    sides = np.zeros((20, 18), int)
    far = np.roll(ring, -1, axis=0)
    on_edge = np.zeros((20, 18), bool)
    for (x0, y0), (x1, y1) in zip(ring, far, strict=True):
        if x0 == x1:
            continue
        height = y0 + (x - x0) * (y1 - y0) / (x1 - x0)
        crosses = (min(x0, x1) <= x) & (x < max(x0, x1))
        sides += crosses & (height < y)
        on_edge |= crosses & (np.abs(height - y) < 1e-9)
    assert ((masks.to_dense()[0] == (sides % 2 == 1)) | on_edge).all()


def test_outlines_reaching_beyond_the_picture_are_cut() -> None:
    around = Outline(
        np.array([[-5, -5], [50, -5], [50, 50], [-5, 50]]),
        (np.array([[1, 1], [1, 3], [3, 3], [3, 1]]),),
    )
    masks = Masks.from_outlines([[around], []], (4, 6))
    assert masks.area.tolist() == [20, 0]
    assert len(Masks.from_outlines([], (4, 6))) == 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (Outline(np.zeros((2, 2))), "object 1 has 2 points"),
        (Outline(np.full((3, 2), np.nan)), "object 1 has NaN"),
        ([0, 0, 1, 0, 1, 1], "object 1 must be a list of Outline"),
    ],
)
def test_bad_outlines_are_refused_by_index(wrong: object, message: str) -> None:
    with pytest.raises(MaskError, match=message):
        Masks.from_outlines([[], [wrong]], (4, 5))
