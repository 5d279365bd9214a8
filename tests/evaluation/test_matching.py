"""Our matching against pycocotools', detection by detection, and the numbers counted from it."""

from __future__ import annotations

import contextlib
import copy
import io
import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from maskwright.errors import EvaluationError
from maskwright.evaluation import evaluate
from maskwright.evaluation.inputs import Inputs
from maskwright.evaluation.matching import COCO_SIZES, match_objects
from maskwright.evaluation.prediction_sources import load_results
from maskwright.evaluation.predictions import read_predictions
from maskwright.evaluation.ranking import ranked_numbers
from maskwright.evaluation.truth import load_truth, read_truth


def _inputs(coco, results) -> Inputs:
    true = read_truth(load_truth(coco), need_masks=True)
    return Inputs(true, read_predictions(load_results(results), true, need_masks=True))


def _oracle(coco, results, kind, *, thresholds=None, limits=None, classes=True) -> COCOeval:
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = copy.deepcopy(coco)
        truth.createIndex()
        evaluator = COCOeval(truth, truth.loadRes(copy.deepcopy(results)), kind)
        evaluator.params.useCats = int(classes)
        if thresholds is not None:
            evaluator.params.iouThrs = np.array(thresholds)
        if limits is not None:
            evaluator.params.maxDets = list(limits)
        evaluator.evaluate()
        evaluator.accumulate()
    return evaluator


@pytest.mark.parametrize("thresholds", [(0.5, 0.75, 0.95), (0.1, 0.35)], ids=str)
@pytest.mark.parametrize("kind", ["bbox", "segm"])
@pytest.mark.parametrize("seed", range(5))
def test_every_detection_has_pycocotools_outcome(seed, kind, thresholds, scene) -> None:
    coco, results = scene(100 + seed, num_images=8, most=9, boxes=True)
    evaluator = _oracle(coco, results, kind, thresholds=thresholds, limits=(4,))
    inputs = _inputs(coco, results)
    got = match_objects(
        inputs.true,
        inputs.found,
        inputs.closeness(kind),
        limit=4,
        thresholds=thresholds,
        sizes=COCO_SIZES,
    )
    known = inputs.true
    checked = 0
    for entry in evaluator.evalImgs:
        if entry is None:
            continue
        picture = known.image_ids.index(entry["image_id"])
        label = known.category_ids.index(entry["category_id"])
        size = [tuple(map(float, one)) for one in evaluator.params.areaRng].index(
            tuple(map(float, entry["aRng"]))
        )
        matched, ignored = entry["dtMatches"] > 0, np.asarray(entry["dtIgnore"], bool)
        expected = np.where(ignored, 0, np.where(matched, 1, 2))
        own = np.flatnonzero((got.pictures == picture) & (got.labels == label))
        np.testing.assert_array_equal(got.outcome[size][:, own], expected)
        np.testing.assert_array_equal(got.scores[own], entry["dtScores"])
        checked += expected.size
    assert checked > 100
    assert len(np.unique(got.outcome)) == 3


@pytest.mark.parametrize("kind", ["bbox", "segm", "boundary"])
@pytest.mark.parametrize("seed", range(3))
def test_all_twelve_numbers_with_every_picture_once_are_the_canonical_ones(
    seed, kind, scene
) -> None:
    coco, results = scene(110 + seed, num_images=12, most=9)
    expected = evaluate(results, coco, kinds=[kind])[kind]
    inputs = _inputs(coco, results)
    outcomes = match_objects(
        inputs.true, inputs.found, inputs.closeness(kind), limit=100, sizes=COCO_SIZES
    )
    once = np.ones((1, inputs.num_images), np.int64)
    limits = {"AR1": 1, "AR10": 10, "AR100": 100}
    got, _ = ranked_numbers(outcomes, once, limits=limits)
    assert list(got) == list(expected)
    for name, value in expected.items():
        plain = -1.0 if np.isnan(got[name][0]) else got[name][0]
        assert plain == pytest.approx(value, rel=0, abs=1e-12), name


@pytest.mark.parametrize("limit", [1, 3, 250])
@pytest.mark.parametrize("thresholds", [(0.5,), (0.3, 0.6, 0.9), (0.75,)], ids=str)
def test_any_thresholds_and_limits_give_pycocotools_numbers(thresholds, limit, scene) -> None:
    coco, results = scene(120, num_images=10, most=9)
    metrics = evaluate(
        results,
        coco,
        kinds=("bbox", "segm", "boundary"),
        iou_thresholds=thresholds[::-1],
        max_detections=limit,
        num_replicates=20,
    )
    assert metrics.iou_thresholds == thresholds
    for kind in ("bbox", "segm"):
        limits = (1, min(10, limit), limit)
        arrays = _oracle(coco, results, kind, thresholds=thresholds, limits=limits).eval
        precision = arrays["precision"][..., 0, -1]
        assert metrics[kind]["AP"] == pytest.approx(precision[precision > -1].mean(), abs=1e-12)
        recall = arrays["recall"][..., 2, -1]
        assert metrics[kind]["ARm"] == pytest.approx(recall[recall > -1].mean(), abs=1e-12)
        assert ("AP50" in metrics[kind]) == (0.5 in thresholds)
        assert ("AP75" in metrics[kind]) == (0.75 in thresholds)
    assert metrics["boundary"]["AP"] <= metrics["segm"]["AP"]
    low, high = metrics.intervals["segm"]["AP"]
    assert 0 <= low <= high <= 1


@pytest.mark.parametrize("thresholds", [(), (0.0,), (1.2, 0.5), (float("nan"),)], ids=str)
def test_thresholds_out_of_range_are_refused(thresholds, scene) -> None:
    with pytest.raises(EvaluationError, match="iou_thresholds must be one or more numbers"):
        evaluate([], scene(1)[0], iou_thresholds=thresholds)


@pytest.mark.parametrize("kind", ["bbox", "segm"])
@pytest.mark.parametrize("seed", range(3))
def test_agnostic_numbers_are_pycocotools_without_categories(seed, kind, scene, twelve) -> None:
    from maskwright.evaluation import evaluate_families

    coco, results = scene(130 + seed, num_images=10, most=12)
    # pycocotools concatenates classes in its own order, which decides ties: here there are none.
    for place, one in enumerate(results):
        one["score"] = (place + 1) / (len(results) + 1)
    found = evaluate_families(results, coco, ["agnostic"], kinds=[kind])["agnostic"]
    expected = twelve(_oracle(coco, results, kind, classes=False).eval)
    np.testing.assert_allclose(list(found.numbers.values()), expected, rtol=0, atol=1e-12)
    heading = "mask" if kind == "segm" else "box"
    assert next(iter(found.numbers)) == f"{heading} AP"
    assert set(found.intervals) <= set(found.numbers)


def test_sizes_and_classes_sum_up_what_the_numbers_say(scene) -> None:
    coco, results = scene(140, num_images=14, most=9)
    metrics = evaluate(results, coco, num_replicates=50)
    for kind in metrics.numbers:
        for size, suffix in (("small", "s"), ("medium", "m"), ("large", "l")):
            assert metrics.per_size[kind][size].ap == metrics[kind][f"AP{suffix}"]
            assert metrics.per_size[kind][size].ar == metrics[kind][f"AR{suffix}"]
        known = [one for one in metrics.per_class[kind].values() if one.ap >= 0]
        assert np.mean([one.ap for one in known]) == pytest.approx(metrics[kind]["AP"])
        small = [one.ap_by_size[0] for one in known if one.ap_by_size[0] >= 0]
        assert np.mean(small) == pytest.approx(metrics[kind]["APs"])
        for one in known:
            low, high = one.interval
            assert 0 <= low <= high <= 1
    report = json.loads(json.dumps(metrics.report(), allow_nan=False))
    assert report["intervals"]["segm"]["AP50"][0] <= report["numbers"]["segm"]["AP50"]


@pytest.mark.shared_data
def test_official_results_give_the_numbers_of_pycocotools_from_our_own_matching(
    shared_data: Path,
) -> None:
    golden = shared_data / "golden"
    coco = json.loads((golden / "instances_val2014_100.json").read_text())
    results = json.loads((golden / "instances_val2014_fakesegm100_results.json").read_text())
    expected = evaluate(results, coco, kinds=("segm",))["segm"]
    inputs = _inputs(coco, results)
    outcomes = match_objects(
        inputs.true, inputs.found, inputs.closeness("segm"), limit=100, sizes=COCO_SIZES
    )
    once = np.ones((1, inputs.num_images), np.int64)
    got, _ = ranked_numbers(outcomes, once, limits={"AR1": 1, "AR10": 10, "AR100": 100})
    for name, value in expected.items():
        assert got[name][0] == pytest.approx(value, rel=0, abs=1e-12), name
