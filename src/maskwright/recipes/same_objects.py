"""The gate of an export that has to find the very objects of its model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from maskwright.detectors import RCNN, SSD, YOLO, FasterRCNN, FastRCNN
from maskwright.errors import EvaluationError
from maskwright.inference import Predictor
from maskwright.inference.export.sameness import Selection
from maskwright.model import InstanceSegmenter

__all__ = ["require_same_objects", "selection_of"]

_ALLOWED = 1000
"""Of so many objects one may differ: where two boxes overlap almost exactly as much as makes one a
duplicate, rounding decides."""


_SELECTING = (RCNN, SSD, YOLO, FasterRCNN, FastRCNN)


def selection_of(predictor: Predictor) -> Selection | None:
    """Return which objects a model finds at all; None where its options do not say it.

    Args:
        predictor: Of the model in PyTorch, maybe calibrated.
    """
    model = predictor.model
    if not isinstance(model, InstanceSegmenter) or not isinstance(model.detector, _SELECTING):
        return None
    config, calibration = model.detector.config, predictor.calibration
    lowest = np.full(len(model.class_names), float(config.score_threshold))
    if calibration is not None and calibration.method == "size":
        lowest = np.full_like(lowest, np.nan)
    elif calibration is not None:
        labels = np.arange(len(lowest))
        lowest = calibration.calibrated(lowest, labels, np.ones(len(lowest))).astype(np.float64)
    return Selection(thresholds=lowest, most=config.detections_per_image)


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
