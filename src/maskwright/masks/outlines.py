"""Exact outlines with holes: masks as polygons along the corners of pixels, and back.

An outline is one part of a mask (pixels joined by their sides) and its holes. Its rings are simple
(no corner twice), the exterior turns clockwise as seen on the screen, holes anti-clockwise; rings
of one outline touch at corners at most, so they are valid in the sense of OGC simple features.

How they are traced: the top and the bottom side of every run are edges of length one. On the line
between two columns, the end points of the edges left and right of it, sorted, join in pairs: where
an odd number of them lies above, exactly one of the two columns is set. Where two pixels touch
only at a corner, the end of the upper one comes first, which keeps them apart. Following edges and
pairs gives the rings, without a bitmap, in time linear in the number of runs.

Shapes: n objects, r runs, p points.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Num

from maskwright.errors import MaskError
from maskwright.masks.kernels import kernel
from maskwright.masks.polygons import checked_ring
from maskwright.masks.runs import Runs, offsets_of, sort_and_unite, toggles_to_runs

__all__ = ["Outline", "rasterise_outlines", "trace_outlines"]


@dataclass(frozen=True, eq=False)
class Outline:
    """One part of a mask: the ring around it and the rings around its holes.

    Args:
        exterior: (p, 2) xy corners in pixels of the shared frame, not closed.
        holes: The same for each hole.
    """

    exterior: Num[np.ndarray, "p 2"]
    holes: tuple[Num[np.ndarray, "p 2"], ...] = ()


def trace_outlines(runs: np.ndarray, offsets: np.ndarray) -> list[list[Outline]]:
    """The outlines of each object, in the order in which their first columns come."""
    points, ring_offsets, ring_runs = _trace(runs, _mates(runs, offsets))
    parts = _parts(runs, offsets)
    exteriors: dict[int, np.ndarray] = {}
    holes: dict[int, list[np.ndarray]] = {}
    for (begin, end), run in zip(pairwise(ring_offsets.tolist()), ring_runs, strict=True):
        part = int(parts[run])
        for ring in _simple_rings(points[begin:end]):
            if _doubled_area(ring) > 0:
                exteriors[part] = ring
            else:
                holes.setdefault(part, []).append(ring)
    outlines: list[list[Outline]] = [[] for _ in range(len(offsets) - 1)]
    for part in sorted(exteriors):
        owner = int(np.searchsorted(offsets, part, side="right")) - 1
        outlines[owner].append(Outline(exteriors[part], tuple(holes.get(part, ()))))
    return outlines


def rasterise_outlines(objects: Sequence[Sequence[Outline]], image_size: tuple[int, int]) -> Runs:
    """Runs of the pixels whose centre is in an odd number of rings of one of the outlines.

    A centre on an edge belongs to the side right of it or below it.

    Raises:
        MaskError: Rings of fewer than three points or with coordinates that are not finite; it
            names the index of the object.
    """
    height, width = image_size
    rings: list[np.ndarray] = []
    ring_outlines: list[int] = []
    owners: list[int] = []
    for index, outlines in enumerate(objects):
        for outline in outlines:
            if not isinstance(outline, Outline):
                raise MaskError(f"object {index} must be a list of Outline, got {outline!r:.80}")
            added = [checked_ring(ring, index) for ring in (outline.exterior, *outline.holes)]
            rings += added
            ring_outlines += [len(owners)] * len(added)
            owners.append(index)
    points = np.concatenate([np.zeros((0, 2)), *rings])
    ring_offsets = offsets_of(np.array([len(ring) for ring in rings], np.int64))
    toggles, toggle_offsets = _centre_toggles(points, ring_offsets, height, width)
    of_outline = np.searchsorted(np.array(ring_outlines, np.int64), np.arange(len(owners) + 1))
    runs, run_offsets = toggles_to_runs(toggles, toggle_offsets[of_outline], height, height * width)
    run_owners = np.repeat(np.array(owners, np.int64), np.diff(run_offsets))
    return sort_and_unite(runs, run_owners, len(objects))


def _simple_rings(ring: np.ndarray) -> Iterator[np.ndarray]:
    """Take loops off a ring that passes through a corner twice, until no corner is left twice."""
    if len(np.unique(ring, axis=0)) == len(ring):
        yield ring
        return
    corners: list[tuple[int, int]] = []
    places: dict[tuple[int, int], int] = {}
    for x, y in ring.tolist():
        if (x, y) in places:
            place = places[x, y]
            yield np.array(corners[place:], ring.dtype)
            for corner in corners[place + 1 :]:
                del places[corner]
            del corners[place + 1 :]
        else:
            places[x, y] = len(corners)
            corners.append((x, y))
    yield np.array(corners, ring.dtype)


def _doubled_area(ring: np.ndarray) -> int:
    """Twice the area, positive where the ring turns clockwise on the screen (y points down)."""
    x, y = ring.astype(np.int64).T
    return int(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))


@kernel
def _mates(runs: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    # Edge 2 k is the top of run k and edge 2 k + 1 its bottom; end 2 e is the left and end 2 e + 1
    # the right end of edge e. mates[end] is the end that the line between two columns joins to it.
    mates = np.empty(4 * len(runs), np.int64)
    for owner in range(len(offsets) - 1):
        begin, end = offsets[owner], offsets[owner + 1]
        a, b = (
            2 * begin,
            2 * begin,
        )  # next edge left of the line (its right end counts), right of it
        while a < 2 * end:
            line = runs[a // 2, 0] + 1
            if b < 2 * end:
                line = min(line, runs[b // 2, 0])
            waiting = -1
            while True:
                left = a < 2 * end and runs[a // 2, 0] == line - 1
                right = b < 2 * end and runs[b // 2, 0] == line
                if not (left or right):
                    break
                if left and right:
                    # Of two ends at one height the lower side of a pixel above comes first.
                    a_key = 2 * runs[a // 2, 1 + a % 2] + 1 - a % 2
                    b_key = 2 * runs[b // 2, 1 + b % 2] + 1 - b % 2
                    left = a_key <= b_key
                if left:
                    point = 2 * a + 1
                    a += 1
                else:
                    point = 2 * b
                    b += 1
                if waiting < 0:
                    waiting = point
                else:
                    mates[waiting] = point
                    mates[point] = waiting
                    waiting = -1
    return mates


@kernel
def _trace(runs: np.ndarray, mates: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    points = np.empty((4 * len(runs), 2), np.int32)
    ring_offsets = np.zeros(len(runs) + 1, np.int64)
    ring_runs = np.empty(len(runs), np.int64)
    seen = np.zeros(2 * len(runs), np.bool_)
    count, rings = 0, 0
    for start in range(0, 2 * len(runs), 2):
        if seen[start]:
            continue
        ring_runs[rings] = start // 2
        edge = start
        while not seen[edge]:
            seen[edge] = True
            # Tops are walked to the right and bottoms to the left: set pixels on the right hand.
            rightward = edge % 2 == 0
            after = mates[2 * edge + rightward] // 2
            x = runs[edge // 2, 0] + rightward
            here, there = runs[edge // 2, 1 + edge % 2], runs[after // 2, 1 + after % 2]
            if here != there:
                points[count, 0], points[count, 1] = x, here
                points[count + 1, 0], points[count + 1, 1] = x, there
                count += 2
            edge = after
        rings += 1
        ring_offsets[rings] = count
    return points[:count].copy(), ring_offsets[: rings + 1].copy(), ring_runs[:rings].copy()


@kernel
def _parts(runs: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    # The first run of the part (pixels joined by sides) that each run belongs to.
    parents = np.arange(len(runs))
    for owner in range(len(offsets) - 1):
        a = offsets[owner]
        for b in range(offsets[owner], offsets[owner + 1]):
            while runs[a, 0] < runs[b, 0] - 1 or (
                runs[a, 0] == runs[b, 0] - 1 and runs[a, 2] <= runs[b, 1]
            ):
                a += 1
            k = a
            while runs[k, 0] == runs[b, 0] - 1 and runs[k, 1] < runs[b, 2]:
                one, other = _root(parents, k), _root(parents, b)
                parents[max(one, other)] = min(one, other)
                k += 1
    for k in range(len(runs)):
        parents[k] = _root(parents, k)
    return parents


@kernel
def _root(parents: np.ndarray, k: int) -> int:
    while parents[k] != k:
        parents[k] = parents[parents[k]]
        k = parents[k]
    return k


@kernel
def _centre_toggles(
    points: np.ndarray, ring_offsets: np.ndarray, height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    toggles = np.empty(1024, np.int64)
    offsets = np.zeros(len(ring_offsets), np.int64)
    count = 0
    for ring in range(len(ring_offsets) - 1):
        begin, end = ring_offsets[ring], ring_offsets[ring + 1]
        for k in range(begin, end):
            after = k + 1 if k + 1 < end else begin
            x0, y0, x1, y1 = points[k, 0], points[k, 1], points[after, 0], points[after, 1]
            if x0 > x1:
                x0, y0, x1, y1 = x1, y1, x0, y0
            # Columns whose centre is in [x0, x1); rows whose centre is at the edge or below it.
            first = int(max(np.ceil(x0 - 0.5), 0.0))
            last = int(min(np.ceil(x1 - 0.5), float(width)))
            if count + last - first > len(toggles):
                grown = np.empty(2 * len(toggles) + last - first, np.int64)
                grown[:count] = toggles[:count]
                toggles = grown
            for x in range(first, last):
                y = y0 + (x + 0.5 - x0) * (y1 - y0) / (x1 - x0)
                row = min(max(np.ceil(y - 0.5), 0.0), float(height))
                toggles[count] = x * height + int(row)
                count += 1
        offsets[ring + 1] = count
    return toggles[:count], offsets
