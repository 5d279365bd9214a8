"""Masks of detections in a graph: the mask heads' `crops_from`, and pasting into the picture.

Shapes: b pictures, n detections of all pictures, s cells of a crop per side, p prototypes,
(gh, gw) cells of a map, (H, W) of a mask.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from maskwright.errors import ConfigError
from maskwright.inference.export.end_to_end.builder import GraphBuilder, Value
from maskwright.inference.export.end_to_end.choosing import Found
from maskwright.inference.export.end_to_end.pooling import crop_maps, pool
from maskwright.inference.export.end_to_end.preparing import source_positions
from maskwright.mask_heads import ClassMapHead, MaskHead, MaskRCNNHead, Prototypes, Refined
from maskwright.structures import PIXELS

__all__ = ["PooledGraph", "draw", "mask_areas", "paste"]

PooledGraph = Callable[[str, Mapping[str, Value]], Value]
"""What a graph on pooled features says: `masks`, `mixing` or `refining`, by its inputs."""

_SUREST = 0.998
"""As in `mask_heads.refined`."""


def draw(
    graph: GraphBuilder,
    head: MaskHead,
    dense: Mapping[str, Value],
    found: Found,
    pooled_graph: PooledGraph,
) -> Value:
    """Return the probabilities (n, s, s) in the frame of each box.

    Args:
        graph: Where it is computed.
        head: For its options and levels.
        dense: What the graph of the whole picture says.
        found: In the frame of the batch.
        pooled_graph: Of the heads that pool, by name.

    Raises:
        ConfigError: A mask head that nobody has written as a graph.
    """
    if isinstance(head, ClassMapHead):
        return _from_class_map(graph, head, dense["class_logits"], found)
    if isinstance(head, MaskRCNNHead):
        pooled = _pool(graph, head, dense, found)
        inputs = {"pooled": pooled, "labels": found.labels}
        return graph.add("Sigmoid", pooled_graph("masks", inputs))
    if isinstance(head, Prototypes):
        coefficients = pooled_graph("mixing", {"pooled": _pool(graph, head, dense, found)})
        return _from_prototypes(graph, head, dense["prototypes"], coefficients, found)
    if isinstance(head, Refined):
        coarse = draw(graph, head.coarse, dense, found, pooled_graph)
        return _refine(graph, head, coarse, dense, found, pooled_graph)
    raise ConfigError(f"the mask head {type(head).__name__} cannot be exported with --end-to-end")


def _pool(
    graph: GraphBuilder,
    head: MaskRCNNHead | Prototypes,
    dense: Mapping[str, Value],
    found: Found,
) -> Value:
    config = head.config
    return pool(
        graph,
        {stride: dense[f"features_{stride}"] for stride in head.strides},
        found.boxes,
        found.pictures,
        size=config.pool_size,
        sampling_ratio=config.sampling_ratio,
        method=config.pool if isinstance(config, MaskRCNNHead.Config) else "align_half_pixel",
    )


def _from_class_map(graph: GraphBuilder, head: ClassMapHead, logits: Value, found: Found) -> Value:
    probs = graph.add("Softmax", logits, axis=1)  # (b, k + 1, gh, gw)
    channels = head.num_classes + 1
    maps = probs.reshape(-1, 1, probs.side(2), probs.side(3))
    owners = found.pictures * channels + found.labels + 1
    crops = crop_maps(graph, maps, owners, found.boxes, stride=head.map_stride, size=head.crop_size)
    return crops.at_least(0.0).at_most(1.0)


def _from_prototypes(
    graph: GraphBuilder, head: Prototypes, prototypes: Value, coefficients: Value, found: Found
) -> Value:
    batch, rows, columns = prototypes.side(0), prototypes.side(2), prototypes.side(3)
    count = head.config.num_prototypes
    ranks = found.places.take(1, axis=1)
    # as many maps for every picture as the fullest one needs, so that one product makes them
    most = graph.concat([ranks + 1, np.array([1], np.int64)], 0).largest(0)
    mixes = graph.full(0.0, batch, most, count).put(found.places, coefficients)
    maps = graph.add("MatMul", mixes, prototypes.reshape(batch, count, rows * columns))
    crops = crop_maps(
        graph,
        maps.reshape(batch * most, 1, rows, columns),
        found.pictures * most + ranks,
        found.boxes,
        stride=head.map_stride,
        size=head.config.crop_size,
    )
    return graph.add("Sigmoid", crops)


def _refine(
    graph: GraphBuilder,
    head: Refined,
    coarse: Value,
    dense: Mapping[str, Value],
    found: Found,
    pooled_graph: PooledGraph,
) -> Value:
    """Return the masks (n, s, s) that the coarse ones (n, m, m) are corrected to."""
    size = head.config.size
    last = graph.constant(size - 1)
    taps = _taps(graph, last * 0, last, last + 1, last + 1, coarse.side(1))  # (s, m)
    resized = graph.add("MatMul", graph.add("MatMul", taps, coarse), taps.transpose(1, 0))
    probs = resized.at_least(1.0 - _SUREST).at_most(_SUREST)
    before = graph.add("Log", probs / (graph.constant(1.0) - probs))
    maps = {PIXELS: dense[f"features_{PIXELS}"]}
    if head.detail is not None:
        maps[head.detail_stride] = dense["detail"]
    seen = [
        pool(
            graph,
            {stride: each},
            found.boxes,
            found.pictures,
            size=size,
            sampling_ratio=2,
            method="align_half_pixel",
        )
        for stride, each in maps.items()
    ]
    pooled = graph.concat([before.unsqueeze(3), *seen], 3)  # (n, s, s, c)
    change = pooled_graph("refining", {"pooled": pooled})
    return graph.add("Sigmoid", before + change.squeeze(1))


def paste(
    graph: GraphBuilder, crops: Value, boxes: Value, sizes: Value, frame: tuple[Value, Value]
) -> Value:
    """Return the masks (n, H, W) as uint8, 1 where a crop is above one half: `Masks.paste`.

    One object after the other: all of them in floats would take four times the memory.

    Args:
        graph: Where it is computed.
        crops: (n, s, s).
        boxes: (n, 4) in the frame of the masks.
        sizes: (n, 2) int64 height and width of each one's picture, beyond which is nothing.
        frame: H and W.
    """
    count = crops.side(0)
    one = _painter(graph, crops, boxes, sizes, frame)
    masks = graph.loop(count, lambda index: one(index).cast(np.uint8))
    # without objects a loop does not know the size of what it would have made
    return masks.reshape(count, *frame)


def mask_areas(
    graph: GraphBuilder, crops: Value, boxes: Value, sizes: Value, frame: tuple[Value, Value]
) -> Value:
    """Return the pixels (n,) of each mask that `paste` would return, without keeping it."""
    count = crops.side(0)
    one = _painter(graph, crops, boxes, sizes, frame)
    # counted in two steps: float32 counts to 16 million, which a row never has
    areas = graph.loop(
        count, lambda index: one(index).cast(np.float32).sum(1).cast(np.int64).sum(0)
    )
    return areas.reshape(count)


def _painter(
    graph: GraphBuilder, crops: Value, boxes: Value, sizes: Value, frame: tuple[Value, Value]
) -> Callable[[Value], Value]:
    """Return what makes the mask (H, W) of one object, true where it is."""
    side = crops.side(1)
    padded = graph.add("Pad", crops, np.array([0, 1, 1, 0, 1, 1], np.int64))
    first, last = _grown(boxes, side)

    def taps(index: Value, axis: int) -> Value:
        length = frame[axis]
        start, stop = (each.take(index).take(1 - axis) for each in (first, last))
        return _taps(graph, start, stop, sizes.take(index).take(axis), length, side + 2)

    def paint(index: Value) -> Value:
        down = graph.add("MatMul", taps(index, 0), padded.take(index))  # (H, s + 2)
        return graph.add("MatMul", down, taps(index, 1).transpose(1, 0)) > 0.5

    return paint


def _grown(boxes: Value, side: Value) -> tuple[Value, Value]:
    """Return the first and the last pixel (n, 2), x and y, of the boxes of padded crops."""
    scale = (side + 2).cast(np.float32) / side.cast(np.float32)
    start, end = boxes.cut(0, 2, 1), boxes.cut(2, 4, 1)
    half = (end - start) * 0.5 * scale
    centre = (end + start) * 0.5
    return (centre - half).cast(np.int64), (centre + half).cast(np.int64)


def _taps(
    graph: GraphBuilder, first: Value, last: Value, limit: Value, length: Value, entries: Value
) -> Value:
    """Return how much of each entry of a crop each pixel of an axis is made of.

    Bilinear weights as a matrix: they fall from one to zero within one entry's distance.

    Args:
        graph: Where it is computed.
        first: Pixel of the box.
        last: Pixel of the box, inclusive.
        limit: Side of the picture.
        length: Pixels of the axis.
        entries: Of the crop.
    """
    pixel = graph.count_to(length).unsqueeze(1)  # (length, 1)
    position = source_positions(pixel - first, entries, last - first + 1)
    position = position.at_least(0.0).at_most((entries - 1).cast(np.float32))
    entry = graph.count_to(entries).cast(np.float32).unsqueeze(0)
    distance = graph.add("Abs", position - entry)  # (length, entries)
    weights = graph.add("Relu", graph.constant(1.0) - distance)
    inside = (pixel >= first) & (pixel <= last) & (pixel < limit)
    return inside.where(weights, 0.0)
