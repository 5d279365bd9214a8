"""Polygons that cross themselves.

Shapes: p points of a ring, edge k runs from point k to the next.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float64, Int64

from maskwright.data.checks.check import Defect
from maskwright.data.checks.picture import Picture

__all__ = ["crossing_edges", "self_crossing"]

_CHUNK = 256  # edges held against all others at a time: memory grows with the points of one ring
_LEAST_LOOP = 0.01
"""Square pixels that a crossing cuts off at least: rounding makes smaller ones. None of the 900
official polygons of our COCO pictures has any."""


def self_crossing(picture: Picture) -> Iterator[Defect]:
    """Find polygons whose outline crosses itself and cuts a piece off."""
    for k, item in enumerate(picture.items.tolist()):
        found = [
            (number, place)
            for number, ring in enumerate(picture.index.rings(item))
            if (place := _crossing(ring.reshape(-1, 2))) is not None
        ]
        if found:
            number, (x, y) = found[0]
            more = f" and {len(found) - 1} more of its polygons" if len(found) > 1 else ""
            yield picture.defect(
                f"polygon {number + 1} crosses itself near ({x:.0f}, {y:.0f}){more}", objects=[k]
            )


def crossing_edges(points: Float64[np.ndarray, "p 2"]) -> Int64[np.ndarray, "c 2"]:
    """Return the pairs of edges of a ring that cross in the inside of both.

    Edges that only touch, at a point or along a line, do not cross.

    >>> bow_tie = np.array([[0.0, 0], [4, 4], [4, 0], [0, 4]])
    >>> crossing_edges(bow_tie).tolist()
    [[0, 2]]
    """
    start, end = points, np.roll(points, -1, axis=0)
    found = []
    for first in range(0, len(points), _CHUNK):
        a, b = start[first : first + _CHUNK, None], end[first : first + _CHUNK, None]
        # Each edge's ends lie strictly on both sides of the other's line.
        one = _side(a, b, start) * _side(a, b, end) < 0
        two = _side(start, end, a) * _side(start, end, b) < 0
        i, j = np.nonzero(one & two)
        found.append(np.stack([i + first, j], axis=1)[j > i + first])
    return np.concatenate([np.empty((0, 2), np.int64), *found])


def _crossing(points: Float64[np.ndarray, "p 2"]) -> tuple[float, float] | None:
    """Return where a ring first crosses itself."""
    for i, j in crossing_edges(points).tolist():
        place = _meeting_point(points, i, j)
        loop = np.concatenate([place[None], points[i + 1 : j + 1]])
        rest = np.concatenate([place[None], points[j + 1 :], points[: i + 1]])
        if min(_area(loop), _area(rest)) >= _LEAST_LOOP:
            return float(place[0]), float(place[1])
    return None


def _side(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """On which side of the line from a to b the points c lie: the sign of the cross product."""
    side: np.ndarray = (b[..., 0] - a[..., 0]) * (c[..., 1] - a[..., 1]) - (
        b[..., 1] - a[..., 1]
    ) * (c[..., 0] - a[..., 0])
    return side


def _meeting_point(points: Float64[np.ndarray, "p 2"], i: int, j: int) -> np.ndarray:
    p, r = points[i], points[(i + 1) % len(points)] - points[i]
    q, s = points[j], points[(j + 1) % len(points)] - points[j]
    along = ((q - p)[0] * s[1] - (q - p)[1] * s[0]) / (r[0] * s[1] - r[1] * s[0])
    place: np.ndarray = p + along * r
    return place


def _area(ring: Float64[np.ndarray, "p 2"]) -> float:
    x, y = ring.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
