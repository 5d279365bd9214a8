"""How sure an AP is: a bootstrap interval over pictures.

Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13 (percentile interval):
draw as many pictures as there are, with replacement, score them, repeat, and read the interval
off the quantiles. Pictures are drawn and not objects, since objects of one picture resemble each
other. Only the choice of test pictures is varied: that another training run would give another
model is not in the interval.

Matching happens inside a picture, so it is done once. A replicate is a whole weight per picture
(how often it was drawn), and its AP comes from weighted cumulative sums of matches, which equals
the AP of a data set in which each picture is repeated so often. (Where detections of one picture
and class share a score, their copies would be ranked together here and in turn there.)

Shapes: n detections, m pictures, t = 10 IoU thresholds, b replicates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64, Int64

from maskwright.errors import EvaluationError
from maskwright.evaluation.counting import Matches, match
from maskwright.evaluation.predictions import PredictionSource, load_results, read_predictions
from maskwright.evaluation.scoring import detection_limit
from maskwright.evaluation.truth import TruthSource, load_truth, read_truth
from maskwright.masks.kernels import kernel

__all__ = ["BootstrapInterval", "average_precisions", "bootstrap_interval", "draw_pictures"]


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
    kind: Literal["bbox", "segm"] = "segm",
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
        kind: Masks or boxes.
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
    >>> round(interval.value, 3), interval.low, interval.high
    (0.505, 0.0, 1.0)
    """
    if not 0 < level < 1 or num_replicates < 1:
        raise EvaluationError(
            f"level must be between 0 and 1 and num_replicates at least 1, got {level} "
            f"and {num_replicates}"
        )
    need_masks = kind == "segm"
    true = read_truth(load_truth(truth), need_masks=need_masks)
    found = read_predictions(load_results(predictions), true, need_masks=need_masks)
    matches = match(kind, true, found, detection_limit(true, max_detections)[0])
    m = len(true.image_ids)
    value = float(average_precisions(matches, np.ones((1, m), np.int64))[0])
    low, high, note = _bounds(matches, value, level, num_replicates, seed)
    return BootstrapInterval(value=value, low=low, high=high, level=level, num_images=m, note=note)


def average_precisions(
    matches: Matches, weights: Int64[np.ndarray, "b m"]
) -> Float64[np.ndarray, " b"]:
    """Return the AP of data sets in which pictures are repeated.

    Args:
        matches: Of all pictures, each once.
        weights: How often each picture is there, 0 or more; one row per data set.

    Returns:
        In [0, 1]; -1 where no picture with a true object has a weight.
    """
    weights = np.ascontiguousarray(weights, dtype=np.int64)
    is_true = matches.is_matched & ~matches.is_ignored
    is_false = ~matches.is_matched & ~matches.is_ignored
    total, num_classes = np.zeros(len(weights)), np.zeros(len(weights))
    for label in np.flatnonzero(matches.num_true.any(axis=0)):
        own = np.flatnonzero(matches.labels == label)
        own = own[np.argsort(-matches.scores[own], kind="stable")]
        num_true = weights @ matches.num_true[:, label]
        precision = _class_precisions(
            np.ascontiguousarray(is_true[:, own]),
            np.ascontiguousarray(is_false[:, own]),
            matches.pictures[own],
            weights,
            num_true,
            np.linspace(0.0, 1.0, 101),
        )
        total += precision
        num_classes += num_true > 0
    return np.where(num_classes > 0, total / np.maximum(num_classes, 1), -1.0)


def draw_pictures(
    num_images: int,
    num_replicates: int,
    seed: int,
    groups: Int64[np.ndarray, " m"] | None = None,
) -> Int64[np.ndarray, "b m"]:
    """Return how often each picture is drawn in each replicate.

    Args:
        num_images: m, at least 1.
        num_replicates: b.
        seed: The same seed draws the same pictures.
        groups: The group of each picture, such as its video or patient. Pictures of one group
            are drawn together, since they resemble each other; so many groups as there are.

    >>> draw_pictures(4, 1, 0, groups=np.array([5, 5, 8, 8])).tolist()
    [[1, 1, 1, 1]]
    """
    rng = np.random.default_rng(seed)
    if groups is None:
        return rng.multinomial(num_images, np.full(num_images, 1 / num_images), num_replicates)
    names, owner = np.unique(groups, return_inverse=True)
    n = len(names)
    return rng.multinomial(n, np.full(n, 1 / n), num_replicates)[:, owner]


def _bounds(
    matches: Matches, value: float, level: float, num_replicates: int, seed: int
) -> tuple[float | None, float | None, str]:
    """Return the ends of the interval and what to say about it."""
    m = len(matches.num_true)
    if value < 0:
        return None, None, "No interval: there is no true object."
    if m < 2:
        return None, None, "No interval: there is one picture, and two or more are needed."
    values = average_precisions(matches, draw_pictures(m, num_replicates, seed))
    values = values[values >= 0]
    if not len(values):
        return None, None, "No interval: no replicate drew a picture with a true object."
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2]).tolist()
    note = ""
    if len(values) < num_replicates:
        note = (
            f"{num_replicates - len(values)} of {num_replicates} replicates drew no true object "
            "and are left out of the interval."
        )
    return low, high, note


@kernel
def _class_precisions(
    is_true: Bool[np.ndarray, "t n"],
    is_false: Bool[np.ndarray, "t n"],
    pictures: Int64[np.ndarray, " n"],
    weights: Int64[np.ndarray, "b m"],
    num_true: Int64[np.ndarray, " b"],
    recalls: Float64[np.ndarray, " r"],
) -> Float64[np.ndarray, " b"]:
    """AP of one class in every replicate; detections by falling score. 0 without true objects."""
    num_thresholds, n = is_true.shape
    result = np.zeros(len(weights))
    recall, precision = np.empty(n), np.empty(n)
    for b in range(len(weights)):
        if num_true[b] == 0:
            continue
        for t in range(num_thresholds):
            hits, misses, count = 0, 0, 0
            for i in range(n):
                weight = weights[b, pictures[i]]
                if weight and is_true[t, i]:
                    hits += weight
                    recall[count] = hits / num_true[b]
                    # pycocotools adds the spacing of 1 against a division by zero
                    precision[count] = hits / (misses + hits + 2.220446049250313e-16)
                    count += 1
                elif is_false[t, i]:
                    misses += weight
            # Between two hits precision only falls, so its best at a recall is at a hit.
            for i in range(count - 2, -1, -1):
                precision[i] = max(precision[i], precision[i + 1])
            place = 0
            for r in range(len(recalls)):
                while place < count and recall[place] < recalls[r]:
                    place += 1
                if place == count:
                    break
                result[b] += precision[place]
        result[b] /= num_thresholds * len(recalls)
    return result
