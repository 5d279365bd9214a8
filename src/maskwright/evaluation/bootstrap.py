"""The AP of predictions with its bootstrap interval over pictures.

What is drawn and what the interval means is said in `resampling.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from maskwright.errors import EvaluationError
from maskwright.evaluation.counting import Kind
from maskwright.evaluation.inputs import Inputs
from maskwright.evaluation.limits import detection_limit
from maskwright.evaluation.matching import Outcomes, match_objects
from maskwright.evaluation.prediction_sources import PredictionSource, load_results
from maskwright.evaluation.predictions import read_predictions
from maskwright.evaluation.ranking import ranked_numbers
from maskwright.evaluation.resampling import draw_pictures, interval_around
from maskwright.evaluation.truth import TruthSource, load_truth, read_truth

__all__ = ["BootstrapInterval", "average_precisions", "bootstrap_interval"]


@dataclass(frozen=True, kw_only=True)
class BootstrapInterval:
    """An AP and the interval in which it lies for other pictures of the same kind.

    Args:
        value: AP over all pictures, IoU 0.50 to 0.95, in [0, 1]; -1 without true objects.
        low: Lower end; None where there is no interval.
        high: Upper end; None where there is no interval.
        level: Share of the replicates inside.
        num_images: Pictures that were drawn from.
        note: Why there is no interval, or what to know about it; may be "".
    """

    value: float
    low: float | None
    high: float | None
    level: float
    num_images: int
    note: str = ""


def bootstrap_interval(
    predictions: PredictionSource,
    truth: TruthSource,
    *,
    kind: Kind = "segm",
    level: float = 0.95,
    num_replicates: int = 1000,
    max_detections: int | None = None,
    seed: int = 0,
) -> BootstrapInterval:
    """Return the AP of predictions with its bootstrap interval over pictures.

    Without true objects, or with fewer than two pictures, there is no interval and the note says
    why. Classes without an object in a replicate are left out of it, as COCO leaves them out.

    Args:
        predictions: As for `evaluate`.
        truth: As for `evaluate`.
        kind: Masks, boxes or boundaries.
        level: Share of the replicates inside the interval, between 0 and 1.
        num_replicates: How many times pictures are drawn.
        max_detections: As for `evaluate`.
        seed: Of the drawing; the same seed draws the same pictures for every model.

    Raises:
        DataError: The truth cannot be read or contradicts itself.
        EvaluationError: A prediction that does not fit the truth, or an option out of range.

    >>> square = {"size": [20, 20], "counts": [42, 6, 14, 6, 14, 6, 312]}
    >>> truth = {
    ...     "images": [{"id": i, "height": 20, "width": 20, "file_name": ""} for i in (1, 2, 3)],
    ...     "categories": [{"id": 1, "name": "coin"}],
    ...     "annotations": [
    ...         {"id": i, "image_id": i, "category_id": 1, "segmentation": square} for i in (1, 2)
    ...     ],
    ... }
    >>> found = [{"image_id": 1, "category_id": 1, "score": 0.9, "segmentation": square}]
    >>> interval = bootstrap_interval(found, truth)
    >>> round(interval.value, 3), interval.low, round(interval.high, 2)
    (0.505, 0.0, 1.0)
    """
    if not 0 < level < 1 or num_replicates < 1:
        raise EvaluationError(
            f"level must be between 0 and 1 and num_replicates at least 1, got {level} "
            f"and {num_replicates}"
        )
    need_masks = kind != "bbox"
    coco = load_truth(truth)
    true = read_truth(coco, need_masks=need_masks)
    found = read_predictions(load_results(predictions, coco), true, need_masks=need_masks)
    limit = detection_limit(true, max_detections)[0]
    outcomes = match_objects(true, found, Inputs(true, found).closeness(kind), limit=limit)
    m = len(true.image_ids)
    value = float(average_precisions(outcomes, np.ones((1, m), np.int64))[0])
    low, high, note = _bounds(outcomes, value, level, num_replicates, seed)
    return BootstrapInterval(value=value, low=low, high=high, level=level, num_images=m, note=note)


def average_precisions(
    outcomes: Outcomes, weights: Int64[np.ndarray, "b m"]
) -> Float64[np.ndarray, " b"]:
    """Return the AP of data sets in which pictures are repeated.

    Args:
        outcomes: Of all pictures, each once.
        weights: How often each picture is there, 0 or more; one row per data set.

    Returns:
        In [0, 1]; -1 where no picture with a true object has a weight.
    """
    values = ranked_numbers(outcomes, weights, limits={})[0]["AP"]
    return np.where(np.isfinite(values), values, -1.0)


def _bounds(
    outcomes: Outcomes, value: float, level: float, num_replicates: int, seed: int
) -> tuple[float | None, float | None, str]:
    """Return the ends of the interval and what to say about it."""
    m = outcomes.num_images
    if value < 0:
        return None, None, "No interval: there is no true object."
    if m < 2:
        return None, None, "No interval: there is one picture, and two or more are needed."
    values = average_precisions(outcomes, draw_pictures(m, num_replicates, seed))
    values = values[values >= 0]
    if not len(values):
        return None, None, "No interval: no replicate drew a picture with a true object."
    interval = interval_around(value, values, level)
    assert interval is not None
    low, high = interval
    note = ""
    if len(values) < num_replicates:
        note = (
            f"{num_replicates - len(values)} of {num_replicates} replicates drew no true object "
            "and are left out of the interval."
        )
    return low, high, note
