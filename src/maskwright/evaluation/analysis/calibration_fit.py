"""Fitting a `ScoreCalibration` on validation pictures, and the score thresholds that go with it.

The parameters are those of the highest likelihood (lowest log loss) of found objects being right or
wrong, a convex problem. A class with few right or few wrong objects takes the parameters, and the
thresholds, of all classes together: its own would be chance.

Shapes: n found objects, k classes, m pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float64

from maskwright.errors import EvaluationError
from maskwright.evaluation.analysis.calibration import right_and_counted
from maskwright.evaluation.analysis.curves import Curve, CurvePoint, curve_of
from maskwright.evaluation.analysis.pairs import FoundAndTrue
from maskwright.score_calibration import (
    CalibrationMethod,
    ScoreCalibration,
    logit,
    parse_threshold_name,
)

__all__ = ["FEW", "calibrated_scores", "fit_calibration", "fit_parameters"]

FEW = 20
"""Right and wrong objects that a class needs, each, for parameters of its own."""

_TARGETS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
_SCALES = (0.02, 50.0)
"""Range of 1 / T: above 0, so that the order of scores is kept."""


def fit_calibration(
    objects: FoundAndTrue,
    *,
    method: CalibrationMethod = "logistic",
    iou_threshold: float = 0.5,
    default_threshold: str = "f1",
    pictures: Bool[np.ndarray, " m"] | None = None,
) -> tuple[ScoreCalibration, tuple[str, ...]]:
    """Fit on found and true objects of pictures that the model has not learnt from.

    Args:
        objects: Found by the model without a calibration, and true.
        method: "temperature", "logistic" or "size"; see `ScoreCalibration`.
        iou_threshold: From which IoU a found object is right.
        default_threshold: What "auto" shall mean: "f1", "precision=0.9", "recall=0.9" or the
            like. Besides it, F1 and precisions and recalls from 0.5 to 0.99 are stored.
        pictures: (m,) which pictures of the truth to fit on; None for all.

    Returns:
        The calibration, and what to know about it, in sentences.

    Raises:
        EvaluationError: Nothing was found, or all of it is right, or wrong.
        ConfigError: An unknown method or threshold.
    """
    default = parse_threshold_name(default_threshold)
    chosen = np.ones(len(objects.truth.image_ids), bool) if pictures is None else pictures
    is_right, counted = right_and_counted(objects, iou_threshold)
    counted &= chosen[objects.found.images]
    scores, labels = objects.found.scores[counted], objects.found.labels[counted]
    areas, is_right = objects.found_areas[counted], is_right[counted]
    if not is_right.any() or is_right.all():
        what = "nothing was found" if not len(is_right) else "all of it is "
        what += "" if not len(is_right) else ("right" if is_right.all() else "wrong")
        raise EvaluationError(
            f"a calibration needs right and wrong found objects, and {what}: take more pictures, "
            "or a lower score threshold in the model"
        )
    k = len(objects.truth.class_names)
    centre = float(np.median(np.log2(np.maximum(areas, 1.0)) / 2))
    sides = np.log2(np.maximum(areas, 1.0)) / 2 - centre
    pooled = fit_parameters(scores, is_right, sides, method)
    parameters = np.tile(pooled, (k, 1))
    own = [label for label in range(k) if _is_enough(is_right[labels == label])]
    for label in own if k > 1 else []:
        rows = labels == label
        parameters[label] = fit_parameters(scores[rows], is_right[rows], sides[rows], method)
    calibration = ScoreCalibration(
        class_names=objects.truth.class_names,
        method=method,
        temperatures=tuple((1 / parameters[:, 0]).tolist()),
        shifts=tuple(parameters[:, 1].tolist()),
        slopes=tuple(parameters[:, 2].tolist()),
        centre=centre,
        iou_threshold=iou_threshold,
        num_objects=len(scores),
    )
    curves = _Thresholds(objects, calibration, chosen, own)
    names = dict.fromkeys(("f1", *_listed("precision"), *_listed("recall"), default))
    thresholds = {name: curves.of(name) for name in names}
    done = replace(calibration, thresholds=thresholds, default_threshold=default)
    return done, (*_on_few(objects, own), *curves.notes(default))


def fit_parameters(
    scores: Float64[np.ndarray, " n"],
    is_right: Bool[np.ndarray, " n"],
    sides: Float64[np.ndarray, " n"],
    method: CalibrationMethod,
) -> Float64[np.ndarray, " 3"]:
    """Return 1 / T, shift and slope of the lowest log loss.

    Args:
        scores: 0 to 1.
        is_right: Of each object.
        sides: log2 of each side less the centre's.
        method: Which of the three are fitted; shift and slope are 0 where they are not.
    """
    from scipy.optimize import minimize

    free = {"temperature": 1, "logistic": 2, "size": 3}[method]
    columns = np.column_stack([logit(scores), np.ones(len(scores)), sides])[:, :free]
    sign = np.where(is_right, 1.0, -1.0)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (columns @ weights)
        slope = -sign / (1 + np.exp(np.clip(margin, -500, 500)))
        return float(np.logaddexp(0, -margin).mean()), slope @ columns / len(columns)

    start = np.array([1.0, 0.0, 0.0])
    bounds = [_SCALES, (None, None), (None, None)][:free]
    found = minimize(loss, start[:free], jac=True, bounds=bounds, method="L-BFGS-B", tol=1e-12)
    parameters = np.zeros(3)
    parameters[:free] = found.x
    return parameters


def calibrated_scores(
    objects: FoundAndTrue, calibration: ScoreCalibration
) -> Float64[np.ndarray, " n"]:
    """Return what `predict` would give the found objects as scores."""
    found = objects.found
    scores = calibration.calibrated(found.scores, found.labels, objects.found_areas)
    return scores.astype(np.float64)


class _Thresholds:
    """Score thresholds of each class on calibrated scores."""

    def __init__(
        self,
        objects: FoundAndTrue,
        calibration: ScoreCalibration,
        pictures: np.ndarray,
        own: Sequence[int],
    ) -> None:
        is_right, counted = right_and_counted(objects, calibration.iou_threshold)
        counted &= pictures[objects.found.images]
        scores = calibrated_scores(objects, calibration)
        true = objects.truth.objects
        true_labels = true.labels[objects.is_single & pictures[true.images]]
        self._names = objects.truth.class_names
        num_true = np.bincount(true_labels, minlength=len(self._names)).tolist()
        self._pooled = curve_of(is_right[counted], scores[counted], sum(num_true))
        self._curves: list[Curve] = []
        for label in range(len(self._names)):
            rows = counted & (objects.found.labels == label)
            curve = curve_of(is_right[rows], scores[rows], num_true[label])
            self._curves.append(curve if label in own else self._pooled)

    def of(self, name: str) -> tuple[float, ...]:
        return tuple(_point(curve, name)[0].threshold for curve in self._curves)

    def notes(self, name: str) -> list[str]:
        """Name the classes that do not reach what is wanted."""
        short = []
        for class_name, curve in zip(self._names, self._curves, strict=True):
            point, reached = _point(curve, name)
            if not reached:
                value = point.precision if name.startswith("precision") else point.recall
                short.append(f"{class_name} ({value:.2f})")
        if not short:
            return []
        listed = ", ".join(short[:5]) + (", ..." if len(short) > 5 else "")
        return [f"No threshold gives {name} for {listed}: theirs comes closest to it."]


def _point(curve: Curve, name: str) -> tuple[CurvePoint, bool]:
    """The wanted point, or the one that comes closest; whether it is the wanted one."""
    if name == "f1":
        best = curve.best_f1()
        assert best is not None  # callers have a right object in every curve
        return best, True
    kind, _, number = name.partition("=")
    if kind == "precision":
        point = curve.for_precision(float(number))
        return (point, True) if point else (curve.point(int(np.argmax(curve.precision))), False)
    point = curve.for_recall(float(number))
    return (point, True) if point else (curve.point(len(curve.scores) - 1), False)


def _is_enough(is_right: np.ndarray) -> bool:
    return int(is_right.sum()) >= FEW and int((~is_right).sum()) >= FEW


def _on_few(objects: FoundAndTrue, own: Sequence[int]) -> list[str]:
    names = objects.truth.class_names
    others = [name for label, name in enumerate(names) if label not in own]
    if len(names) == 1 or not others:
        return []
    listed = ", ".join(others[:5]) + (", ..." if len(others) > 5 else "")
    return [
        f"{listed}: fewer than {FEW} right or {FEW} wrong objects, so the numbers of all classes "
        "together are taken."
    ]


def _listed(kind: str) -> list[str]:
    return [f"{kind}={target:g}" for target in _TARGETS]
