"""Is B better than A: the law of the doubled pictures, chance told from improvement."""

from __future__ import annotations

import io
import json
from itertools import combinations

import numpy as np
import pytest
from rich.console import Console

from evaluation.conftest import uncompressed
from maskwright.errors import EvaluationError
from maskwright.evaluation import (
    Resampling,
    ScoringOptions,
    compare_predictions,
    evaluate,
    evaluate_families,
)

_FAMILIES = ("coco", "cells", "lvis", "panoptic", "counting", "agnostic")


def _quick(num_replicates: int = 199, **options) -> ScoringOptions:
    resampling = Resampling(num_replicates=num_replicates, **options)
    return ScoringOptions(score_threshold=0.3, resampling=resampling)


def _truth(num_images: int):
    """Two boxes of two classes in every picture."""
    images = [
        {"id": i, "height": 40, "width": 40, "file_name": f"{i}.png"} for i in range(num_images)
    ]
    annotations = [
        {"id": 2 * i + k + 1, "image_id": i, "category_id": k, "bbox": [20 * k, 5, 12, 12]}
        for i in range(num_images)
        for k in (0, 1)
    ]
    categories = [{"id": 0, "name": "fig"}, {"id": 1, "name": "nut"}]
    return {"images": images, "annotations": annotations, "categories": categories}


def _found(coco, rng, noise: float):
    """One detection of each object, off by some pixels."""
    return [
        {
            "image_id": one["image_id"],
            "category_id": one["category_id"],
            "bbox": [*(np.array(one["bbox"][:2]) + rng.normal(0, noise, 2)).tolist(), 12, 12],
            "score": float(rng.uniform(0.1, 1)),
        }
        for one in coco["annotations"]
    ]


def test_the_same_predictions_differ_by_nothing_and_p_is_one(scene) -> None:
    coco, results = scene(500, num_images=10)
    same = compare_predictions(results, results, coco, _FAMILIES, options=_quick())
    assert same.is_better is None
    assert "do not tell" in same.verdict
    assert same.deciding == ()
    for name, one in same.numbers.items():
        assert one.a == one.b, name
        if one.difference is not None:
            assert (one.difference, one.p_value, one.interval) == (0.0, 1.0, (0.0, 0.0)), name


@pytest.mark.parametrize("family", _FAMILIES)
def test_numbers_of_both_are_those_of_either_alone(family, scene) -> None:
    coco, results = scene(501, num_images=10, most=8)
    half = results[::2]
    options = _quick(20)
    both = compare_predictions(results, half, coco, [family], options=options)
    for found, side in ((results, "a"), (half, "b")):
        alone = evaluate_families(found, coco, [family], kinds=("bbox", "segm"), options=options)[
            family
        ]
        if family == "coco":
            headings = {"bbox": "box", "segm": "mask"}
            expected = {
                f"{headings[kind]} {name}": value
                for kind, numbers in alone.numbers.items()
                for name, value in numbers.items()
            }
        else:
            expected = alone.numbers
        assert set(both.numbers) == set(expected)
        for name, value in expected.items():
            got = getattr(both.numbers[name], side)
            if got is None:
                assert value in (None, -1.0)
            else:
                assert got == pytest.approx(value, rel=0, abs=1e-12), name


@pytest.mark.parametrize("family", _FAMILIES)
def test_of_any_kinds_one_number_decides_masks_before_boxes_before_boundaries(
    family, scene
) -> None:
    coco, results = scene(502, num_images=4)
    fixed = {"cells": "AP", "panoptic": "PQ", "counting": "MAE"}
    for count in (1, 2, 3):
        for kinds in combinations(("bbox", "segm", "boundary"), count):
            result = compare_predictions(
                results, results[::2], coco, [family], kinds=kinds, options=_quick(9)
            )
            names = {"segm": "mask AP", "bbox": "box AP", "boundary": "boundary AP"}
            expected = next(name for kind, name in names.items() if kind in kinds)
            if family == "lvis" and kinds == ("boundary",):
                expected = "mask AP"  # it knows no boundaries, and scores masks by default
            assert result.primary == fixed.get(family, expected)
            assert next(iter(result.numbers)) == result.primary
            assert result.primary in result.verdict
            assert json.loads(json.dumps(result.as_dict()))["primary"] == result.primary


def test_boundaries_alone_decide_by_boundaries() -> None:
    """The same masks but for notches along the border: boxes are equal, boundaries are not."""
    mask = np.zeros((200, 200), bool)
    mask[40:160, 40:160] = True
    notched = mask.copy()
    notched[42:158, 42:46] = False
    notched[42:158, 154:158] = False
    coco = {
        "images": [{"id": i, "height": 200, "width": 200} for i in range(16)],
        "annotations": [
            {"id": i + 1, "image_id": i, "category_id": 1, "segmentation": uncompressed(mask)}
            for i in range(16)
        ],
        "categories": [{"id": 1, "name": "coin"}],
    }
    exact = [one | {"score": 0.9} for one in coco["annotations"]]
    rough = [one | {"segmentation": uncompressed(notched)} for one in exact[:12]] + exact[12:]
    boxes = compare_predictions(rough, exact, coco, kinds=["bbox"], options=_quick())
    assert boxes.is_better is None
    assert boxes.deciding == ()
    result = compare_predictions(rough, exact, coco, kinds=["boundary"], options=_quick())
    assert result.is_better is True
    assert result.verdict.startswith("B is better than A: boundary AP +")
    assert len(result.deciding) == 10
    for one in result.deciding:
        found = (one.a_right, one.a_wrong, one.b_right, one.b_wrong)
        assert found == ((0, 1, 1, 0) if one.influence > 0 else (1, 0, 1, 0))


def test_equal_models_give_p_values_spread_evenly() -> None:
    p_values = []
    for seed in range(120):
        rng = np.random.default_rng(seed)
        coco = _truth(14)
        a, b = _found(coco, rng, 1.5), _found(coco, rng, 1.5)
        result = compare_predictions(a, b, coco, kinds=["bbox"], options=_quick(99, seed=seed))
        p_values.append(result.numbers["box AP"].p_value)
    p_values = np.array(p_values)
    # Uniform: 0.5 +- 4 standard errors, and at most so many below 0.05 and 0.25 by chance.
    assert abs(p_values.mean() - 0.5) < 4 * np.sqrt(1 / 12 / 120)
    assert (p_values < 0.05).sum() <= 15
    assert 12 <= (p_values < 0.25).sum() <= 49
    assert p_values.min() >= 1 / 100


def test_a_planted_improvement_is_found_and_its_sign_is_right() -> None:
    rng = np.random.default_rng(0)
    coco = _truth(40)
    a, b = _found(coco, rng, 2.0), _found(coco, rng, 0.7)
    forth = compare_predictions(a, b, coco, kinds=["bbox"], options=_quick(), names=("old", "new"))
    back = compare_predictions(b, a, coco, kinds=["bbox"], options=_quick(), names=("new", "old"))
    assert forth.is_better is True
    assert back.is_better is False
    assert forth.verdict.startswith("new is better than old: box AP +")
    one, other = forth.numbers["box AP"], back.numbers["box AP"]
    assert one.p_value == pytest.approx(0.005)
    assert one.difference == pytest.approx(-other.difference, abs=1e-12)
    low, high = one.interval
    assert 0 < low < one.difference < high
    plain = evaluate(b, coco, kinds=["bbox"])["bbox"]["AP"]
    assert one.b == pytest.approx(plain, abs=1e-12)


def test_the_picture_that_was_spoiled_is_the_one_that_decides() -> None:
    rng = np.random.default_rng(1)
    coco = _truth(12)
    a = _found(coco, rng, 0.3)
    b = [one | {"bbox": [0, 30, 5, 5]} if one["image_id"] == 7 else one for one in a]
    result = compare_predictions(a, b, coco, kinds=["bbox"], options=_quick())
    first = result.deciding[0]
    assert first.file_name == "7.png"
    assert first.influence < 0
    assert (first.a_right, first.a_wrong, first.b_right, first.b_wrong) == (2, 0, 0, 2)
    assert first.num_true == 2
    assert result.is_better is None  # one picture of twelve is no evidence


def test_pictures_of_a_group_are_swapped_together() -> None:
    rng = np.random.default_rng(2)
    coco = _truth(24)
    a, b = _found(coco, rng, 2.0), _found(coco, rng, 0.7)
    alone = compare_predictions(a, b, coco, kinds=["bbox"], options=_quick())
    plates = compare_predictions(
        a, b, coco, kinds=["bbox"], options=_quick(groups=[i // 8 for i in range(24)])
    )
    # Three groups can be swapped in eight ways, so p cannot be small, however good B is.
    assert alone.numbers["box AP"].p_value < 0.05
    assert plates.numbers["box AP"].p_value > 0.15
    assert any("swapped together" in note for note in plates.notes)


def test_less_counting_error_is_better() -> None:
    rng = np.random.default_rng(3)
    coco = _truth(30)
    good = _found(coco, rng, 0.3)
    bad = [one for one in good if rng.random() < 0.6]
    options = ScoringOptions(score_threshold=0.0, resampling=Resampling(num_replicates=199))
    result = compare_predictions(bad, good, coco, ["counting"], options=options)
    assert result.primary == "MAE"
    assert result.numbers["MAE"].difference < 0
    assert result.is_better is True
    assert "objects" in result.verdict


def test_without_truth_or_with_one_picture_nothing_is_claimed(scene) -> None:
    coco, results = scene(510, num_images=4)
    empty = coco | {"annotations": []}
    nothing = compare_predictions(results, [], empty, ["coco"], kinds=["segm"], options=_quick(9))
    assert nothing.is_better is None
    assert "undefined" in nothing.verdict
    one, found = scene(511, num_images=1, most=6)
    single = compare_predictions(found, found[:1], one, kinds=["segm"], options=_quick(9))
    assert single.is_better is None
    for result in (nothing, single):
        json.dumps(result.as_dict(), allow_nan=False)
        assert result.to_table().renderables


def test_the_table_shows_verdict_numbers_and_pictures(scene) -> None:
    coco, results = scene(512, num_images=12, most=8)
    result = compare_predictions(
        results, results[::2], coco, ["coco", "counting"], names=("[bold]", "new"), options=_quick()
    )
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(result.to_table())
    text = console.export_text()
    assert "new against [bold]" in text
    assert "Pictures that decide mask AP" in text
    assert next(iter(result.numbers)) == "mask AP"
    assert "counting MAE" in text
    assert max(len(line) for line in text.splitlines()) <= 80


def test_predictions_that_do_not_fit_are_refused_by_name(scene) -> None:
    coco, results = scene(513)
    with pytest.raises(EvaluationError, match="is no class of"):
        compare_predictions(results, [results[0] | {"category_id": 99}], coco)
