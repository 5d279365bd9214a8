"""Which objects of two results are the same but for rounding."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from maskwright.errors import EvaluationError
from maskwright.inference.export.sameness import Selection, count_differing
from maskwright.masks import Masks
from maskwright.recipes.same_objects import require_same_objects
from maskwright.structures import Instances

_SELECTION = Selection(thresholds=np.array([0.05, 0.05]), most=10)


def _found() -> Instances:
    boxes = [[0, 0, 50, 50], [10, 10, 60, 70], [30, 0, 90, 90]]
    return Instances(
        image_size=(100, 100),
        boxes=torch.tensor(boxes, dtype=torch.float32),
        labels=torch.tensor([0, 1, 0]),
        scores=torch.tensor([0.9, 0.5, 0.3]),
        masks=Masks.from_boxes(boxes, (100, 100)),
    )


def _count(found: Instances, expected: Instances, selection: Selection = _SELECTION) -> int:
    count = count_differing(found, expected, selection)
    assert count == count_differing(expected, found, selection)
    return count


def test_equal_results_do_not_differ_in_any_order() -> None:
    assert _count(_found(), _found()) == 0
    assert _count(_found()[[2, 0, 1]], _found()) == 0
    assert _count(_found()[[]], _found()[[]]) == 0


def test_rounding_is_no_difference_and_more_is_one_on_both_sides() -> None:
    found = _found()
    for shift, differing in ((0.009, 0), (0.02, 2)):
        boxes = found.boxes.clone()
        boxes[0, 0] += shift
        assert _count(replace(found, boxes=boxes), found) == differing
    for shift, differing in ((0.00009, 0), (0.001, 2)):
        scores = found.scores.clone()
        scores[0] += shift
        assert _count(replace(found, scores=scores), found) == differing
    assert _count(replace(found, labels=torch.tensor([1, 1, 0])), found) == 2


def test_a_mask_may_differ_in_one_pixel_of_ten_thousand() -> None:
    found = _found()
    dense = found.masks.to_dense().copy()
    dense[0, 0, 0] = False
    assert _count(replace(found, masks=Masks.from_dense(dense)), found) == 0
    dense[0, 0, 1] = False
    assert _count(replace(found, masks=Masks.from_dense(dense)), found) == 2
    assert _count(replace(found, masks=None), found) == 6
    assert _count(replace(found, masks=None), replace(found, masks=None)) == 0


def test_an_object_is_the_counterpart_of_one_other_only() -> None:
    assert _count(_found()[[0, 0, 1, 2]], _found()) == 1


def test_what_rounding_takes_over_the_threshold_is_no_difference() -> None:
    found = replace(_found(), scores=torch.tensor([0.9, 0.5, 0.05005]))
    assert _count(found[:2], found) == 0
    assert _count(found[:1], found) == 1
    unknown = replace(_SELECTION, thresholds=np.array([np.nan, np.nan]))
    assert _count(found[:2], found, unknown) == 1


def test_what_rounding_takes_over_the_cut_to_the_best_is_no_difference() -> None:
    ours = _found()
    theirs = replace(ours, boxes=ours.boxes + torch.tensor([[0.0], [0.0], [5.0]]))
    assert _count(ours, theirs) == 2  # each has another third, of equal score
    assert _count(ours, theirs, replace(_SELECTION, most=3)) == 0


def test_borders_in_large_pictures_may_be_off_in_proportion() -> None:
    found = replace(_found(), image_size=(3000, 4000), masks=None)
    assert _count(replace(found, boxes=found.boxes + 0.03), found) == 0
    assert _count(replace(found, boxes=found.boxes + 0.05), found) == 6


def test_one_object_of_a_thousand_may_differ(tmp_path) -> None:
    require_same_objects(0, (), tmp_path)
    require_same_objects(1000, (("a.png", 1),), tmp_path)
    with pytest.raises(EvaluationError, match=r"3 objects are not.*in a\.png \(2\), b\.png \(1\)"):
        require_same_objects(2999, (("a.png", 2), ("b.png", 1)), tmp_path)
