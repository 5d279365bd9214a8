"""Calibrated scores in a graph: what `ScoreCalibration` does, in float64 as there.

Shapes: b pictures, n detections of all pictures.
"""

from __future__ import annotations

import numpy as np

from maskwright.inference.export.end_to_end.builder import GraphBuilder, Value
from maskwright.inference.export.end_to_end.choosing import Found, best_of
from maskwright.score_calibration import ScoreCalibration

__all__ = ["calibrate", "rank"]

_LEAST, _LEFT = 1e-7, 1e-4
"""As in `score_calibration`."""


def calibrate(
    graph: GraphBuilder, found: Found, calibration: ScoreCalibration, areas: Value | None
) -> Value:
    """Return the calibrated scores (n,).

    Args:
        graph: Where it is computed.
        found: The detections.
        calibration: Of the model's scores.
        areas: (n,) pixels of each object in its picture; the method "size" alone reads them.
    """

    def of_class(column: tuple[float, ...]) -> Value:
        return graph.constant(np.array(column, np.float64)).take(found.labels)

    chance = found.scores.cast(np.float64).at_least(np.float64(_LEAST))
    chance = chance.at_most(np.float64(1 - _LEAST))
    one = graph.constant(np.float64(1))
    odds = graph.add("Log", chance) - graph.add("Log", one - chance)
    logits = odds / of_class(calibration.temperatures) + of_class(calibration.shifts)
    if calibration.method == "size":
        assert areas is not None
        log_area = graph.add("Log", areas.cast(np.float64).at_least(np.float64(1)))
        sides = log_area * np.float64(0.5 / np.log(2.0)) - np.float64(calibration.centre)
        logits = logits + of_class(calibration.slopes) * sides
    return _probabilities(graph, logits)


def rank(graph: GraphBuilder, found: Found, scores: Value, pictures: Value) -> Value:
    """Return (n,) the rows of detections in the order of other scores, picture by picture.

    Args:
        graph: Where it is computed.
        found: The detections as they are ordered now.
        scores: (n,) to order by, falling; equals stay as they are.
        pictures: How many there are, a number.
    """
    count = scores.side(0)
    ranks = found.places.take(1, axis=1)
    most = graph.concat([ranks + 1, np.array([1], np.int64)], 0).largest(0)
    table = graph.full(-1.0, pictures, most).put(found.places, scores)
    rows = graph.full(0, pictures, most).put(found.places, graph.count_to(count))
    chosen = best_of(table, most)
    places = [each.unsqueeze(1) for each in (chosen.pictures, chosen.entries)]
    return rows.take_each(graph.concat(places, 1))


def _probabilities(graph: GraphBuilder, logits: Value) -> Value:
    """Return the sigmoid up to 0.9999, and from there what nears 1 as 1 / logit."""
    start = float(np.log1p(-_LEFT) - np.log(_LEFT))
    one = graph.constant(np.float64(1))
    exponents = (logits * np.float64(-1)).at_least(np.float64(-50)).at_most(np.float64(500))
    sigmoid = one / (graph.add("Exp", exponents) + np.float64(1))
    beyond = (logits - np.float64(start)).at_least(np.float64(0))
    slower = one - graph.constant(np.float64(_LEFT)) / (beyond / np.float64(10) + np.float64(1))
    return (logits > np.float64(start)).where(slower, sigmoid).cast(np.float32)
