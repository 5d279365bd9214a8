"""From scored boxes to detections in a graph: what `ops.select_detections` and the RPN do.

Shapes: b pictures, n boxes of a picture, k classes, d detections of all pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maskwright.inference.export.end_to_end.builder import GraphBuilder, Value
from maskwright.inference.export.end_to_end.geometry import are_larger, clip

__all__ = ["Chosen", "Found", "best_of", "choose", "suppress"]

_MIN_SIDE = 1e-2
"""As in `ops.detections`."""

_OUT = -1.0
"""Score of what is out, below every threshold."""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The best entries of each picture, all pictures behind each other.

    Args:
        places: (d, 2) int64: the picture, and the rank in it.
        entries: (d,) int64 which entry of its picture each is.
        scores: (d,) falling within a picture.
        most: How many places each picture has.
    """

    places: Value
    entries: Value
    scores: Value
    most: Value

    @property
    def pictures(self) -> Value:
        """Return the picture (d,) of each."""
        return self.places.take(0, axis=1)


@dataclass(frozen=True, kw_only=True)
class Found:
    """Detections of all pictures, in the frame of the network's batch.

    Args:
        places: (d, 2) int64: the picture, and the rank in it.
        boxes: (d, 4) xyxy.
        labels: (d,) int64.
        scores: (d,) falling within a picture.
    """

    places: Value
    boxes: Value
    labels: Value
    scores: Value

    @property
    def pictures(self) -> Value:
        """Return the picture (d,) of each."""
        return self.places.take(0, axis=1)


def choose(
    graph: GraphBuilder,
    boxes: Value,
    scores: Value,
    borders: Value,
    *,
    num_classes: int,
    shared: bool,
    score_threshold: float,
    nms_threshold: float,
    max_detections: int,
) -> Found:
    """Return the best boxes of each picture, without duplicates.

    Args:
        graph: Where it is computed.
        boxes: (b, k, n, 4), or (b, 1, n, 4) where all classes share it.
        scores: (b, k, n).
        borders: (b, 4) width and height of each picture, twice.
        num_classes: k.
        shared: Whether all classes share a box.
        score_threshold: Detections score above it.
        nms_threshold: IoU above which the lower score of a class is a duplicate.
        max_detections: Of a picture.
    """
    boxes = clip(boxes, borders.unsqueeze(1, 2))
    scores = are_larger(boxes, _MIN_SIDE).where(scores, _OUT)
    count = boxes.side(2)
    lists = boxes.reshape(-1, count, 4)  # boxes that NMS looks at together
    per_list = num_classes if shared else 1
    kept = suppress(
        graph,
        lists,
        scores.reshape(-1, per_list, count),
        nms_threshold=nms_threshold,
        score_threshold=score_threshold,
        most=max_detections,
    )
    # by box, then class, which is how equal scores are ordered
    by_box = (
        kept.reshape(-1, num_classes, count)
        .transpose(0, 2, 1)
        .reshape(boxes.side(0), count * num_classes)
    )
    chosen = best_of(by_box, max_detections)
    labels, box = chosen.entries % num_classes, chosen.entries / num_classes
    column = labels * 0 if shared else labels
    places = [each.unsqueeze(1) for each in (chosen.pictures, column, box)]
    return Found(
        places=chosen.places,
        boxes=boxes.take_each(graph.concat(places, 1)),
        labels=labels,
        scores=chosen.scores,
    )


def suppress(
    graph: GraphBuilder,
    boxes: Value,
    scores: Value,
    *,
    nms_threshold: float,
    score_threshold: float,
    most: int,
) -> Value:
    """Return the scores with -1 for what is a duplicate or not above the threshold.

    Args:
        graph: Where it is computed.
        boxes: (lists, n, 4).
        scores: (lists, k, n); each class of each list is looked at by itself.
        nms_threshold: IoU above which the lower score is a duplicate.
        score_threshold: What is kept scores above it.
        most: So many of a class are kept.
    """
    limit = np.array([most], np.int64)
    iou = np.array([nms_threshold], np.float32)
    above = np.array([score_threshold], np.float32)
    kept = graph.add("NonMaxSuppression", boxes, scores, limit, iou, above)  # list, class, box
    nothing = graph.full(_OUT, scores.side(0), scores.side(1), scores.side(2))
    return nothing.put(kept, scores.take_each(kept))


def best_of(scores: Value, most: int | Value) -> Chosen:
    """Return the best entries of each picture.

    Args:
        scores: (b, entries), -1 for what is out.
        most: So many of a picture are kept.
    """
    count = scores.side(1).at_most(most)
    best, order = scores.top(count, 1)
    places = (best > 0.5 * _OUT).places()
    return Chosen(
        places=places,
        entries=order.take_each(places),
        scores=best.take_each(places),
        most=count,
    )
