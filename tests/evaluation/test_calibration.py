"""Calibration error, fitted scales and thresholds against known answers and plain versions."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest

from maskwright.errors import ConfigError, EvaluationError
from maskwright.evaluation import evaluate
from maskwright.evaluation.analysis import (
    calibrated_scores,
    calibration_report,
    fit_calibration,
    read_found_and_true,
    reliability,
)
from maskwright.evaluation.analysis.calibration_fit import FEW, fit_parameters
from maskwright.evaluation.analysis.plots import plot_reliability
from maskwright.recipes.calibrating import cross_fitted


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def _miscalibrated(seed, num_pictures=120, temperatures=(2.0, 0.5), shifts=(0.0, 0.0), slope=0.0):
    """Boxes that are right with probability sigmoid(z / T + b + a log2 side), scored sigmoid(z)."""
    rng = np.random.default_rng(seed)
    images, annotations, results = [], [], []
    for image_id in range(1, num_pictures + 1):
        images.append({"id": image_id, "height": 4000, "width": 4000, "file_name": f"{image_id}"})
        for number in range(40):
            label, z = int(rng.integers(0, 2)), float(rng.normal(0, 2))
            side = float(2 ** rng.uniform(3, 7))
            chance = _sigmoid(z / temperatures[label] + shifts[label] + slope * (np.log2(side) - 5))
            box = [130.0 * (number % 8), 130.0 * (number // 8), side, side]
            place = {"image_id": image_id, "category_id": label + 1}
            results.append({"bbox": box, "score": float(_sigmoid(np.array(z))), **place})
            true = box if rng.random() < chance else [box[0], box[1] + 2000, side, side]
            annotations.append({"id": len(annotations) + 1, "iscrowd": 0, "bbox": true, **place})
    categories = [{"id": 1, "name": "fig"}, {"id": 2, "name": "nut"}]
    return {"images": images, "annotations": annotations, "categories": categories}, results


@pytest.fixture(scope="module")
def objects():
    coco, results = _miscalibrated(0)
    return read_found_and_true(results, coco)


@pytest.mark.parametrize("method", ["temperature", "logistic", "size"])
def test_known_temperatures_are_found_class_by_class(method, objects) -> None:
    calibration, notes = fit_calibration(objects, method=method)
    assert calibration.temperatures == pytest.approx((2.0, 0.5), rel=0.12)
    assert calibration.shifts == pytest.approx((0.0, 0.0), abs=0.15)
    assert calibration.slopes == pytest.approx((0.0, 0.0), abs=0.1)
    assert calibration.num_objects == 4800
    assert notes == ()


def test_known_shifts_and_slopes_are_found() -> None:
    coco, results = _miscalibrated(1, shifts=(-1.0, 0.7), slope=0.6)
    fitted, _ = fit_calibration(read_found_and_true(results, coco), method="size")
    assert fitted.centre == pytest.approx(5.0, abs=0.1)
    assert fitted.temperatures == pytest.approx((2.0, 0.5), rel=0.15)
    assert fitted.shifts == pytest.approx((-1.0, 0.7), abs=0.25)
    assert fitted.slopes == pytest.approx((0.6, 0.6), abs=0.15)


@pytest.mark.parametrize("method", ["logistic", "size"])
def test_parameters_equal_those_of_an_unpenalised_logistic_regression(method) -> None:
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(2)
    scores, sides = rng.uniform(0.01, 0.99, 600), rng.normal(0, 1, 600)
    logits = np.log(scores / (1 - scores))
    is_right = rng.random(600) < _sigmoid(0.6 * logits - 0.4 + 0.5 * sides)
    columns = np.column_stack([logits, sides])[:, : 2 if method == "size" else 1]
    oracle = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(columns, is_right)
    wanted = [oracle.coef_[0, 0], oracle.intercept_[0], *oracle.coef_[0, 1:]]
    found = fit_parameters(scores, is_right, sides, method)
    assert found[: len(wanted)] == pytest.approx(wanted, abs=2e-4)


@pytest.mark.parametrize("method", ["temperature", "logistic", "size"])
def test_held_out_calibration_error_falls(method, objects) -> None:
    calibration, _ = fit_calibration(objects, method=method)
    before = calibration_report(objects)
    after, held_out, notes = cross_fitted(objects, calibration)
    assert notes == ()
    for name in ("fig", "nut"):  # one too sure and one not sure enough: together they look fine
        assert before.per_class[name].ece > 0.05
        assert after.per_class[name].ece < before.per_class[name].ece / 2
    assert after.total.log_loss < before.total.log_loss
    assert abs(after.total.bias) < 0.02
    assert held_out.f1 == pytest.approx(
        2 * held_out.precision * held_out.recall / (held_out.precision + held_out.recall)
    )


@pytest.mark.parametrize("method", ["temperature", "logistic"])
def test_the_order_within_a_class_is_kept(method, objects) -> None:
    calibration, _ = fit_calibration(objects, method=method)
    scores = calibrated_scores(objects, calibration)
    for label in (0, 1):
        rows = np.flatnonzero(objects.found.labels == label)
        order = rows[np.argsort(objects.found.scores[rows], kind="stable")]
        assert (np.diff(scores[order]) >= 0).all()


@pytest.mark.parametrize("method", ["temperature", "logistic"])
def test_ap_is_the_same_to_the_last_bit(method) -> None:
    coco, results = _miscalibrated(7, num_pictures=30, temperatures=(0.25, 4.0))
    objects = read_found_and_true(results, coco)
    scores = calibrated_scores(objects, fit_calibration(objects, method=method)[0])
    again = [
        results[row] | {"score": float(s)} for row, s in zip(objects.rows, scores, strict=True)
    ]
    before, after = (evaluate(each, coco, kinds=("bbox",)) for each in (results, again))
    assert after.numbers == before.numbers


@pytest.mark.parametrize(("binning", "num_bins"), [("equal_mass", 7), ("equal_width", 10)])
def test_calibration_error_equals_a_plain_version(binning, num_bins) -> None:
    rng = np.random.default_rng(3)
    scores = rng.beta(1, 3, 500)
    is_right = rng.random(500) < scores**1.5
    order = np.argsort(scores)
    if binning == "equal_mass":
        bins = np.array_split(order, num_bins)
    else:
        edges = np.linspace(0, 1, num_bins + 1)
        bins = [np.flatnonzero((scores >= low) & (scores < high)) for low, high in pairwise(edges)]
    gaps = [abs(scores[b].mean() - is_right[b].mean()) for b in bins if len(b)]
    sizes = [len(b) for b in bins if len(b)]
    one = reliability(scores, is_right, binning=binning, num_bins=num_bins)
    assert one.ece == pytest.approx(np.average(gaps, weights=sizes), abs=1e-9)
    assert one.largest_error == pytest.approx(max(gaps))
    assert [each.num_found for each in one.bins] == sizes
    assert one.brier == pytest.approx(np.mean((scores - is_right) ** 2))
    right = np.where(is_right, scores, 1 - scores)
    assert one.log_loss == pytest.approx(-np.log(right).mean())


def test_crowds_and_second_finds_are_judged_as_coco_judges_them() -> None:
    coco = {
        "images": [{"id": 1, "height": 100, "width": 100, "file_name": "a"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [0, 0, 10, 10]},
            {"id": 2, "image_id": 1, "category_id": 1, "iscrowd": 1, "bbox": [50, 50, 50, 50]},
        ],
        "categories": [{"id": 1, "name": "fig"}],
    }
    boxes = ([0, 0, 10, 10], 0.9), ([0, 0, 10, 9], 0.8), ([60, 60, 10, 10], 0.7)
    results = [{"image_id": 1, "category_id": 1, "bbox": b, "score": s} for b, s in boxes]
    total = calibration_report(read_found_and_true(results, coco)).total
    assert (total.num_found, total.num_right) == (2, 1)


def _counts(objects, calibration, threshold: dict[str, float]):
    """Per class precision, recall and F1 of what scores at least the threshold, by counting."""
    from maskwright.evaluation.analysis.calibration import right_and_counted

    is_right, _ = right_and_counted(objects, 0.5)
    scores = calibrated_scores(objects, calibration)
    for label, name in enumerate(("fig", "nut")):
        own = objects.found.labels == label
        kept = own & (scores >= threshold[name])
        hits, num_true = (kept & is_right).sum(), (objects.truth.objects.labels == label).sum()
        precision, recall = hits / max(kept.sum(), 1), hits / num_true
        yield precision, recall, 2 * hits / (kept.sum() + num_true)


def test_the_threshold_of_the_highest_f1_is_not_beaten_by_any_other(objects) -> None:
    calibration, _ = fit_calibration(objects)
    best = [f1 for *_, f1 in _counts(objects, calibration, calibration.score_thresholds())]
    for other in np.linspace(0.02, 0.95, 60):
        others = _counts(objects, calibration, {"fig": other, "nut": other})
        assert all(f1 <= top + 1e-12 for (*_, f1), top in zip(others, best, strict=True))


@pytest.mark.parametrize("wanted", ["precision=0.8", "recall=0.3", "precision=0.77"])
def test_thresholds_reach_the_precision_or_recall_that_is_wanted(wanted, objects) -> None:
    calibration, notes = fit_calibration(objects, default_threshold=wanted)
    assert notes == ()
    kind, number = wanted.split("=")
    for precision, recall, _ in _counts(objects, calibration, calibration.score_thresholds()):
        assert (precision if kind == "precision" else recall) >= float(number)
    assert calibration.score_thresholds(f"auto:{wanted}") == calibration.score_thresholds()


def test_what_cannot_be_reached_is_said_and_comes_closest(objects) -> None:
    calibration, notes = fit_calibration(objects, default_threshold="recall=0.99")
    assert "No threshold gives recall=0.99 for fig" in notes[0]
    assert max(calibration.score_thresholds().values()) < 0.2


def test_a_class_with_few_objects_takes_the_numbers_of_all() -> None:
    coco, results = _miscalibrated(4, num_pictures=30)
    for one in (*coco["annotations"], *results):
        if one["image_id"] > 1:
            one["category_id"] = 1
    calibration, notes = fit_calibration(read_found_and_true(results, coco))
    assert f"nut: fewer than {FEW} right" in notes[0]
    pooled = fit_calibration(
        read_found_and_true(
            [one | {"category_id": 1} for one in results],
            {**coco, "annotations": [one | {"category_id": 1} for one in coco["annotations"]]},
        )
    )[0]
    assert calibration.temperatures[1] == pytest.approx(pooled.temperatures[0])
    assert calibration.temperatures[0] != pytest.approx(pooled.temperatures[0], rel=1e-6)


def test_a_part_of_the_pictures_is_fitted_as_if_the_others_were_not_there() -> None:
    coco, results = _miscalibrated(5, num_pictures=40)
    chosen = np.arange(40) < 25
    part = {**coco, "images": coco["images"][:25]}
    part["annotations"] = [one for one in coco["annotations"] if one["image_id"] <= 25]
    found = [one for one in results if one["image_id"] <= 25]
    by_choice, _ = fit_calibration(read_found_and_true(results, coco), pictures=chosen)
    alone, _ = fit_calibration(read_found_and_true(found, part))
    assert by_choice == alone


def test_nothing_to_learn_from_is_refused_and_one_picture_is_not_parted() -> None:
    coco, results = _miscalibrated(6, num_pictures=1)
    objects = read_found_and_true(results, coco)
    calibration, _ = fit_calibration(objects)
    assert cross_fitted(objects, calibration)[:2] == (None, None)
    with pytest.raises(EvaluationError, match="nothing was found"):
        fit_calibration(read_found_and_true([], coco))
    with pytest.raises(EvaluationError, match="all of it is wrong"):
        fit_calibration(read_found_and_true(results, {**coco, "annotations": []}))
    report = calibration_report(read_found_and_true([], coco))
    assert (report.total.ece, report.per_class) == (-1.0, {})
    json.dumps(report.as_dict(), allow_nan=False)


def test_scores_that_are_no_probabilities_and_unknown_names_are_refused(objects) -> None:
    with pytest.raises(EvaluationError, match="scores from 0 to 1"):
        reliability(np.array([1.5]), np.array([True]))
    with pytest.raises(EvaluationError, match="binning"):
        reliability(np.array([0.5]), np.array([True]), binning="other")
    with pytest.raises(ConfigError, match="a score threshold is"):
        fit_calibration(objects, default_threshold="precision=1.2")


def test_the_plot_shows_the_bins_of_all_and_of_each_class(objects) -> None:
    report = calibration_report(objects)
    figure = plot_reliability({"before": report})
    assert [axes.get_title() for axes in figure.axes[:3]] == ["(all)", "fig", "nut"]
    line = figure.axes[0].lines[1]
    assert line.get_xdata() == pytest.approx([one.mean_score for one in report.total.bins])
    assert line.get_ydata() == pytest.approx([one.precision for one in report.total.bins])
    assert len(report.to_dataframe()) == 3
