"""Predictions of a calibrated model: its scores, their order, and thresholds by name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from maskwright.errors import ConfigError
from maskwright.inference import PostProcessing, Predictor
from maskwright.inference.postprocess import keep_scores
from maskwright.score_calibration import ScoreCalibration
from maskwright.structures import Instances

_CALIBRATION = ScoreCalibration(
    class_names=("coin", "nut"),
    method="logistic",
    temperatures=(2.0, 0.5),
    shifts=(-10.5, 0.5),
    slopes=(0.0, 0.0),
    thresholds={"f1": (0.2, 0.5), "recall=0.9": (0.1, 0.05)},
)


@pytest.fixture
def calibrated(runtime) -> Predictor:
    return Predictor(runtime, _CALIBRATION)


def _expected(score: float, label: int) -> float:
    logit = np.log(np.clip(score, 1e-7, 1 - 1e-7)) - np.log1p(-np.clip(score, 1e-7, 1 - 1e-7))
    return 1 / (1 + np.exp(-(logit / (2.0, 0.5)[label] + (-10.5, 0.5)[label])))


def test_scores_are_calibrated_and_the_highest_comes_first(predictor, calibrated, picture) -> None:
    raw, found = predictor.predict(picture), calibrated.predict(picture)
    assert raw.names == ["coin", "nut", "nut"]
    assert found.names == ["nut", "nut", "coin"]
    wanted = sorted(
        (_expected(s, i) for s, i in zip(raw.scores.tolist(), raw.labels.tolist(), strict=True))
    )[::-1]
    np.testing.assert_allclose(found.scores, wanted, rtol=1e-5)
    assert found.masks.area.tolist() == [48, 1, 8]
    assert found.source is not None


def test_thresholds_and_tiles_see_calibrated_scores(calibrated, picture) -> None:
    assert calibrated.predict(picture, score_threshold=0.5).names == ["nut"]
    found = calibrated.predict(picture, tiles=16, overlap=4)
    assert found.names == ["nut", "nut", "coin"]


def test_a_threshold_by_name_is_that_of_each_class(calibrated, picture) -> None:
    assert calibrated.predict(picture, score_threshold="auto").names == ["nut"]
    assert calibrated.predict(picture, score_threshold="auto:recall=.9").names == ["nut", "nut"]
    by_class = {"coin": 0.0, "nut": 0.99}
    assert calibrated.predict(picture, score_threshold=by_class).names == ["coin"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("auto:precision=0.93", r"no thresholds for.*auto:recall=0.9.*--precision 0.93"),
        ("automatic", "a score threshold is a number from 0 to 1, auto"),
        ("auto:recall=0", "a score threshold is"),
    ],
)
def test_names_that_nothing_is_stored_for_are_answered_with_those_there_are(
    name, message, calibrated, picture
) -> None:
    with pytest.raises(ConfigError, match=message):
        calibrated.predict(picture, score_threshold=name)


def test_a_name_needs_a_calibrated_model(predictor, picture) -> None:
    with pytest.raises(ConfigError, match="maskwright calibrate MODEL DATA"):
        predictor.predict(picture, score_threshold="auto")


def test_objects_of_other_classes_or_without_scores_are_refused(predictor, picture) -> None:
    found = predictor.predict(picture)
    with pytest.raises(ConfigError, match="of the classes coin, nut"):
        _CALIBRATION(replace(found, class_names=("a", "b")))
    with pytest.raises(ConfigError, match="without scores"):
        _CALIBRATION(replace(found, scores=None))


def test_no_objects_stay_none() -> None:
    empty = Instances.empty((5, 5), class_names=("coin", "nut"), scores=torch.zeros(0))
    assert len(_CALIBRATION(empty)) == 0
    assert len(keep_scores(empty, {"coin": 0.5, "nut": 0.5})) == 0


def test_sizes_move_scores_only_with_the_method_that_says_so() -> None:
    by_size = replace(_CALIBRATION, method="size", slopes=(1.0, 1.0), centre=3.0)
    scores, labels = np.full(3, 0.5), np.ones(3, np.int64)
    areas = np.array([16.0, 64.0, 256.0])  # sides 4, 8, 16
    flat = _CALIBRATION.calibrated(scores, labels, areas)
    assert (flat == flat[0]).all()
    logits = np.log(by_size.calibrated(scores, labels, areas).astype(float))
    logits -= np.log1p(-by_size.calibrated(scores, labels, areas).astype(float))
    np.testing.assert_allclose(logits, [-0.5, 0.5, 1.5], atol=1e-5)


def test_scores_of_zero_and_one_stay_finite_and_ordered() -> None:
    scores = np.array([0.0, 1e-9, 0.5, 1.0])
    found = _CALIBRATION.calibrated(scores, np.zeros(4, np.int64), np.ones(4))
    assert np.isfinite(found).all()
    assert (np.diff(found) >= 0).all()


def test_thresholds_by_class_are_checked(predictor, picture) -> None:
    with pytest.raises(ConfigError, match="score_threshold of nut must be from 0 to 1"):
        PostProcessing(score_threshold={"coin": 0.1, "nut": 1.5})
    with pytest.raises(ConfigError, match="no score threshold for the class 'nut'"):
        predictor.predict(picture, score_threshold={"coin": 0.1})


def test_sure_objects_keep_their_order_in_float32() -> None:
    steep = replace(_CALIBRATION, temperatures=(0.1, 0.1), shifts=(0.0, 5.0))
    scores = np.linspace(0.001, 0.999, 400).astype(np.float32)
    found = steep.calibrated(scores, np.ones(400, np.int64), np.ones(400))
    assert (np.diff(found) > 0).all()
    assert found.max() < 1
