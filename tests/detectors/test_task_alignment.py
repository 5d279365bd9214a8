"""Task-aligned assignment on scenes small enough to be followed by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from maskwright.detectors.task_alignment import Alignment, align_cells
from maskwright.ops import BACKGROUND, IGNORED
from maskwright.structures import Instances


def _truth(boxes: list, labels: list[int], is_crowd: list[bool] | None = None) -> Instances:
    return Instances(
        image_size=(32, 32),
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor(labels, dtype=torch.int64),
        is_crowd=None if is_crowd is None else torch.tensor(is_crowd),
    )


def _align(scores, boxes, centres, targets: Instances, **options: float) -> Alignment:
    options = {"cells_per_object": 2, "score_power": 1.0, "iou_power": 6.0} | options
    return align_cells(
        torch.as_tensor(scores, dtype=torch.float32),
        torch.as_tensor(boxes, dtype=torch.float32),
        torch.as_tensor(centres, dtype=torch.float32),
        targets,
        **options,
    )


_CENTRES = [(4, 4), (12, 4), (20, 4), (28, 4)]


def test_the_best_aligned_cells_in_the_box_learn_it() -> None:
    """IoU 1, 1/2 and 3/4; scores 0.1, 0.9 and 0.9: alignment 0.1, 0.014 and 0.160."""
    truth = _truth([(0, 0, 24, 8)], [1])
    boxes = [(0, 0, 24, 8), (0, 0, 24, 4), (0, 0, 18, 8), (0, 0, 24, 8)]
    scores = [(0.9, 0.1), (0.1, 0.9), (0.1, 0.9), (0.9, 0.9)]
    found = _align(scores, boxes, _CENTRES, truth)
    assert found.matched.tolist() == [0, BACKGROUND, 0, BACKGROUND]
    best = 0.9 * 0.75**6
    np.testing.assert_allclose(found.quality, [0.1 / best, 0, 1, 0], rtol=1e-5)


def test_the_powers_weigh_score_against_overlap() -> None:
    truth = _truth([(0, 0, 24, 8)], [0])
    boxes = [(0, 0, 24, 8), (0, 0, 12, 8), (0, 0, 24, 4), (0, 0, 24, 8)]
    scores = [[0.2], [0.9], [0.8], [0.9]]
    by_iou = _align(scores, boxes, _CENTRES, truth, cells_per_object=1)
    by_score = _align(scores, boxes, _CENTRES, truth, cells_per_object=1, iou_power=0.1)
    assert by_iou.matched.tolist() == [0, -1, -1, -1]
    assert by_score.matched.tolist() == [-1, 0, -1, -1]
    assert by_score.quality[1] == 0.5


def test_a_cell_wanted_twice_learns_what_its_box_overlaps_most() -> None:
    truth = _truth([(0, 0, 16, 8), (8, 0, 24, 8)], [0, 0])
    boxes = [(0, 0, 16, 8), (8, 0, 23, 8), (8, 0, 20, 8), (0, 0, 1, 1)]
    found = _align([[0.5]] * 4, boxes, _CENTRES, truth)
    assert found.matched.tolist() == [0, 1, 1, BACKGROUND]
    # the first object's largest IoU is that of the cell it keeps
    np.testing.assert_allclose(found.quality[:2], [1.0, 15 / 16], rtol=1e-6)


def test_an_object_between_the_centres_goes_to_the_nearest_cell() -> None:
    truth = _truth([(6, 3, 8, 5)], [0])
    boxes = [(2, 2, 8, 6), (10, 2, 14, 6), (0, 0, 1, 1), (0, 0, 1, 1)]
    found = _align([[0.5]] * 4, boxes, _CENTRES, truth)
    assert found.matched.tolist() == [0, -1, -1, -1]
    np.testing.assert_allclose(found.quality[0], 4 / 24, rtol=1e-6)


def test_crowds_are_ignored_unless_an_object_is_in_front() -> None:
    truth = _truth([(8, 0, 24, 8), (0, 0, 9, 8)], [0, 1], [True, False])
    boxes = [(0, 0, 9, 8)] * 4
    found = _align([[0.5, 0.5]] * 4, boxes, _CENTRES, truth)
    assert found.matched.tolist() == [1, IGNORED, IGNORED, BACKGROUND]
    assert found.quality.tolist() == [1.0, 0, 0, 0]


def test_no_objects_make_all_background() -> None:
    found = _align([[0.5]] * 4, [(0, 0, 9, 8)] * 4, _CENTRES, _truth([], []))
    assert found.matched.tolist() == [BACKGROUND] * 4
    assert not found.quality.any()


@pytest.mark.parametrize("iou_power", [1.0, 6.0])
def test_vanishing_alignments_give_finite_qualities(iou_power: float) -> None:
    truth = _truth([(0, 0, 32, 8)], [0])
    found = _align([[1e-30]] * 4, [(4, 4, 4.001, 4.001)] * 4, _CENTRES, truth, iou_power=iou_power)
    assert found.quality.isfinite().all()


def _reference(scores, boxes, centres, truth, labels, count) -> tuple[np.ndarray, np.ndarray]:
    """Object by object, cell by cell, in float64."""

    def iou(one, other):
        width = min(one[2], other[2]) - max(one[0], other[0])
        height = min(one[3], other[3]) - max(one[1], other[1])
        shared = max(width, 0) * max(height, 0)
        areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
        return shared / (sum(areas) - shared)

    wanted: dict[int, list[int]] = {}
    for index, box in enumerate(truth):
        inside = [
            cell
            for cell, (x, y) in enumerate(centres)
            if box[0] < x < box[2] and box[1] < y < box[3]
        ] or [int(np.hypot(*(centres - [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]).T).argmin())]
        value = {c: scores[c, labels[index]] * iou(boxes[c], box) ** 6 for c in inside}
        for cell in sorted(inside, key=value.__getitem__, reverse=True)[:count]:
            wanted.setdefault(cell, []).append(index)
    matched, quality = np.full(len(centres), BACKGROUND), np.zeros(len(centres))
    for cell, objects in wanted.items():
        matched[cell] = max(objects, key=lambda index: iou(boxes[cell], truth[index]))
    for index, box in enumerate(truth):
        cells = np.flatnonzero(matched == index)
        overlap = np.array([iou(boxes[cell], box) for cell in cells])
        value = scores[cells, labels[index]] * overlap**6
        if len(cells):
            quality[cells] = value / value.max() * overlap.max()
    return matched, quality


@pytest.mark.parametrize("seed", range(4))
def test_random_scenes_agree_with_a_version_in_plain_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[4:64:8, 4:64:8]
    centres = np.stack((x.ravel(), y.ravel()), axis=1).astype(float)
    corner = rng.uniform(0, 50, (12, 2))
    truth = np.concatenate((corner, corner + rng.uniform(1, 30, (12, 2))), axis=1)
    labels = rng.integers(0, 3, 12)
    scores = rng.uniform(0.1, 1, (len(centres), 3))
    boxes = np.concatenate(
        [centres - rng.uniform(1, 20, centres.shape), centres + rng.uniform(1, 20, centres.shape)],
        axis=1,
    )
    expected = _reference(scores, boxes, centres, truth, labels, 4)
    found = align_cells(
        torch.from_numpy(scores),
        torch.from_numpy(boxes),
        torch.from_numpy(centres),
        Instances(
            image_size=(64, 64), boxes=torch.from_numpy(truth), labels=torch.from_numpy(labels)
        ),
        cells_per_object=4,
        score_power=1.0,
        iou_power=6.0,
    )
    np.testing.assert_array_equal(found.matched, expected[0])
    np.testing.assert_allclose(found.quality, expected[1], rtol=1e-9)
