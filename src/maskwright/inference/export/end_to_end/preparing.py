"""Pictures to the network's batch in a graph: what `collate_pictures` does.

Pictures are resized by gathering the four pixels around every pixel of the result. The standard's
Resize has one size for all pictures of a batch, and would turn all pixels of a large picture into
floats first.

Shapes: b pictures, (h, w) of the array that holds them, (H, W) of the padded batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maskwright.inference.export.end_to_end.builder import GraphBuilder, Value
from maskwright.model import ModelConfig

__all__ = ["Prepared", "prepare", "resized_sizes", "source_positions"]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Pictures as the network takes them.

    Args:
        pixels: (b, 3, H, W) float32, 0 to 255; padding is the mean.
        sizes: (b, 2) int64 height and width of each inside the padding.
        padded: (2,) int64 H and W.
    """

    pixels: Value
    sizes: Value
    padded: Value


def prepare(
    graph: GraphBuilder,
    images: Value,
    sizes: Value,
    config: ModelConfig,
    mean: tuple[float, ...],
) -> Prepared:
    """Resize pictures, bilinearly, and pad them to one batch.

    Args:
        graph: Where it is computed.
        images: (b, h, w, 3) uint8, each picture at the left top.
        sizes: (b, 2) int64 height and width of each.
        config: What size the network wants.
        mean: Of the channels.
    """
    resized = resized_sizes(graph, sizes, config)
    multiple = config.size_multiple
    padded = (resized.largest(0) + (multiple - 1)) / multiple * multiple
    rows = _taps(graph, sizes, resized, padded, 0)
    columns = _taps(graph, sizes, resized, padded, 1)
    height, width = images.side(1), images.side(2)
    table = images.reshape(-1, 3)
    picture = graph.count_to(images.side(0)).unsqueeze(1, 2)  # (b, 1, 1)

    def read(row: Value, column: Value) -> Value:
        place = (picture * height + row.unsqueeze(2)) * width + column.unsqueeze(1)
        return table.take(place).cast(np.float32)  # (b, H, W, 3)

    across = columns.far.unsqueeze(1, 3)  # (b, 1, W, 1)
    down = rows.far.unsqueeze(2, 3)  # (b, H, 1, 1)
    upper = _blend(read(rows.lower, columns.lower), read(rows.lower, columns.upper), across)
    lower = _blend(read(rows.upper, columns.lower), read(rows.upper, columns.upper), across)
    inside = rows.inside.unsqueeze(2, 3) & columns.inside.unsqueeze(1, 3)
    pixels = inside.where(_blend(upper, lower, down), np.array(mean, np.float32))
    return Prepared(pixels=pixels.transpose(0, 3, 1, 2), sizes=resized, padded=padded)


@dataclass(frozen=True, kw_only=True)
class _Taps:
    """Along one axis, of each place (b, places): what it is made of."""

    lower: Value
    upper: Value
    far: Value
    inside: Value


def resized_sizes(graph: GraphBuilder, sizes: Value, config: ModelConfig) -> Value:
    """Return (b, 2) what `transforms.resized_size` says, in float64 as there."""
    if config.fixed_size is not None:
        fixed = np.array([config.fixed_size], np.int64)
        return graph.add("Expand", fixed, graph.vector(sizes.side(0), 2))
    exact = sizes.cast(np.float64)
    by_short = graph.constant(np.float64(config.short_side)) / exact.smallest(1, keep=True)
    by_long = graph.constant(np.float64(config.long_side)) / exact.largest(1, keep=True)
    grown = graph.add("Floor", exact * by_short.at_most(by_long))
    return grown.cast(np.int64).at_least(1)


def _taps(graph: GraphBuilder, sizes: Value, resized: Value, padded: Value, axis: int) -> _Taps:
    """Return what each place reads, as torch's `interpolate` has it without aligned corners."""
    old = sizes.take(np.array([axis], np.int64), axis=1)  # (b, 1)
    new = resized.take(np.array([axis], np.int64), axis=1)
    place = graph.count_to(padded.take(axis)).unsqueeze(0)  # (1, places)
    position = source_positions(place, old, new).at_least(0.0)
    last = old - 1
    lower = position.cast(np.int64).at_most(last)
    far = (position - lower.cast(np.float32)).at_most(1.0)
    return _Taps(lower=lower, upper=(lower + 1).at_most(last), far=far, inside=place < new)


def source_positions(place: Value, old: Value, new: Value) -> Value:
    """Return where in `old` entries each place of `new` ones lies, in float32, below 0 too.

    float32 times float32 is exact in float64, so what is rounded is the result alone, as where
    torch's kernels fuse multiplication and addition.
    """
    scale = old.cast(np.float32) / new.cast(np.float32)
    half = np.float64(0.5)
    return (scale.cast(np.float64) * (place.cast(np.float64) + half) - half).cast(np.float32)


def _blend(near: Value, far: Value, weight: Value) -> Value:
    return near * (near.graph.constant(1.0) - weight) + far * weight
