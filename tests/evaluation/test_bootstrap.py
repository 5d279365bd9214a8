"""Bootstrap intervals of AP: the law of repeated pictures, and what is no interval."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from maskwright.errors import EvaluationError
from maskwright.evaluation import bootstrap_interval, evaluate
from maskwright.evaluation.bootstrap import average_precisions
from maskwright.evaluation.inputs import Inputs
from maskwright.evaluation.matching import match_objects
from maskwright.evaluation.prediction_sources import load_results
from maskwright.evaluation.predictions import read_predictions
from maskwright.evaluation.truth import load_truth, read_truth


def _matches(coco, results, kind="segm", limit=100):
    true = read_truth(load_truth(coco), need_masks=True)
    found = read_predictions(load_results(results), true, need_masks=True)
    return match_objects(true, found, Inputs(true, found).closeness(kind), limit=limit)


def _repeated(coco, results, times: dict[int, int]):
    """The data set in which each picture is there so often as `times` says, by image id."""
    images, annotations, found = [], [], []
    for image in sorted(coco["images"], key=lambda image: image["id"]):
        for _ in range(times[image["id"]]):
            copied = len(images) + 1
            images.append({**image, "id": copied})
            for one in coco["annotations"]:
                if one["image_id"] == image["id"]:
                    annotations.append({**one, "image_id": copied, "id": len(annotations) + 1})
            found += [
                {**one, "image_id": copied} for one in results if one["image_id"] == image["id"]
            ]
    return {**coco, "images": images, "annotations": annotations}, found


def _untied(results, rng):
    """Scores that tie between pictures and classes, but not inside one picture and class."""
    results, used = copy.deepcopy(results), set()
    for one in results:
        score = round(float(rng.random()), 2)
        while (key := (one["image_id"], one["category_id"], score)) in used:
            score = round(float(rng.random()), 2)
        used.add(key)
        one["score"] = score
    return results


@pytest.mark.parametrize("kind", ["bbox", "segm", "boundary"])
@pytest.mark.parametrize("limit", [2, 100])
@pytest.mark.parametrize("seed", range(4))
def test_with_every_picture_once_ap_is_the_canonical_one(kind, limit, seed, scene) -> None:
    coco, results = scene(seed, num_images=10, most=10)
    expected = evaluate(results, coco, kinds=[kind], max_detections=limit)[kind]["AP"]
    matches = _matches(coco, results, kind, limit)
    weights = np.ones((1, len(coco["images"])), np.int64)
    assert average_precisions(matches, weights)[0] == pytest.approx(expected, rel=0, abs=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_weighted_pictures_score_as_repeated_pictures_do(seed, scene) -> None:
    rng = np.random.default_rng(seed)
    coco, results = scene(30 + seed, num_images=9, most=8)
    results = _untied(results, rng)
    weights = rng.integers(0, 4, (5, len(coco["images"])))
    weights[0] = 0
    got = average_precisions(_matches(coco, results), weights)
    assert got[0] == -1.0
    image_ids = sorted(image["id"] for image in coco["images"])
    for row, ap in zip(weights[1:].tolist(), got[1:], strict=True):
        repeated = _repeated(coco, results, dict(zip(image_ids, row, strict=True)))
        expected = evaluate(repeated[1], repeated[0], kinds=["segm"])["segm"]["AP"]
        assert ap == pytest.approx(expected, rel=0, abs=1e-12)


def test_matches_count_what_the_truth_holds(scene) -> None:
    coco, results = scene(5)
    matches = _matches(coco, results)
    assert matches.is_counted.sum() == sum(not one["iscrowd"] for one in coco["annotations"])
    assert len(matches.scores) == len(results)
    assert matches.outcome.shape == (1, 10, len(results))


def test_the_interval_holds_the_value_and_follows_the_seed(scene) -> None:
    coco, results = scene(7, num_images=20)
    one, same, other = (bootstrap_interval(results, coco, seed=seed) for seed in (0, 0, 1))
    assert one == same
    assert one != other
    assert 0 <= one.low < one.value < one.high <= 1
    assert one.value == pytest.approx(evaluate(results, coco)["segm"]["AP"], abs=1e-12)
    wide, narrow = (bootstrap_interval(results, coco, level=level) for level in (0.99, 0.5))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_more_pictures_make_the_interval_narrower(scene) -> None:
    coco, results = scene(8, num_images=12)
    times = {image["id"]: 6 for image in coco["images"]}
    many = _repeated(coco, results, times)
    few_interval, many_interval = bootstrap_interval(results, coco), bootstrap_interval(*many[::-1])
    width = few_interval.high - few_interval.low
    assert many_interval.high - many_interval.low < 0.6 * width


def test_one_picture_has_no_interval_and_a_note(scene) -> None:
    coco, results = scene(9, num_images=1)
    interval = bootstrap_interval(results, coco)
    assert interval.low is None
    assert interval.high is None
    assert "one picture" in interval.note
    assert interval.value == pytest.approx(evaluate(results, coco)["segm"]["AP"], abs=1e-12)


def test_no_pictures_or_no_objects_have_no_interval_and_a_note(scene) -> None:
    coco, results = scene(10)
    without = {**coco, "annotations": []}
    nothing = {**without, "images": []}
    for truth, found in ((without, results), (without, []), (nothing, [])):
        interval = bootstrap_interval(found, truth)
        assert (interval.value, interval.low, interval.high) == (-1.0, None, None)
        assert "no true object" in interval.note


def test_no_predictions_score_zero_for_sure(scene) -> None:
    interval = bootstrap_interval([], scene(11)[0])
    assert (interval.value, interval.low, interval.high) == (0.0, 0.0, 0.0)


def test_replicates_without_any_object_are_left_out_and_counted(scene) -> None:
    coco, results = scene(12, num_images=5)
    first = next(one["image_id"] for one in coco["annotations"] if not one["iscrowd"])
    coco = {**coco, "annotations": [a for a in coco["annotations"] if a["image_id"] == first]}
    interval = bootstrap_interval(results, coco, num_replicates=200)
    assert "drew no true object" in interval.note
    assert interval.low is not None
    assert np.isfinite([interval.low, interval.high]).all()


@pytest.mark.parametrize("options", [{"level": 1.0}, {"level": 0.0}, {"num_replicates": 0}])
def test_options_out_of_range_are_refused(options, scene) -> None:
    with pytest.raises(EvaluationError, match="level must be between"):
        bootstrap_interval([], scene(1)[0], **options)
