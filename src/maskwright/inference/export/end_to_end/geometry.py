"""Boxes in a graph: decoded, cut at borders and scaled, as `ops.boxes` and `ops.cells` do it.

Shapes: b pictures, n boxes, k classes; any leading dimensions where `...` stands.
"""

from __future__ import annotations

import math

import numpy as np

from maskwright.inference.export.end_to_end.builder import GraphBuilder, Value

__all__ = ["are_larger", "clip", "decode", "decode_distances", "expected_value", "width_height"]

_MAX_LOG_SCALE = math.log(1000.0 / 16)
"""As in `ops.boxes`."""


def decode(
    graph: GraphBuilder,
    deltas: Value,
    anchors: Value,
    weights: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0),
) -> Value:
    """Return the boxes (..., 4) to which deltas (..., 4) lead from anchors."""
    size = anchors.cut(2, 4, -1) - anchors.cut(0, 2, -1)
    centre = anchors.cut(0, 2, -1) + size * 0.5
    deltas = deltas / np.array(weights, np.float32)
    middle = deltas.cut(0, 2, -1) * size + centre
    grown = graph.add("Exp", deltas.cut(2, 4, -1).at_most(_MAX_LOG_SCALE))
    half = grown * size * 0.5
    return graph.concat([middle - half, middle + half], -1)


def expected_value(graph: GraphBuilder, logits: Value, bins: int) -> Value:
    """Return the means (...) of distributions over bins (..., m)."""
    chances = graph.add("Softmax", logits, axis=-1)
    return (chances * np.arange(bins, dtype=np.float32)).sum(-1)


def decode_distances(
    graph: GraphBuilder, distances: Value, centres: Value, strides: Value
) -> Value:
    """Return the boxes (..., 4) whose borders lie so many strides from the centres of cells.

    Args:
        graph: Where it is computed.
        distances: (..., 4), to the left, top, right and bottom.
        centres: (..., 2), x and y in pixels.
        strides: (...), in pixels.
    """
    pixels = distances * strides.unsqueeze(-1)
    return graph.concat([centres - pixels.cut(0, 2, -1), centres + pixels.cut(2, 4, -1)], -1)


def width_height(graph: GraphBuilder, sizes: Value) -> Value:
    """Return (w, h, w, h) of sizes (..., 2), which are (h, w), in float32."""
    height, width = sizes.cut(0, 1, -1), sizes.cut(1, 2, -1)
    return graph.concat([width, height, width, height], -1).cast(np.float32)


def clip(boxes: Value, borders: Value) -> Value:
    """Return the boxes (..., 4) cut at 0 and at `borders`, (w, h, w, h) of their picture."""
    return boxes.at_least(0.0).at_most(borders)


def are_larger(boxes: Value, side: float) -> Value:
    """Return (...) which of the boxes (..., 4) are at least `side` pixels wide and high."""
    sides = boxes.cut(2, 4, -1) - boxes.cut(0, 2, -1)
    return sides.smallest(-1) >= side
