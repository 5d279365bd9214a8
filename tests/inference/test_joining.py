"""Truth cut into tiles, as a perfect detector would find it, must come back to the pixel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from maskwright.errors import ConfigError
from maskwright.inference.joining import join_tiles
from maskwright.inference.tiling import TilePlan, plan_tiles
from maskwright.masks import Masks
from maskwright.structures import Instances


def _found(masks: Masks, labels: np.ndarray, scores: np.ndarray) -> Instances:
    return Instances(
        image_size=masks.image_size,
        boxes=torch.from_numpy(np.ascontiguousarray(masks.boxes)),
        labels=torch.from_numpy(labels.astype(np.int64)),
        scores=torch.from_numpy(scores.astype(np.float32)),
        masks=masks,
        class_names=("a", "b"),
    )


def _cut(truth: Instances, plan: TilePlan, rng: np.random.Generator) -> list[Instances]:
    """What a perfect detector finds in each window, in any order."""
    assert truth.masks is not None
    assert truth.scores is not None
    tiles = []
    for box in plan:
        seen = truth.masks.crop(box)
        kept = rng.permutation(np.flatnonzero(seen.area > 0))
        tiles.append(_found(seen[kept], truth.labels.numpy()[kept], truth.scores.numpy()[kept]))
    return tiles


def _assert_same_objects(found: Instances, truth: Instances) -> None:
    assert found.image_size == truth.image_size
    assert found.masks is not None
    assert truth.masks is not None

    def described(instances: Instances) -> list[tuple[object, ...]]:
        assert instances.masks is not None
        assert instances.scores is not None
        return sorted(
            (mask.runs.tolist(), label, round(score, 5), [round(x, 3) for x in box])
            for mask, label, score, box in zip(
                instances.masks,
                instances.labels.tolist(),
                instances.scores.tolist(),
                instances.boxes.tolist(),
                strict=True,
            )
        )

    assert described(found) == described(truth)


def _touching_regions(size: tuple[int, int], cells: int, rng: np.random.Generator) -> np.ndarray:
    """A label map without background: connected, winding regions that touch their neighbours."""
    seeds = np.zeros(size, int)
    seeds.ravel()[rng.choice(seeds.size, min(cells, seeds.size), replace=False)] = 1
    noise = ndimage.gaussian_filter(rng.random(size), 2.0)
    distance, nearest = ndimage.distance_transform_edt(seeds == 0, return_indices=True)
    regions = nearest[0] * size[1] + nearest[1] + (noise + distance * 0 > noise.mean()) * seeds.size
    parts = np.zeros(size, int)
    count = 0
    for value in np.unique(regions):
        connected, number = ndimage.label(regions == value)
        parts += np.where(connected > 0, connected + count, 0)
        count += number
    return parts


@st.composite
def _scenes(draw: st.DrawFn) -> tuple[Instances, TilePlan, np.random.Generator]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = (draw(st.integers(20, 120)), draw(st.integers(20, 120)))
    side = draw(st.integers(16, 60))
    overlap = draw(st.integers(1, side // 2))
    regions = _touching_regions(size, draw(st.integers(1, 60)), rng)
    # Some regions are background, which makes holes and gaps.
    regions[np.isin(regions, rng.choice(regions.max() + 1, (regions.max() + 1) // 4))] = 0
    masks, _ = Masks.from_label_map(regions)
    labels = rng.integers(0, draw(st.integers(1, 2)), len(masks))
    truth = _found(masks, labels, rng.uniform(0.1, 1, len(masks)))
    return truth, plan_tiles(size, tiles=side, overlap=overlap), rng


# The first example may compile a kernel.
@settings(max_examples=150, deadline=None)
@given(_scenes())
def test_touching_objects_of_any_size_come_back_exactly(
    scene: tuple[Instances, TilePlan, np.random.Generator],
) -> None:
    truth, plan, rng = scene
    _assert_same_objects(join_tiles(plan, _cut(truth, plan, rng)), truth)


@pytest.mark.parametrize("seed", range(10))
def test_parts_and_holes_come_back_exactly(seed: int) -> None:
    rng = np.random.default_rng(seed)
    plan = plan_tiles((100, 130), tiles=48, overlap=20)
    grown = []
    for _ in range(20):
        # Two parts, up to the overlap apart, each with a hole; one object.
        y, x = rng.integers(0, 80), rng.integers(0, 110)
        one = np.zeros((100, 130), bool)
        one[y : y + 5, x : x + 5] = True
        one[y + 10 : y + 17, x + 9 : x + 16] = True
        one[y + 2, x + 2] = one[min(y + 12, 99), min(x + 12, 129)] = False
        for other in grown:
            one &= ~other
        if one.any():
            grown.append(one)
    masks = Masks.from_dense(np.stack(grown))
    truth = _found(masks, np.zeros(len(masks)), rng.uniform(0.1, 1, len(masks)))
    _assert_same_objects(join_tiles(plan, _cut(truth, plan, rng)), truth)


def _without_twins(masks: Masks, plan: TilePlan) -> Masks:
    """The masks but those that some two windows together cannot tell from an earlier one."""
    dense, kept = masks.to_dense(), []
    for i in range(len(masks)):
        is_twin = False
        for x1, y1, x2, y2 in plan:
            for u1, v1, u2, v2 in plan:
                seam = (slice(max(y1, v1), min(y2, v2)), slice(max(x1, u1), min(x2, u2)))
                one = dense[i][seam]
                if (x1, y1) != (u1, v1) and one.any():
                    is_twin |= any(np.array_equal(one, dense[j][seam]) for j in kept)
        if not is_twin:
            kept.append(i)
    return masks[kept]


@pytest.mark.parametrize("seed", range(10))
def test_objects_that_overlap_each_other_come_back_exactly(seed: int) -> None:
    rng = np.random.default_rng(seed)
    plan = plan_tiles((150, 150), tiles=50, overlap=16)
    corners = rng.integers(0, 130, (40, 2))
    sides = rng.integers(3, 60, (40, 2))
    boxes = np.concatenate([corners, np.minimum(corners + sides, 150)], axis=1)
    masks = _without_twins(Masks.from_boxes(boxes, (150, 150)), plan)
    assert len(masks) > 20
    truth = _found(masks, np.zeros(len(masks)), rng.uniform(0.1, 1, len(masks)))
    _assert_same_objects(join_tiles(plan, _cut(truth, plan, rng)), truth)


def test_an_object_over_all_tiles_is_one() -> None:
    image = np.zeros((300, 400), int)
    image[5:-5, 5:-5] = 1
    image[20:-20, 20:-20] = 2
    image[140:150, 30:-30] = 0
    masks, _ = Masks.from_label_map(image)
    truth = _found(masks, np.zeros(2), np.array([0.9, 0.8]))
    plan = plan_tiles((300, 400), tiles=64, overlap=8)
    found = join_tiles(plan, _cut(truth, plan, np.random.default_rng(0)))
    _assert_same_objects(found, truth)


def _detection(plan: TilePlan, tile: int, boxes: list[list[int]], scores: list[float]) -> Instances:
    """Boxes, given in the frame of the picture, as found in one tile."""
    x, y, x2, y2 = list(plan)[tile]
    local = np.array(boxes).reshape(-1, 4) - [x, y, x, y]
    masks = Masks.from_boxes(local, (y2 - y, x2 - x))
    return _found(masks, np.zeros(len(boxes)), np.array(scores))


@pytest.fixture
def two() -> TilePlan:
    """Two tiles, [0, 60) and [40, 100), of a picture 60 high and 100 wide."""
    plan = plan_tiles((60, 100), tiles=60, overlap=20)
    assert plan.columns == (0, 40)
    return plan


def test_the_tile_that_sees_an_object_best_decides_its_mask_and_score(two: TilePlan) -> None:
    left = _detection(two, 0, [[50, 10, 60, 30]], [0.9])
    right = _detection(two, 1, [[51, 10, 70, 29]], [0.6])
    found = join_tiles(two, [left, right])
    assert found.boxes.tolist() == [[51, 10, 70, 29]]
    assert found.scores is not None
    assert found.scores.tolist() == pytest.approx([0.6])


def test_a_fragment_that_the_better_tile_does_not_confirm_is_no_object(two: TilePlan) -> None:
    sliver = _detection(two, 0, [[57, 10, 60, 30]], [0.9])
    whole = _detection(two, 1, [[60, 10, 75, 30]], [0.8])
    found = join_tiles(two, [sliver, whole])
    assert found.boxes.tolist() == [[60, 10, 75, 30]]


def test_fragments_of_a_large_object_are_united_with_the_score_of_their_areas(
    two: TilePlan,
) -> None:
    left = _detection(two, 0, [[10, 10, 58, 30]], [0.9])
    right = _detection(two, 1, [[44, 11, 95, 30]], [0.5])
    found = join_tiles(two, [left, right])
    assert found.boxes.tolist() == [[10, 10, 95, 30]]
    assert found.masks is not None
    assert found.masks.area.tolist() == [48 * 20 + 37 * 19]
    areas = np.array([48 * 20, 51 * 19])
    assert found.scores is not None
    assert found.scores.tolist() == pytest.approx([(areas * [0.9, 0.5]).sum() / areas.sum()])


def test_two_objects_of_one_tile_are_not_merged_by_a_neighbour_that_saw_them_as_one(
    two: TilePlan,
) -> None:
    left = _detection(two, 0, [[42, 10, 46, 30], [46, 10, 52, 30]], [0.9, 0.8])
    right = _detection(two, 1, [[42, 10, 52, 30]], [0.7])
    found = join_tiles(two, [left, right])
    assert found.boxes.tolist() == [[42, 10, 46, 30], [46, 10, 52, 30]]


def test_cut_arms_are_joined_by_the_tile_that_sees_their_bend(two: TilePlan) -> None:
    bend = np.zeros((60, 100), bool)
    bend[10:20, 5:90] = bend[40:50, 5:90] = bend[10:50, 70:90] = True
    arms = _detection(two, 0, [[5, 10, 60, 20], [5, 40, 60, 50]], [0.9, 0.9])
    right = _found(Masks.from_dense(bend[None, :, 40:]), np.zeros(1), np.array([0.9]))
    found = join_tiles(two, [arms, right])
    assert found.masks is not None
    assert np.array_equal(found.masks.to_dense(), bend[None])


def test_classes_are_not_mixed(two: TilePlan) -> None:
    left = _detection(two, 0, [[10, 10, 58, 30]], [0.9])
    right = _detection(two, 1, [[44, 11, 95, 30]], [0.5])
    other = replace(right, labels=torch.ones(1, dtype=torch.int64))
    assert join_tiles(two, [left, other]).labels.tolist() == [0, 1]


def test_boxes_stand_in_where_there_are_no_masks(two: TilePlan) -> None:
    left = replace(_detection(two, 0, [[10, 10, 58, 30]], [0.9]), masks=None)
    right = replace(_detection(two, 1, [[44, 11, 95, 30]], [0.5]), masks=None)
    found = join_tiles(two, [left, right])
    assert found.boxes.tolist() == [[10, 10, 95, 30]]
    assert found.masks is None


def test_no_objects_give_none(two: TilePlan) -> None:
    nothing = _detection(two, 0, [], [])
    found = join_tiles(two, [nothing, nothing])
    assert (len(found), found.image_size, found.class_names) == (0, (60, 100), ("a", "b"))
    assert found.masks == Masks.empty((60, 100))


def test_an_object_without_a_pixel_is_kept_once(two: TilePlan) -> None:
    empty = _detection(two, 0, [[45, 10, 45, 30]], [0.9])
    again = _detection(two, 1, [[45, 10, 45, 30]], [0.9])
    assert len(join_tiles(two, [empty, again])) == 1


def test_one_tile_is_handed_through() -> None:
    plan = plan_tiles((60, 100), tiles=100, overlap=0)
    only = _detection(plan, 0, [[1, 2, 3, 4]], [0.5])
    assert join_tiles(plan, [only]) is only


def test_tiles_and_plan_must_agree(two: TilePlan) -> None:
    nothing = _detection(two, 0, [], [])
    with pytest.raises(ConfigError, match="the plan has 2 tiles, got the objects of 1"):
        join_tiles(two, [nothing])
    with pytest.raises(ConfigError, match="true objects without scores"):
        join_tiles(two, [replace(nothing, scores=None), nothing])
