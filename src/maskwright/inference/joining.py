"""One picture's objects from those of its tiles: each object once, whole, however it was cut.

Detections of two tiles are of one object where their masks agree in what the tiles share. What
the joined object is then depends on whether some tile sees it whole:

- **Seen whole.** The tile that holds it farthest from the tile's inner borders decides: its
  detection is kept with box, mask and score, and those of other tiles, which see less around the
  object, are dropped. Where that tile found nothing, nothing is kept: a fragment at a tile's border
  is no object, and every object has the one chance to be found that it has in an uncut picture.
- **Larger than that.** The masks are united, the box is the smallest around theirs, and the score
  is the mean of theirs weighted by area: each speaks for the pixels that it saw.

Shapes: n detections of t tiles, p pairs of detections, g objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Int32, Int64

from maskwright.errors import ConfigError
from maskwright.inference.grouping import group_detections
from maskwright.inference.tiling import TilePlan
from maskwright.masks import Masks
from maskwright.masks.pairs import common_areas, meeting_pairs_of_groups, window_areas
from maskwright.masks.runs import offsets_of, run_boxes, sort_and_unite
from maskwright.structures import Instances

__all__ = ["join_tiles"]

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
    """Return the objects of the picture, the surest first.

    Only objects of one class are joined. Two detections of one tile stay two objects, unless both
    were cut and a neighbour sees both as one. Without masks, boxes stand in for them. Time is
    near-linear in the detections; memory is that of their runs.

    Args:
        plan: Where the picture was cut.
        found: The objects of each window, in the window's frame and in the plan's order.

    Raises:
        ConfigError: Another number of tiles, or objects without scores.
    """
    if len(found) != len(plan):
        raise ConfigError(f"the plan has {len(plan)} tiles, got the objects of {len(found)}")
    if len(plan) == 1:
        return found[0]
    tiled = _Tiled.of(plan, found)
    if not len(tiled.all):
        return tiled.all
    return _resolve(plan, tiled, _grouped(plan, tiled))


@dataclass(frozen=True, kw_only=True)
class _Tiled:
    """The detections of all tiles in the frame of the picture, tile by tile, sorted by x1.

    Args:
        all: The detections.
        tile: Which tile saw each.
        shapes: Their masks, or their boxes as masks.
        boxes: What the shapes cover, xyxy.
    """

    all: Instances
    tile: Int64[np.ndarray, " n"]
    shapes: Masks
    boxes: Int32[np.ndarray, "n 4"]

    @classmethod
    def of(cls, plan: TilePlan, found: Sequence[Instances]) -> _Tiled:
        """Bring every tile's detections to the frame of the picture."""
        everything = _placed(plan, found)
        tile = np.repeat(np.arange(len(plan)), [len(each) for each in found])
        boxes = _covered_boxes(everything)
        order = np.lexsort((boxes[:, 0], tile))
        everything = everything[order]
        shapes = everything.masks
        if shapes is None:
            shapes = Masks.from_boxes(everything.boxes.numpy(), plan.image_size)
        return cls(all=everything, tile=tile[order], shapes=shapes, boxes=boxes[order])


def _placed(plan: TilePlan, found: Sequence[Instances]) -> Instances:
    """All detections, tile after tile, in the frame of the picture."""
    if any(each.scores is None for each in found):
        raise ConfigError("these are true objects without scores: tiles hold found objects")
    corners = [(x, y) for x, y, _, _ in plan]
    shifts = torch.tensor([(x, y, x, y) for x, y in corners], dtype=torch.float32)
    has_masks = all(each.masks is not None for each in found)
    masks = None
    if has_masks:
        parts = [
            each.masks.place(corner, plan.image_size)
            for each, corner in zip(found, corners, strict=True)
            if each.masks is not None and len(each)
        ]
        masks = Masks.concatenate(parts) if parts else Masks.empty(plan.image_size)
    return replace(
        found[0],
        image_size=plan.image_size,
        boxes=torch.cat([each.boxes + shift for each, shift in zip(found, shifts, strict=True)]),
        labels=torch.cat([each.labels for each in found]),
        scores=torch.cat([each.scores for each in found if each.scores is not None]),
        masks=masks,
        source=None,
    )


def _covered_boxes(instances: Instances) -> Int32[np.ndarray, "n 4"]:
    """Integer boxes around the masks; around the boxes where there is no mask or no pixel in it."""
    height, width = instances.image_size
    corners = instances.boxes.double().numpy()
    around = np.concatenate([np.floor(corners[:, :2]), np.ceil(corners[:, 2:])], axis=1)
    boxes: np.ndarray = np.clip(around, 0, [width, height, width, height]).astype(np.int32)
    if instances.masks is None:
        return boxes
    tight = run_boxes(instances.masks.runs, instances.masks.offsets)
    covered: np.ndarray = np.where(tight[:, 2:3] > 0, tight, boxes)
    return covered


def _grouped(plan: TilePlan, tiled: _Tiled) -> Int64[np.ndarray, " n"]:
    """The object that each detection is of, numbered from 0."""
    windows = plan.windows
    tile_offsets = offsets_of(np.bincount(tiled.tile, minlength=len(plan)))
    pairs = meeting_pairs_of_groups(tiled.boxes, tile_offsets, windows)
    labels = tiled.all.labels.numpy()
    pairs = pairs[labels[pairs[:, 0]] == labels[pairs[:, 1]]]
    runs, offsets = tiled.shapes.runs, tiled.shapes.offsets
    common = common_areas(runs, offsets, pairs)
    pairs, common = pairs[common > 0], common[common > 0]
    # Each one's pixels that the other one's tile sees too: only those can agree.
    first = window_areas(runs, offsets, pairs[:, 0].copy(), windows[tiled.tile[pairs[:, 1]]])
    second = window_areas(runs, offsets, pairs[:, 1].copy(), windows[tiled.tile[pairs[:, 0]]])
    cut = _is_cut(plan, tiled)
    return group_detections(
        pairs,
        common,
        agreement=common / (first + second - common),
        cover=np.where(cut[pairs].all(axis=1), common / np.minimum(first, second), 0.0),
        tile=tiled.tile,
        same=_SAME,
        covered=_COVERED,
    )


def _is_cut(plan: TilePlan, tiled: _Tiled) -> Bool[np.ndarray, " n"]:
    """Whether a detection reaches an inner border of its tile."""
    windows, interiors = plan.windows, plan.interiors
    inner = (windows + _REACH * (interiors - windows))[tiled.tile]
    cut: np.ndarray = (tiled.boxes[:, :2] < inner[:, :2]).any(axis=1) | (
        tiled.boxes[:, 2:] > inner[:, 2:]
    ).any(axis=1)
    return cut


def _resolve(plan: TilePlan, tiled: _Tiled, group: Int64[np.ndarray, " n"]) -> Instances:
    """One object per group, or none where the tile that decides found nothing."""
    boxes = _around(tiled.boxes, group)
    decider = plan.deepest((boxes[:, :2] + boxes[:, 2:]) / 2)
    interior = plan.interiors[decider]
    is_whole = ((boxes[:, :2] >= interior[:, :2]) & (boxes[:, 2:] <= interior[:, 2:])).all(axis=1)
    is_decided = is_whole[group] & (tiled.tile == decider[group])
    decided = tiled.all[np.flatnonzero(is_decided)]
    united = _united(tiled, group, ~is_whole)
    return _surest_first(decided, united)


def _united(
    tiled: _Tiled, group: Int64[np.ndarray, " n"], is_wanted: Bool[np.ndarray, " g"]
) -> Instances:
    """The wanted groups, each as one object."""
    members = np.flatnonzero(is_wanted[group])
    parts = tiled.all[members]
    owner = (np.cumsum(is_wanted) - 1)[group[members]]
    num_objects = int(is_wanted.sum())
    masks = None
    if parts.masks is not None:
        run_owner = np.repeat(owner, np.diff(parts.masks.offsets))
        masks = Masks(parts.image_size, *sort_and_unite(parts.masks.runs, run_owner, num_objects))
    assert parts.scores is not None
    # An object without a pixel weighs something too, or its score would be 0 / 0.
    weights = np.maximum(tiled.shapes.area[members], 1).astype(np.float64)
    totals = np.bincount(owner, weights, num_objects)
    scores = np.bincount(owner, weights * parts.scores.double().numpy(), num_objects) / totals
    labels = np.zeros(num_objects, np.int64)
    labels[owner] = parts.labels.numpy()
    return replace(
        parts,
        boxes=torch.from_numpy(_around(parts.boxes.numpy(), owner)),
        labels=torch.from_numpy(labels),
        scores=torch.from_numpy(scores.astype(np.float32)),
        masks=masks,
    )


def _surest_first(decided: Instances, united: Instances) -> Instances:
    assert decided.scores is not None
    assert united.scores is not None
    scores = torch.cat([decided.scores, united.scores])
    masks = None
    if decided.masks is not None and united.masks is not None:
        masks = Masks.concatenate([decided.masks, united.masks])
    both = replace(
        decided,
        boxes=torch.cat([decided.boxes, united.boxes]),
        labels=torch.cat([decided.labels, united.labels]),
        scores=scores,
        masks=masks,
    )
    return both[torch.argsort(scores, descending=True, stable=True).numpy()]


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
