"""What holds for every family of metrics: the law of repeated pictures, intervals, counting."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from rich.console import Console

from maskwright.errors import ConfigError, DataError, EvaluationError
from maskwright.evaluation import Resampling, ScoringOptions, evaluate_families
from maskwright.evaluation.families import family_statistic
from maskwright.evaluation.inputs import Inputs
from maskwright.evaluation.prediction_sources import load_results
from maskwright.evaluation.predictions import read_predictions
from maskwright.evaluation.resampling import draw_pictures, key_text
from maskwright.evaluation.truth import load_truth, read_truth

FAMILIES = ("coco", "cells", "lvis", "panoptic", "counting", "agnostic")
_NO_INTERVALS = ScoringOptions(score_threshold=0.3, resampling=Resampling(num_replicates=0))


def _inputs(coco, results) -> Inputs:
    true = read_truth(load_truth(coco), need_masks=True)
    return Inputs(true, read_predictions(load_results(results), true, need_masks=True))


def _without_ties(results):
    return [one | {"score": (i + 1) / (len(results) + 1)} for i, one in enumerate(results)]


def _repeated(coco, results, times):
    """The data set in which each picture, by ascending id, is there so often."""
    images, annotations, found = [], [], []
    for image, count in zip(
        sorted(coco["images"], key=lambda image: image["id"]), times, strict=True
    ):
        for _ in range(count):
            copied = len(images) + 1
            images.append({**image, "id": copied})
            for one in coco["annotations"]:
                if one["image_id"] == image["id"]:
                    annotations.append({**one, "image_id": copied, "id": len(annotations) + 1})
            found += [
                {**one, "image_id": copied} for one in results if one["image_id"] == image["id"]
            ]
    return {**coco, "images": images, "annotations": annotations}, found


def _plain(result) -> dict:
    """Every number of a result by its statistic's key."""
    if hasattr(result, "per_size"):
        return {(k, n): v for k, numbers in result.numbers.items() for n, v in numbers.items()}
    return {(name,): value for name, value in result.numbers.items()}


@pytest.mark.parametrize("family", FAMILIES)
def test_weighted_pictures_score_as_repeated_pictures_do(family, scene) -> None:
    coco, results = scene(400, num_images=8, most=8, small=True)
    results = _without_ties(results)
    # Frequencies of classes are the data set's own, so LVIS is told them.
    for one in coco["categories"]:
        one["frequency"] = "f"
    for one in coco["images"]:
        one["neg_category_ids"] = [3, 7, 8]
    kinds = ("bbox", "segm")
    statistic = family_statistic(family, _inputs(coco, results), kinds, _NO_INTERVALS)
    weights = np.random.default_rng(0).integers(0, 4, (4, 8))
    weights[0] = 1
    got = statistic(weights)
    by_text = {(key_text(key),): values for key, values in got.items()}
    for row, times in enumerate(weights.tolist()):
        truth, found = _repeated(coco, results, times)
        result = evaluate_families(found, truth, [family], kinds=kinds, options=_NO_INTERVALS)
        expected = _plain(result[family])
        for key, value in expected.items():
            mine = (by_text if family == "agnostic" else got)[key][row]
            if value is None or (family != "counting" and value == -1.0 and np.isnan(mine)):
                assert np.isnan(mine), key
            else:
                assert mine == pytest.approx(value, rel=0, abs=1e-12), key


def test_every_number_of_every_family_has_an_interval_and_a_table(scene) -> None:
    coco, results = scene(410, num_images=16, most=8)
    options = ScoringOptions(score_threshold=0.3, resampling=Resampling(num_replicates=100))
    found = evaluate_families(results, coco, FAMILIES, options=options)
    assert tuple(found) == FAMILIES
    for family, result in found.items():
        numbers = result.numbers["segm"] if family == "coco" else result.numbers
        intervals = result.intervals["segm"] if family == "coco" else result.intervals
        defined = [name for name, value in numbers.items() if value not in (None, -1.0)]
        assert set(defined) <= set(intervals), family
        json.dumps(result.as_dict(), allow_nan=False)
        console = Console(width=80, record=True, file=io.StringIO())
        console.print(result.to_table())
        text = console.export_text()
        assert " to " in text
        assert max(len(line) for line in text.splitlines()) <= 80


def test_no_replicates_give_no_intervals_and_the_same_numbers(scene) -> None:
    coco, results = scene(411, num_images=6)
    some = ScoringOptions(score_threshold=0.3, resampling=Resampling(num_replicates=10))
    with_, without = (
        evaluate_families(results, coco, FAMILIES, options=one) for one in (some, _NO_INTERVALS)
    )
    for family in FAMILIES:
        assert with_[family].numbers == without[family].numbers
        assert not without[family].intervals


@pytest.mark.parametrize("seed", range(3))
def test_counting_errors_are_the_plain_means_over_pictures(seed, scene) -> None:
    coco, results = scene(420 + seed, num_images=12, most=5)
    options = ScoringOptions(score_threshold=0.5, resampling=Resampling(num_replicates=10))
    found = evaluate_families(results, coco, ["counting"], options=options)["counting"]
    off, relative, crowded = [], [], 0
    for image in coco["images"]:
        own = [one for one in coco["annotations"] if one["image_id"] == image["id"]]
        if any(one["iscrowd"] for one in own):
            crowded += 1
            continue
        count = sum(one["score"] >= 0.5 for one in results if one["image_id"] == image["id"])
        off.append(count - len(own))
        if own:
            relative.append(abs(count - len(own)) / len(own))
    off = np.array(off, np.float64)
    expected = {
        "bias": off.mean(),
        "MAE": np.abs(off).mean(),
        "RMSE": np.sqrt((off**2).mean()),
        "relative": np.mean(relative),
        "exact": (off == 0).mean(),
    }
    assert found.numbers == pytest.approx(expected, abs=1e-12)
    assert any(note.startswith(f"{crowded} pictures with crowds") for note in found.notes)


def test_counting_needs_no_masks(scene) -> None:
    coco, results = scene(430, boxes=True)
    for one in (*coco["annotations"], *results):
        one.pop("segmentation")
    found = evaluate_families(results, coco, ["counting"], options=_NO_INTERVALS)["counting"]
    assert found["MAE"] >= 0
    with pytest.raises(EvaluationError, match="has no segmentation"):
        evaluate_families(results, {**coco, "annotations": []}, ["cells"])


def test_pictures_of_a_group_are_drawn_together_by_a_rule(scene) -> None:
    coco, results = scene(440, num_images=12, most=6)
    for place, one in enumerate(coco["images"]):
        one["file_name"] = f"plate{place % 3}_{place}.png"
        one["plate"] = place % 3
    names = [one["plate"] for one in sorted(coco["images"], key=lambda one: one["id"])]
    scores = [
        evaluate_families(
            results,
            coco,
            ["coco"],
            kinds=["bbox"],
            options=ScoringOptions(resampling=Resampling(num_replicates=60, groups=groups)),
        )["coco"].intervals
        for groups in (names, "field:plate", r"name:(plate\d+)_", None)
    ]
    assert scores[0] == scores[1] == scores[2]
    assert scores[0] != scores[3]


@pytest.mark.parametrize(
    ("rule", "error", "message"),
    [
        ("plate", ConfigError, "field:NAME or name:PATTERN"),
        ("name:plate", ConfigError, "has no brackets"),
        ("name:(", ConfigError, "no regular expression"),
        ("field:plate", DataError, "8 of 8 pictures have no field 'plate'"),
        ("name:(plate)", DataError, "widen the pattern"),
    ],
)
def test_rules_for_groups_that_do_not_fit_are_refused(rule, error, message, scene) -> None:
    options = ScoringOptions(resampling=Resampling(groups=rule))
    with pytest.raises(error, match=message):
        evaluate_families([], scene(441)[0], options=options)


def test_unknown_families_and_options_are_refused(scene) -> None:
    coco = scene(442)[0]
    with pytest.raises(EvaluationError, match="Did you mean 'panoptic'"):
        evaluate_families([], coco, ["panoptik"])
    with pytest.raises(EvaluationError, match="one or more families"):
        evaluate_families([], coco, [])
    with pytest.raises(EvaluationError, match="level must be between"):
        Resampling(level=1.0)


def test_replicates_are_the_same_however_they_are_divided() -> None:
    whole = draw_pictures(6, 10, 3)
    rng = np.random.default_rng(3)
    parts = [draw_pictures(6, 4, rng), draw_pictures(6, 6, rng)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_an_interval_holds_its_value_where_replicates_are_biased(as_rle) -> None:
    # Three classes in one picture each, not found: most replicates lack one, and score better.
    square = as_rle(np.pad(np.ones((6, 6), bool), 7))
    images = [{"id": i, "height": 20, "width": 20, "file_name": f"{i}.png"} for i in range(1, 41)]
    objects = [{"image_id": i, "category_id": 1, "segmentation": square} for i in range(1, 41)]
    rare = [{"image_id": i, "category_id": i, "segmentation": square} for i in (2, 3, 4)]
    coco = {
        "images": images,
        "annotations": [{"id": i, **one} for i, one in enumerate(objects + rare, start=1)],
        "categories": [{"id": i, "name": str(i)} for i in (1, 2, 3, 4)],
    }
    results = [one | {"score": 0.9} for one in objects]
    options = ScoringOptions(resampling=Resampling(num_replicates=400))
    found = evaluate_families(results, coco, ["coco"], kinds=["segm"], options=options)["coco"]
    assert found["segm"]["AP"] == pytest.approx(0.25)
    low, high = found.intervals["segm"]["AP"]
    assert 0 <= low < 0.25 < high < 1


@pytest.mark.slow
def test_intervals_hold_the_mean_score_of_other_test_sets_as_often_as_they_say() -> None:
    def test_set(rng: np.random.Generator):
        images = [{"id": i, "height": 40, "width": 40, "file_name": f"{i}"} for i in range(40)]
        boxes, results = [], []
        for image in range(40):
            noise = rng.exponential(1.5)  # objects of one picture resemble each other
            for place in range(int(rng.integers(1, 4))):
                box = [12.0 * place, 5.0, 10.0, 10.0]
                where = {"image_id": image, "category_id": 1}
                boxes.append({"id": len(boxes) + 1, "bbox": box, **where})
                moved = [box[0] + rng.normal(0, noise), box[1], 10.0, 10.0]
                results.append({"bbox": moved, "score": float(rng.random()), **where})
        truth = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "a"}]}
        return truth, results

    options = ScoringOptions(resampling=Resampling(num_replicates=200))
    scored = []
    for seed in range(200):
        truth, results = test_set(np.random.default_rng(seed))
        one = evaluate_families(results, truth, ["coco"], kinds=["bbox"], options=options)["coco"]
        scored.append((one["bbox"]["AP"], *one.intervals["bbox"]["AP"]))
    values, low, high = np.array(scored).T
    share = ((low <= values.mean()) & (values.mean() <= high)).mean()
    # 95 %, less what every bootstrap of 40 clusters loses; four standard errors are 6 %.
    assert 0.87 <= share <= 0.995
