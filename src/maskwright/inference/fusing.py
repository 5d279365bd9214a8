"""Several views of one picture, of one model or of several, made one result, in runs.

Detections of different views are of one object where they are of one class and their masks have an
IoU of half or more; the best agreeing pairs are joined first, and a view has one detection in an
object at most, since a view tells its objects apart itself. Of a fused object

- the **score** is the weighted mean over *all* views, in which a view that did not find it counts
  0 (as in Weighted Boxes Fusion, Solovyev et al. 2021, https://arxiv.org/abs/1910.13302): what one
  of four views sees is a quarter as sure;
- the **mask** is the majority: pixels that have more than half of the votes of the views that
  found it, a vote being weight times score. Where no pixel has that, it is the surest one's;
- the **box** is the mean of theirs, weighted likewise.

Shapes: n detections of v views, g objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float64, Int64

from maskwright.errors import ConfigError
from maskwright.inference.grouping import group_detections
from maskwright.masks import Masks
from maskwright.masks.pairs import common_areas, meeting_pairs
from maskwright.masks.runs import run_boxes
from maskwright.masks.voting import vote_runs
from maskwright.structures import Instances

__all__ = ["fuse_views"]

_SAME = 0.5
"""Mask IoU from which two detections are one object; that from which COCO counts one as found."""

_VOTES = 2**20
"""Votes of the surest detection of a picture; others have their share, rounded."""


def fuse_views(
    views: Sequence[Instances], weights: Sequence[float] | None = None, *, same: float = _SAME
) -> Instances:
    """Return the objects of a picture from those that its views hold, the surest first.

    One view is returned as it is. Without masks, boxes stand in for them.

    Args:
        views: Found objects, at least one set, in the frame of the picture; labels mean the same.
        weights: Of each view, above 0; None takes all alike.
        same: Mask IoU from which two detections are one object, above 0 to 1.

    Raises:
        ConfigError: No views, true objects without scores, or other weights than views.
    """
    shares = _checked_weights(views, weights)
    if len(views) == 1:
        return views[0]
    scores = np.concatenate([_scores(view) for view in views])
    view = np.repeat(np.arange(len(views)), [len(one) for one in views])
    labels = np.concatenate([one.labels.cpu().numpy() for one in views])
    masks = Masks.concatenate([_masks(one) for one in views])
    group = _grouped(masks, labels, view, same)
    num_groups = int(group.max(initial=-1)) + 1
    strength = shares[view] * scores
    fused_scores = np.bincount(group, strength, num_groups) / shares.sum()
    order = np.argsort(-fused_scores, kind="stable")
    fused = _voted(masks, group, strength, num_groups)
    boxes = np.concatenate([one.boxes.detach().cpu().numpy() for one in views])
    label = np.zeros(num_groups, np.int64)
    label[group] = labels
    has_masks = all(one.masks is not None for one in views)
    return replace(
        views[0],
        boxes=torch.from_numpy(_mean_boxes(boxes, group, strength, num_groups)[order]),
        labels=torch.from_numpy(label[order]),
        scores=torch.from_numpy(fused_scores[order].clip(0, 1).astype(np.float32)),
        masks=fused[order] if has_masks else None,
    )


def _checked_weights(
    views: Sequence[Instances], weights: Sequence[float] | None
) -> Float64[np.ndarray, " v"]:
    if not views:
        raise ConfigError("there is nothing to fuse: give one view or more")
    if any(view.scores is None for view in views):
        raise ConfigError("these are true objects without scores: found objects are fused")
    shares = np.ones(len(views)) if weights is None else np.asarray(weights, np.float64)
    if shares.shape != (len(views),):
        raise ConfigError(f"{len(views)} views need as many weights, got {shares.tolist()}")
    if not (np.isfinite(shares).all() and (shares > 0).all()):
        raise ConfigError(f"weights must be above 0, got {shares.tolist()}")
    return shares


def _scores(view: Instances) -> Float64[np.ndarray, " n"]:
    assert view.scores is not None
    scores: np.ndarray = view.scores.detach().cpu().double().numpy()
    return scores


def _masks(view: Instances) -> Masks:
    if view.masks is not None:
        return view.masks
    return Masks.from_boxes(view.boxes.detach().cpu().numpy(), view.image_size)


def _grouped(
    masks: Masks,
    labels: Int64[np.ndarray, " n"],
    view: Int64[np.ndarray, " n"],
    same: float,
) -> Int64[np.ndarray, " n"]:
    """The object that each detection is of, numbered from 0 by first detection."""
    pairs = meeting_pairs(run_boxes(masks.runs, masks.offsets))
    first, second = pairs[:, 0], pairs[:, 1]
    pairs = pairs[(labels[first] == labels[second]) & (view[first] != view[second])]
    common = common_areas(masks.runs, masks.offsets, pairs)
    united = masks.area[pairs].sum(axis=1) - common
    return group_detections(
        pairs,
        common,
        agreement=common / np.maximum(united, 1),
        cover=np.zeros(len(pairs)),
        tile=view,
        same=same,
        covered=1.0,
    )


def _voted(
    masks: Masks,
    group: Int64[np.ndarray, " n"],
    strength: Float64[np.ndarray, " n"],
    num_groups: int,
) -> Masks:
    """The majority of each group, or its surest mask where there is none."""
    shares = strength / strength.max() if strength.any() else np.ones(len(strength))
    votes = np.maximum(np.rint(shares * _VOTES), 1).astype(np.int64)
    totals = np.zeros(num_groups, np.int64)
    np.add.at(totals, group, votes)
    runs, offsets = vote_runs(masks.runs, masks.offsets, group, votes, totals // 2 + 1)
    voted = Masks(masks.image_size, runs, offsets)
    is_empty = np.diff(offsets) == 0
    if not is_empty.any():
        return voted
    surest = np.zeros(num_groups, np.int64)
    ascending = np.argsort(strength, kind="stable")
    surest[group[ascending]] = ascending  # the last one written is the surest
    both = Masks.concatenate([voted, masks])
    return both[np.where(is_empty, num_groups + surest, np.arange(num_groups))]


def _mean_boxes(
    boxes: np.ndarray,
    group: Int64[np.ndarray, " n"],
    strength: Float64[np.ndarray, " n"],
    num_groups: int,
) -> np.ndarray:
    weights = np.maximum(strength, np.finfo(np.float32).tiny)  # scores may be 0
    totals = np.bincount(group, weights, num_groups)
    means = [
        np.bincount(group, weights * boxes[:, side].astype(np.float64), num_groups) / totals
        for side in range(4)
    ]
    mean: np.ndarray = np.stack(means, axis=1).astype(np.float32)
    return mean
