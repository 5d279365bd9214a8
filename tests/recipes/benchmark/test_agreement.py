from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from maskwright.masks import Masks
from maskwright.recipes.benchmark.agreement import agreement_of, worst_agreement


def _result(box: list[float], score: float, pixels: int) -> dict[str, Any]:
    dense = np.zeros((1, 10, 20), bool)
    dense[0].flat[:pixels] = True
    (mask,) = Masks.from_dense(dense).to_coco()
    return {"bbox": box, "score": score, "segmentation": mask, "category_id": 1}


def test_equal_results_agree_in_any_order() -> None:
    results = [_result([0, 0, 5, 5], 0.9, 30), _result([9, 2, 5, 5], 0.8, 50)]
    found = agreement_of(results, results[::-1])
    assert (found.objects, found.other_objects, found.matched) == (2, 2, 2)
    assert (found.score, found.box_px, found.mask_pixels) == (0.0, 0.0, 0.0)


def test_differences_are_the_largest_of_matched_objects() -> None:
    ours = [_result([0, 0, 5, 5], 0.9, 30), _result([9, 2, 5, 5], 0.8, 50)]
    theirs = [_result([0, 0, 5, 5.5], 0.901, 34), _result([9, 2, 5, 5], 0.8, 50)]
    found = agreement_of(ours, theirs)
    assert found.matched == 2
    assert found.score == pytest.approx(0.001)
    assert found.box_px == pytest.approx(0.5)
    assert found.mask_pixels == pytest.approx(4 / 200)


def test_objects_far_apart_are_two_and_are_not_measured() -> None:
    found = agreement_of([_result([0, 0, 5, 5], 0.9, 30)], [_result([9, 0, 5, 5], 0.9, 90)])
    assert (found.matched, found.box_px, found.mask_pixels) == (0, 0.0, 0.0)


def test_nothing_agrees_with_nothing() -> None:
    assert agreement_of([], []).matched == 0
    one = [_result([0, 0, 5, 5], 0.9, 30)]
    assert agreement_of(one, []).other_objects == 0
    assert agreement_of([], one).objects == 0
    assert worst_agreement([]).objects == 0


def test_an_object_is_the_counterpart_of_one_only() -> None:
    one = _result([0, 0, 5, 5], 0.9, 30)
    assert agreement_of([one, one], [one]).matched == 1
    assert worst_agreement([agreement_of([one], [one])] * 3).matched == 3
