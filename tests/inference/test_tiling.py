from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskwright.errors import ConfigError
from maskwright.inference.tiling import TilePlan, plan_tiles


@st.composite
def _plans(draw: st.DrawFn) -> tuple[TilePlan, int]:
    side = draw(st.integers(16, 90))
    overlap = draw(st.integers(0, side // 2))
    size = (draw(st.integers(1, 300)), draw(st.integers(1, 300)))
    return plan_tiles(size, tiles=side, overlap=overlap), overlap


@given(_plans())
def test_windows_cover_the_picture_and_neighbours_share_the_overlap(
    planned: tuple[TilePlan, int],
) -> None:
    plan, overlap = planned
    covered = np.zeros(plan.image_size, int)
    for x1, y1, x2, y2 in plan:
        assert 0 <= x1 < x2 <= plan.image_size[1]
        assert 0 <= y1 < y2 <= plan.image_size[0]
        assert (y2 - y1, x2 - x1) == plan.tile_size
        covered[y1:y2, x1:x2] += 1
    assert covered.min() >= 1
    for starts, side in zip((plan.rows, plan.columns), plan.tile_size, strict=True):
        assert all(b - a <= side - overlap for a, b in pairwise(starts))
        assert len(set(starts)) == len(starts)
    assert len(plan) == len(list(plan)) == len(plan.windows)


@given(_plans(), st.data())
def test_a_box_that_some_window_holds_uncut_is_held_by_the_deepest(
    planned: tuple[TilePlan, int], data: st.DataObject
) -> None:
    plan, overlap = planned
    height, width = plan.image_size
    x1, y1 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    x2 = data.draw(st.integers(x1 + 1, min(width, x1 + 60)))
    y2 = data.draw(st.integers(y1 + 1, min(height, y1 + 60)))
    box = np.array([x1, y1, x2, y2])
    inside = (plan.interiors[:, :2] <= box[:2]).all(1) & (plan.interiors[:, 2:] >= box[2:]).all(1)
    deepest = plan.deepest(np.array([[(x1 + x2) / 2, (y1 + y2) / 2]]))[0]
    assert inside[deepest] == inside.any()
    if max(x2 - x1, y2 - y1) + 2 <= overlap:
        assert inside.any(), "an object smaller than the overlap lies whole in some window"


def test_a_picture_that_fits_a_tile_is_one_window() -> None:
    assert list(plan_tiles((50, 64), tiles=64, overlap=8)) == [(0, 0, 64, 50)]
    assert len(plan_tiles((50, 65), tiles=64, overlap=8)) == 2


def test_auto_takes_the_size_of_the_training_pictures_and_of_their_objects() -> None:
    plan = plan_tiles((2000, 3000), picture_side=256, object_side=40)
    assert plan.tile_size == (256, 256)
    assert max(np.diff(plan.rows)) <= 256 - 48
    assert max(np.diff(plan_tiles((2000, 3000), picture_side=256).columns)) <= 192
    assert max(np.diff(plan_tiles((2000, 9000), picture_side=256, object_side=999).rows)) <= 128


def test_auto_leaves_pictures_little_larger_than_a_tile_whole() -> None:
    assert list(plan_tiles((300, 350), picture_side=256)) == [(0, 0, 350, 300)]
    assert list(plan_tiles((256, 500), picture_side=256)) == [(0, 0, 500, 256)]
    assert len(plan_tiles((300, 460), picture_side=256)) > 1
    assert len(plan_tiles((60, 700), picture_side=256)) > 1


@pytest.mark.parametrize("tiles", [0, 15, -3, True, 1.5])
def test_tiles_must_have_a_side(tiles: object) -> None:
    with pytest.raises(ConfigError, match='tiles must be "auto" or a side of 16 or more'):
        plan_tiles((100, 100), tiles=tiles)  # type: ignore[arg-type]


@pytest.mark.parametrize("overlap", [-1, 33])
def test_overlap_is_at_most_half_a_tile(overlap: int) -> None:
    with pytest.raises(ConfigError, match=r"from 0 to half a tile \(32 of 64 pixels\)"):
        plan_tiles((100, 100), tiles=64, overlap=overlap)


def test_auto_needs_a_model_that_knows_its_pictures() -> None:
    with pytest.raises(ConfigError, match="give the side of a tile"):
        plan_tiles((100, 100))
