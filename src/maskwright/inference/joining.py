"""One picture's objects from those of its tiles: each object once, whole, however it was cut.

Detections of two tiles are of one object where their masks agree in what the tiles share. What
the joined object is then depends on whether some tile sees it whole:

- **Seen whole.** The tile that holds it farthest from the tile's inner borders decides: its
  detection is kept with box, mask and score, and those of other tiles, which see less around the
  object, are dropped. Where that tile found nothing, nothing is kept: a fragment at a tile's border
  is no object, and every object has the one chance to be found that it has in an uncut picture.
- **Larger than that.** The masks are united, the box is the smallest around theirs, and the score
  is the mean of theirs weighted by area: each speaks for the pixels that it saw.

Shapes: n detections of t tiles, p pairs of detections, g objects, r runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Int64

from maskwright.errors import ConfigError
from maskwright.inference.collecting import Collection, Detections
from maskwright.inference.grouping import group_detections
from maskwright.inference.tiling import TilePlan
from maskwright.masks import Masks
from maskwright.masks.pairs import common_areas, meeting_pairs_of_groups, window_areas
from maskwright.masks.runs import Runs, offsets_of, run_areas, select_runs, sort_and_unite
from maskwright.structures import Instances

__all__ = ["TileJoiner", "join_tiles"]

_SAME = 0.5
"""Intersection over union, inside what two tiles share, from which two detections are one object;
the IoU from which COCO counts an object as found."""

_COVERED = 0.5
"""Of two fragments of a large object the share of the smaller, inside what two tiles share, from
which they belong together."""

_REACH = 4
"""A mask that ends so few pixels before its tile's inner border was cut there: masks drawn by a
network do not end to the pixel."""


def join_tiles(plan: TilePlan, found: Sequence[Instances]) -> Instances:
    """Return the objects of the picture, the surest first; see `TileJoiner`.

    Args:
        plan: Where the picture was cut.
        found: The objects of each window, in the window's frame and in the plan's order.

    Raises:
        ConfigError: Another number of tiles, or objects without scores.
    """
    joiner = TileJoiner(plan)
    for each in found:
        joiner.add(each)
    return joiner.join()


class TileJoiner:
    """Takes the objects of one tile after the other and makes them the objects of the picture.

    Only objects of one class are joined. Two detections of one tile stay two objects, unless both
    were cut and a neighbour sees both as one. Without masks, boxes stand in for them. Time is
    near-linear in the detections; memory is that of their runs and of the result's.

    Args:
        plan: Where the picture was cut.
    """

    def __init__(self, plan: TilePlan) -> None:
        self._plan = plan
        self._windows = list(plan)
        self._collection = Collection(plan.image_size)
        self._num_tiles = 0
        self._first: Instances | None = None

    def add(self, found: Instances) -> None:
        """Take the objects of the next tile in the plan's order, in the frame of its window.

        Raises:
            ConfigError: True objects without scores.
        """
        if found.scores is None:
            raise ConfigError("these are true objects without scores: tiles hold found objects")
        if self._first is None:
            self._first = found
        if self._num_tiles < len(self._windows):
            self._collection.add(found, self._windows[self._num_tiles])
        self._num_tiles += 1

    def join(self) -> Instances:
        """Return the objects of the picture, the surest first.

        Raises:
            ConfigError: There came more or fewer tiles than the plan has.
        """
        if self._num_tiles != len(self._plan) or self._first is None:
            raise ConfigError(
                f"the plan has {len(self._plan)} tiles, got the objects of {self._num_tiles}"
            )
        if len(self._plan) == 1:
            return self._first
        detections = self._collection.detections()
        group = _grouped(self._plan, detections)
        return _resolve(self._plan, detections, group, like=self._first)


def _grouped(plan: TilePlan, found: Detections) -> Int64[np.ndarray, " n"]:
    """The object that each detection is of, numbered from 0."""
    windows = plan.windows
    tile_offsets = offsets_of(np.bincount(found.tile, minlength=len(plan)))
    pairs = meeting_pairs_of_groups(found.covered, tile_offsets, windows)
    pairs = pairs[found.labels[pairs[:, 0]] == found.labels[pairs[:, 1]]]
    common = common_areas(found.runs, found.offsets, pairs)
    pairs, common = pairs[common > 0], common[common > 0]
    # Each one's pixels that the other one's tile sees too: only those can agree.
    first, second = (
        window_areas(found.runs, found.offsets, one.copy(), windows[found.tile[other]])
        for one, other in ((pairs[:, 0], pairs[:, 1]), (pairs[:, 1], pairs[:, 0]))
    )
    cut = _is_cut(plan, found)
    return group_detections(
        pairs,
        common,
        agreement=common / (first + second - common),
        cover=np.where(cut[pairs].all(axis=1), common / np.minimum(first, second), 0.0),
        tile=found.tile,
        same=_SAME,
        covered=_COVERED,
    )


def _is_cut(plan: TilePlan, found: Detections) -> Bool[np.ndarray, " n"]:
    """Whether a detection reaches an inner border of its tile."""
    windows, interiors = plan.windows, plan.interiors
    inner = (windows + _REACH * (interiors - windows))[found.tile]
    return ~_lies_in(found.covered, inner)


def _resolve(
    plan: TilePlan, found: Detections, group: Int64[np.ndarray, " n"], *, like: Instances
) -> Instances:
    """One object per group, or none where the tile that decides found nothing."""
    boxes = _around(found.covered, group)
    decider = plan.deepest((boxes[:, :2] + boxes[:, 2:]) / 2)
    is_whole = _lies_in(boxes, plan.interiors[decider])
    is_decided = is_whole[group] & (found.tile == decider[group])
    chosen = np.flatnonzero(is_decided)
    united = _united(found, group, ~is_whole)
    scores = np.concatenate([found.scores[chosen], united.scores])
    order = np.argsort(-scores, kind="stable")
    masks = None
    if like.masks is not None:
        masks = Masks(plan.image_size, *_interleaved(found, chosen, united, order))
    all_boxes = np.concatenate([found.boxes[chosen], united.boxes])
    all_labels = np.concatenate([found.labels[chosen], united.labels])
    return replace(
        like,
        image_size=plan.image_size,
        boxes=torch.from_numpy(all_boxes[order]),
        labels=torch.from_numpy(all_labels[order]),
        scores=torch.from_numpy(scores[order]),
        masks=masks,
        source=None,
    )


def _interleaved(
    found: Detections,
    chosen: Int64[np.ndarray, " c"],
    united: Detections,
    order: Int64[np.ndarray, " m"],
) -> Runs:
    """Runs of the chosen detections, then the united ones, put in order; copied once."""
    lengths = np.concatenate([np.diff(found.offsets)[chosen], np.diff(united.offsets)])
    offsets = offsets_of(lengths[order])
    runs = np.empty((offsets[-1], 3), np.int32)
    indices = np.concatenate([chosen, np.arange(len(united))])[order]
    is_chosen = order < len(chosen)
    for source, is_here in ((found, is_chosen), (united, ~is_chosen)):
        part, part_offsets = select_runs(source.runs, source.offsets, indices[is_here])
        shift = np.repeat(offsets[:-1][is_here] - part_offsets[:-1], np.diff(part_offsets))
        runs[np.arange(len(part)) + shift] = part
    return runs, offsets


def _united(
    found: Detections, group: Int64[np.ndarray, " n"], is_wanted: Bool[np.ndarray, " g"]
) -> Detections:
    """The wanted groups, each as one object that no tile saw whole."""
    members = np.flatnonzero(is_wanted[group])
    owner = (np.cumsum(is_wanted) - 1)[group[members]]
    num_objects = int(is_wanted.sum())
    runs, offsets = select_runs(found.runs, found.offsets, members)
    areas = run_areas(runs, offsets)
    runs, united_offsets = sort_and_unite(runs, np.repeat(owner, np.diff(offsets)), num_objects)
    # An object without a pixel weighs something too, or its score would be 0 / 0.
    weights = np.maximum(areas, 1).astype(np.float64)
    totals = np.bincount(owner, weights, num_objects)
    scores = np.bincount(owner, weights * found.scores[members], num_objects) / totals
    labels = np.zeros(num_objects, np.int64)
    labels[owner] = found.labels[members]
    return Detections(
        tile=np.full(num_objects, -1),
        boxes=_around(found.boxes[members], owner),
        labels=labels,
        scores=scores.astype(np.float32),
        covered=_around(found.covered[members], owner),
        runs=runs,
        offsets=united_offsets,
    )


def _lies_in(boxes: np.ndarray, frames: np.ndarray) -> Bool[np.ndarray, " n"]:
    """Whether each box lies in the frame of the same index."""
    low = (boxes[:, :2] >= frames[:, :2]).all(axis=1)
    high = (boxes[:, 2:] <= frames[:, 2:]).all(axis=1)
    inside: np.ndarray = np.logical_and(low, high)
    return inside


def _around(boxes: np.ndarray, group: Int64[np.ndarray, " n"]) -> np.ndarray:
    """The smallest box around the boxes of each group; every group from 0 has some."""
    if not len(group):
        return boxes
    order = np.argsort(group, kind="stable")
    firsts = np.flatnonzero(np.diff(group[order], prepend=-1))
    lowest = np.minimum.reduceat(boxes[order, :2], firsts)
    highest = np.maximum.reduceat(boxes[order, 2:], firsts)
    around: np.ndarray = np.concatenate([lowest, highest], axis=1)
    return around
