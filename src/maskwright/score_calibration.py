"""Scores that say how often an object like this is right, and the thresholds that go with them.

The calibrated score of an object of class c with score p and side s (square root of its area, in
pixels of the picture) is

    sigmoid(logit(p) / T_c + b_c + a_c (log2 s - centre))          logit(p) = log(p / (1 - p))

Methods, each holding the one before: "temperature" fits T alone (Guo et al. 2017), "logistic" also
the shift b (Platt 1999), "size" also the slope a (position-dependent calibration of Kueppers et
al. 2020, by size). What goes in is the score that a detector gives an object, so softmax and
sigmoid heads are treated alike: of a sigmoid head logit(p) is the head's own logit for the class,
of a softmax head the log-odds of the class against all others together. (For two classes that is
temperature scaling of the softmax; for more it is not quite: the logits of the other classes are
not kept with an object.)

T is above 0, so "temperature" and "logistic" keep the order of the objects of one class, and with
it every AP. "size" keeps it among objects of one class and size only. Between classes the order
may change with any method. Above 0.9999 probabilities rise more slowly than the sigmoid does:
nothing is fitted on that many objects, and float32 would run out of numbers below 1, so that the
surest objects would become equal. (Scores that differ by less than float32 can still tell may.)

Shapes: n objects, k classes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64

from maskwright.errors import ConfigError
from maskwright.structures import Instances

__all__ = ["CalibrationMethod", "ScoreCalibration", "parse_threshold_name"]

CalibrationMethod: TypeAlias = Literal["temperature", "logistic", "size"]

_LEAST = 1e-7
"""Scores are kept this far from 0 and 1, where the logit is infinite; float32 is no finer at 1."""

_LEFT = 1e-4
"""Chance of being wrong from which on probabilities rise slowly."""

_NAME = re.compile(r"(?:auto:)?(precision|recall)=(0?\.\d+|1(?:\.0*)?)")


@dataclass(frozen=True, kw_only=True)
class ScoreCalibration:
    """Maps a model's scores to probabilities of being right, class by class.

    Args:
        class_names: The k classes, by label.
        method: How it was fitted.
        temperatures: (k) T of each class, above 0.
        shifts: (k) b of each class.
        slopes: (k) a of each class, per doubling of the side.
        centre: log2 of the side for which the slope does nothing.
        iou_threshold: From which IoU with a true object a found one was taken as right.
        thresholds: Name -> (k) score thresholds, on calibrated scores: "f1", "precision=0.9",
            "recall=0.9" and others.
        default_threshold: Name of those that "auto" means.
        num_objects: Found objects it was fitted on.
    """

    class_names: tuple[str, ...]
    method: CalibrationMethod = "logistic"
    temperatures: tuple[float, ...]
    shifts: tuple[float, ...]
    slopes: tuple[float, ...]
    centre: float = 0.0
    iou_threshold: float = 0.5
    thresholds: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    default_threshold: str = "f1"
    num_objects: int = 0

    def __post_init__(self) -> None:
        k = len(self.class_names)
        if self.method not in get_args(CalibrationMethod):
            raise ConfigError(f"method must be temperature, logistic or size, got {self.method!r}")
        columns = {name: getattr(self, name) for name in ("temperatures", "shifts", "slopes")}
        for name, column in (columns | dict(self.thresholds)).items():
            if len(column) != k or not np.isfinite(column).all():
                raise ConfigError(f"{name} must be {k} finite numbers, one per class, got {column}")
        if not min(self.temperatures, default=1.0) > 0:
            raise ConfigError(f"temperatures must be above 0, got {self.temperatures}")

    def calibrated(
        self,
        scores: Float32[np.ndarray, " n"] | Float64[np.ndarray, " n"],
        labels: Int64[np.ndarray, " n"],
        areas: Float64[np.ndarray, " n"],
    ) -> Float32[np.ndarray, " n"]:
        """Return calibrated scores.

        Args:
            scores: What the model gives, 0 to 1.
            labels: Class of each object.
            areas: Pixels of each in its picture; used by the method "size" alone.

        >>> one = ScoreCalibration(
        ...     class_names=("coin",), temperatures=(2.0,), shifts=(0.0,), slopes=(0.0,)
        ... )
        >>> one.calibrated(np.array([0.5, 0.9]), np.array([0, 0]), np.ones(2)).round(3).tolist()
        [0.5, 0.75]
        """
        logits = logit(scores) / np.asarray(self.temperatures)[labels]
        logits = logits + np.asarray(self.shifts)[labels]
        if self.method == "size":
            sides = np.log2(np.maximum(areas, 1.0)) / 2
            logits = logits + np.asarray(self.slopes)[labels] * (sides - self.centre)
        return _probabilities(logits)

    def __call__(self, instances: Instances) -> Instances:
        """Return the objects with calibrated scores, the highest first, equals as they were.

        Raises:
            ConfigError: The objects are of other classes, or have no scores.
        """
        if instances.class_names != self.class_names:
            raise ConfigError(
                f"this calibration is of a model of the classes {', '.join(self.class_names)}; "
                f"the objects are of {', '.join(instances.class_names)}: calibrate that model"
            )
        if instances.scores is None:
            raise ConfigError("these are true objects without scores: nothing to calibrate")
        scores = self.calibrated(
            instances.scores.detach().cpu().numpy(),
            instances.labels.cpu().numpy(),
            object_areas(instances),
        )
        order = np.argsort(-scores, kind="stable")
        ranked = torch.from_numpy(scores).to(instances.scores.device)
        return replace(instances, scores=ranked)[order]

    def score_thresholds(self, name: str = "auto") -> dict[str, float]:
        """Return the score threshold of each class.

        Args:
            name: "auto", "auto:f1", "auto:precision=0.9", "auto:recall=0.9" or the like.

        Raises:
            ConfigError: Another name, or a precision or recall that none was stored for.
        """
        key = self.default_threshold if name == "auto" else parse_threshold_name(name)
        if key not in self.thresholds:
            known = ", ".join(f"auto:{one}" for one in self.thresholds)
            remedy = f" Calibrate again with --{key.replace('=', ' ')}." if "=" in key else ""
            raise ConfigError(f"no thresholds for {name!r} are stored; there are {known}.{remedy}")
        return dict(zip(self.class_names, self.thresholds[key], strict=True))

    def for_classes(self, class_names: tuple[str, ...]) -> ScoreCalibration:
        """Return the same for classes in another order, that of a model's labels.

        Raises:
            ConfigError: The classes are not the same.
        """
        if sorted(class_names) != sorted(self.class_names):
            raise ConfigError(
                f"a calibration of the classes {', '.join(self.class_names)} does not fit a model "
                f"of {', '.join(class_names)}"
            )
        place = [self.class_names.index(name) for name in class_names]
        return replace(
            self,
            class_names=class_names,
            temperatures=tuple(self.temperatures[i] for i in place),
            shifts=tuple(self.shifts[i] for i in place),
            slopes=tuple(self.slopes[i] for i in place),
            thresholds={key: tuple(one[i] for i in place) for key, one in self.thresholds.items()},
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for json; `from_dict` reads them."""
        return asdict(self) | {"thresholds": {k: list(v) for k, v in self.thresholds.items()}}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ScoreCalibration:
        """Return what `as_dict` wrote.

        Raises:
            ConfigError: Fields are missing, unknown or out of range.
        """
        try:
            fields = dict(values)
            for name in ("class_names", "temperatures", "shifts", "slopes"):
                fields[name] = tuple(fields[name])
            fields["thresholds"] = {k: tuple(v) for k, v in fields["thresholds"].items()}
            return cls(**fields)
        except (KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"this is no calibration of scores: {error!r}") from error


def parse_threshold_name(name: str) -> str:
    """Return "f1", "precision=0.9" or "recall=0.9" for a name with or without "auto:".

    >>> parse_threshold_name("auto:precision=.90")
    'precision=0.9'

    Raises:
        ConfigError: The name is none of these.
    """
    if name in ("f1", "auto:f1"):
        return "f1"
    match = _NAME.fullmatch(name)
    if match is None or not 0 < float(match[2]) <= 1:
        raise ConfigError(
            f"a score threshold is a number from 0 to 1, auto, auto:f1, auto:precision=0.9 or "
            f"auto:recall=0.9 (any number above 0), got {name!r}"
        )
    return f"{match[1]}={float(match[2]):g}"


def logit(scores: np.ndarray) -> Float64[np.ndarray, " n"]:
    """Return log(p / (1 - p)) in float64, finite also at 0 and 1."""
    p = np.clip(np.asarray(scores, np.float64), _LEAST, 1 - _LEAST)
    logits: np.ndarray = np.log(p) - np.log1p(-p)
    return logits


def _probabilities(logits: Float64[np.ndarray, " n"]) -> Float32[np.ndarray, " n"]:
    """Return the sigmoid up to 0.9999, and from there what nears 1 as 1 / logit."""
    start = float(np.log1p(-_LEFT) - np.log(_LEFT))
    sigmoid = 1 / (1 + np.exp(np.clip(-logits, -50, 500)))
    slower = 1 - _LEFT / (1 + np.maximum(logits - start, 0.0) / 10)
    return np.where(logits > start, slower, sigmoid).astype(np.float32)


def object_areas(instances: Instances) -> Float64[np.ndarray, " n"]:
    """Return the pixels of each mask; of each box where there are no masks."""
    if instances.masks is not None:
        return np.asarray(instances.masks.area, np.float64)
    boxes = instances.boxes.detach().cpu().double().numpy()
    areas: np.ndarray = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return areas
