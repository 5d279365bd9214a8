"""RoI pooling in a graph: what `ops.pool_rois` and `mask_heads.map_crops` do.

Shapes: b pictures, c channels, n boxes of all pictures, s pooled cells per side.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from maskwright.inference.export.end_to_end.builder import GraphBuilder, Value
from maskwright.ops import PoolMethod

__all__ = ["crop_maps", "pool"]

_CANONICAL_SIZE, _CANONICAL_LEVEL, _GUARD = 224.0, 4, 1e-6
"""As in `ops.roi_pooling`."""


def pool(
    graph: GraphBuilder,
    features: Mapping[int, Value],
    boxes: Value,
    pictures: Value,
    *,
    size: int,
    sampling_ratio: int,
    method: PoolMethod,
) -> Value:
    """Return the pooled features (n, s, s, c) of boxes, channels last as the graphs want them.

    Args:
        graph: Where it is computed.
        features: Stride -> levels (b, c, h, w) to pool from.
        boxes: (n, 4) in pixels of the batch.
        pictures: (n,) which picture each is of.
        size: s.
        sampling_ratio: Sampled points per side of a cell; unused by max pooling.
        method: See `PoolMethod`.
    """
    strides = sorted(features)

    def pool_level(stride: int, boxes: Value, pictures: Value) -> Value:
        if method == "max":
            return _max_pool(graph, features[stride], boxes, pictures, stride, size)
        aligned = method == "align_half_pixel"
        return _align(
            graph, features[stride], boxes, pictures, stride, size, sampling_ratio, aligned
        )

    if len(strides) == 1:
        return pool_level(strides[0], boxes, pictures).transpose(0, 2, 3, 1)
    levels = _levels(graph, boxes, strides)
    members = [levels.equals(level).places().squeeze(1) for level in range(len(strides))]
    parts = [
        pool_level(stride, boxes.take(chosen), pictures.take(chosen))
        for stride, chosen in zip(strides, members, strict=True)
    ]
    order = graph.concat(members, 0)
    places = graph.count_to(order.side(0))
    back = graph.add("ScatterElements", places, order, places, axis=0)  # the inverse permutation
    return graph.concat(parts, 0).take(back).transpose(0, 2, 3, 1)


def crop_maps(
    graph: GraphBuilder, maps: Value, owners: Value, boxes: Value, *, stride: int, size: int
) -> Value:
    """Return each box's part (n, s, s) of its map.

    Args:
        graph: Where it is computed.
        maps: (m, 1, gh, gw).
        owners: (n,) which map each box is cut from.
        boxes: (n, 4) in pixels of the batch.
        stride: Pixels per cell.
        size: s.
    """
    return _align(graph, maps, boxes, owners, stride, size, 0, True).squeeze(1)


def _levels(graph: GraphBuilder, boxes: Value, strides: list[int]) -> Value:
    """Return (n,) the index of the level of each box, see `ops.assign_levels`."""
    sides = (boxes.cut(2, 4, 1) - boxes.cut(0, 2, 1)).at_least(0.0)
    size = graph.add("Sqrt", (sides.cut(0, 1, 1) * sides.cut(1, 2, 1)))  # (n, 1)
    # where floor(4 + log2(size / 224)) reaches the level of a stride: the same, without logarithms
    limits = [
        _CANONICAL_SIZE * 2 ** (round(np.log2(stride)) - _CANONICAL_LEVEL - _GUARD)
        for stride in strides[1:]
    ]
    return (size >= np.array(limits, np.float32)).cast(np.int64).sum(1)


def _align(
    graph: GraphBuilder,
    maps: Value,
    boxes: Value,
    pictures: Value,
    stride: int,
    size: int,
    sampling_ratio: int,
    aligned: bool,
) -> Value:
    return graph.add(
        "RoiAlign",
        maps,
        boxes,
        pictures,
        mode="avg",
        output_height=size,
        output_width=size,
        sampling_ratio=max(sampling_ratio, 0),
        spatial_scale=1.0 / stride,
        coordinate_transformation_mode="half_pixel" if aligned else "output_half_pixel",
    )


def _max_pool(
    graph: GraphBuilder, maps: Value, boxes: Value, pictures: Value, stride: int, size: int
) -> Value:
    rois = graph.concat([pictures.cast(np.float32).unsqueeze(1), boxes], 1)
    return graph.add(
        "MaxRoiPool", maps, rois, pooled_shape=[size, size], spatial_scale=1.0 / stride
    )
