"""The gate of an export that has to find the very objects of its model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from maskwright.errors import EvaluationError
from maskwright.inference import Predictor
from maskwright.model import InstanceSegmenter

__all__ = ["class_thresholds", "require_same_objects"]

_ALLOWED = 1000
"""Of so many objects one may differ: where two boxes overlap almost exactly as much as makes one a
duplicate, rounding decides."""


def class_thresholds(predictor: Predictor) -> Float64[np.ndarray, " k"]:
    """Return what objects of each class score above; NaN where that is not one number.

    Args:
        predictor: Of an `InstanceSegmenter`.
    """
    model = predictor.model
    assert isinstance(model, InstanceSegmenter)
    detector: Any = model.detector
    lowest = np.full(len(model.class_names), float(detector.config.score_threshold))
    calibration = predictor.calibration
    if calibration is None:
        return lowest
    if calibration.method == "size":
        return np.full_like(lowest, np.nan)
    labels = np.arange(len(lowest))
    return calibration.calibrated(lowest, labels, np.ones(len(lowest))).astype(np.float64)


def require_same_objects(objects: int, differing: Sequence[tuple[str, int]], out: Path) -> None:
    """Raise unless an export finds the model's objects, but for one of a thousand.

    Args:
        objects: How many the model finds.
        differing: Pictures and how many objects the export has otherwise, the worst first.
        out: The folder that is not kept, for the message.

    Raises:
        EvaluationError: Names the pictures.
    """
    count = sum(each for _, each in differing)
    if count * _ALLOWED <= objects:
        return
    worst = ", ".join(f"{name} ({each})" for name, each in differing[:5])
    raise EvaluationError(
        f"{out} was not kept, for {count} objects are not those of the model, which finds "
        f"{objects}: boxes differ by more than 0.01 px, scores by 0.0001 or masks by one pixel of "
        f"10,000, in {worst}; export without --end-to-end"
    )
