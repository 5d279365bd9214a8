"""What detectors choose from what their layers say, in a graph: their `detect_from`.

Shapes: b pictures, n places of all levels, k classes, r proposals of all pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from maskwright.detectors import SSD, YOLO, Detector, FasterRCNN
from maskwright.detectors.rpn import RPN
from maskwright.errors import ConfigError
from maskwright.inference.export.end_to_end.builder import GraphBuilder, Value
from maskwright.inference.export.end_to_end.choosing import (
    Chosen,
    Found,
    best_of,
    choose,
    suppress,
)
from maskwright.inference.export.end_to_end.geometry import (
    are_larger,
    clip,
    decode,
    decode_distances,
    expected_value,
)
from maskwright.inference.export.end_to_end.pooling import pool

__all__ = ["BoxesGraph", "find"]

BoxesGraph = Callable[[Value], Mapping[str, Value]]
"""Logits and deltas of boxes from their pooled features: the graph `boxes`."""

_MIN_SIDE = 1e-3
"""As in `detectors.rpn`."""


def find(
    graph: GraphBuilder,
    detector: Detector,
    num_classes: int,
    dense: Mapping[str, Value],
    borders: Value,
    boxes_graph: BoxesGraph,
) -> Found:
    """Return the detections of each picture.

    Args:
        graph: Where it is computed.
        detector: For its options and levels.
        num_classes: k.
        dense: What the graph of the whole picture says.
        borders: (b, 4) width and height of each picture in the batch, twice.
        boxes_graph: Of two-stage detectors.

    Raises:
        ConfigError: A detector whose choice cannot be a graph.
    """
    if isinstance(detector, YOLO):
        candidates = _of_yolo(graph, detector, dense)
    elif isinstance(detector, SSD):
        candidates = _of_ssd(graph, detector, dense)
    elif isinstance(detector, FasterRCNN):
        candidates = _of_faster_rcnn(graph, detector, num_classes, dense, borders, boxes_graph)
    else:
        raise ConfigError(
            f"the detector {type(detector).__name__} cannot be exported with --end-to-end: nobody "
            "has written its choice of boxes as a graph; there are faster_rcnn, ssd and yolo"
        )
    config = detector.config
    return choose(
        graph,
        candidates.boxes,
        candidates.scores,
        borders,
        num_classes=num_classes,
        shared=candidates.are_shared,
        score_threshold=config.score_threshold,
        nms_threshold=config.nms_threshold,
        max_detections=config.detections_per_image,
    )


@dataclass(frozen=True, kw_only=True)
class _Candidates:
    """Boxes with their scores, duplicates and all.

    Args:
        boxes: (b, k, m, 4), or (b, 1, m, 4) where all classes share it.
        scores: (b, k, m).
        are_shared: Whether all classes share a box.
    """

    boxes: Value
    scores: Value
    are_shared: bool


def _of_yolo(graph: GraphBuilder, detector: YOLO, dense: Mapping[str, Value]) -> _Candidates:
    config = detector.config
    scores = graph.add("Sigmoid", dense["logits"])  # (b, n, k)
    count = scores.side(1).at_most(config.pre_nms)
    _, best = scores.largest(2).top(count, 1)  # (b, m)
    distances = dense["distances"].take_each(best.unsqueeze(2), batch_axes=1)
    boxes = decode_distances(
        graph,
        expected_value(graph, distances, config.largest_distance + 1),
        dense["centres"].take(best),
        dense["strides"].take(best),
    )  # (b, m, 4)
    scores = scores.take_each(best.unsqueeze(2), batch_axes=1)
    return _Candidates(boxes=boxes.unsqueeze(1), scores=scores.transpose(0, 2, 1), are_shared=True)


def _of_ssd(graph: GraphBuilder, detector: SSD, dense: Mapping[str, Value]) -> _Candidates:
    config, k = detector.config, detector.num_classes
    probs = graph.add("Softmax", dense["logits"], axis=2)  # (b, n, k + 1)
    scores = probs.cut(1, k + 1, 2).transpose(0, 2, 1)  # (b, k, n)
    best, order = scores.top(scores.side(2).at_most(config.pre_nms), 2)  # (b, k, m)
    moved = decode(graph, dense["deltas"], dense["default_boxes"], config.delta_weights)
    batch, count = order.side(0), order.side(2)
    boxes = moved.take_each(order.reshape(batch, -1, 1), batch_axes=1)
    return _Candidates(boxes=boxes.reshape(batch, k, count, 4), scores=best, are_shared=False)


def _of_faster_rcnn(
    graph: GraphBuilder,
    detector: FasterRCNN,
    num_classes: int,
    dense: Mapping[str, Value],
    borders: Value,
    boxes_graph: BoxesGraph,
) -> _Candidates:
    head = detector.box_head
    chosen, proposals = _propose(graph, detector.rpn, dense, borders)
    pooled = pool(
        graph,
        {stride: dense[f"features_{stride}"] for stride in head.strides},
        proposals,
        chosen.pictures,
        size=head.config.pool_size,
        sampling_ratio=head.config.sampling_ratio,
        method=head.config.pool,
    )
    said = boxes_graph(pooled)
    scores = graph.add("Softmax", said["logits"], axis=1).cut(1, num_classes + 1, 1)  # (r, k)
    boxes = decode(graph, said["deltas"], proposals.unsqueeze(1), head.config.delta_weights)
    shared = head.config.class_agnostic
    lists = 1 if shared else num_classes
    batch = borders.side(0)
    # from one list of all pictures to lists of equal length, with nothing in places left over
    scores = graph.full(-1.0, batch, chosen.most, num_classes).put(chosen.places, scores)
    boxes = graph.full(0.0, batch, chosen.most, lists, 4).put(chosen.places, boxes)
    return _Candidates(
        boxes=boxes.transpose(0, 2, 1, 3), scores=scores.transpose(0, 2, 1), are_shared=shared
    )


def _propose(
    graph: GraphBuilder, rpn: RPN, dense: Mapping[str, Value], borders: Value
) -> tuple[Chosen, Value]:
    """Return the RPN's proposals, and their boxes (r, 4)."""
    config = rpn.config
    boxes, kept = [], []
    for stride in rpn.strides:
        logits = dense[f"objectness_{stride}"]  # (b, a)
        best, order = logits.top(logits.side(1).at_most(config.pre_nms_test), 1)
        deltas = dense[f"deltas_{stride}"].take_each(order.unsqueeze(2), batch_axes=1)
        moved = decode(graph, deltas, dense[f"anchors_{stride}"].take(order))
        moved = clip(moved, borders.unsqueeze(1))
        scores = graph.add("Sigmoid", best)
        real = are_larger(moved, _MIN_SIDE) & (scores >= config.score_threshold)
        left = suppress(
            graph,
            moved,
            real.where(scores, -1.0).unsqueeze(1),
            nms_threshold=config.nms_threshold,
            score_threshold=-0.5,
            most=config.post_nms_test,
        )
        boxes.append(moved)
        kept.append(left.squeeze(1))
    chosen = best_of(graph.concat(kept, 1), config.post_nms_test)
    places = graph.concat([chosen.pictures.unsqueeze(1), chosen.entries.unsqueeze(1)], 1)
    return chosen, graph.concat(boxes, 1).take_each(places)
