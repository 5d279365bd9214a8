"""What a model costs: time, arithmetic, parameters."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from maskwright.data import read_picture
from maskwright.inference import Predictor
from maskwright.model import InstanceSegmenter
from maskwright.recipes.operations import OperationCounter

__all__ = ["count_gflops", "count_parameters", "time_in_turn"]


def count_parameters(model: InstanceSegmenter) -> int:
    """Return how many numbers the model learns or has learnt, frozen ones included."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_gflops(model: InstanceSegmenter, image: Shaped[np.ndarray, "h w c"]) -> float:
    """Return the arithmetic of one prediction in units of 10^9 operations.

    Multiplications and additions of convolutions and matrix products, counted apart (so twice the
    multiply-adds), of all parts on the resized picture. Poolings, NMS and pasting are not counted.
    Where parts run once per object, the objects found on this picture count.
    """
    with OperationCounter() as counter:
        model.predict(model.collate([image]))
    return counter.operations / 1e9


def time_in_turn(predictors: Mapping[str, Predictor], pictures: Sequence[Path]) -> dict[str, float]:
    """Return the median milliseconds of each model from picture file to objects with masks.

    Of models that find no objects, to the class map.

    All models predict on one picture before the next is taken, each picture beginning with
    another model, so that whatever else the machine does meets all of them. Each picture is
    predicted once: detectors that propose regions remember those of pictures they have seen. The
    warm-up is on the first picture mirrored for the same reason.

    Args:
        predictors: Models by name, which have not seen the pictures in this process.
        pictures: Picture files, one or more.

    Raises:
        ImageError: A picture cannot be read.
    """
    for predictor in predictors.values():
        first_picture = read_picture(pictures[0], predictor.pixel_format)
        _answer(predictor, np.ascontiguousarray(first_picture[:, ::-1]))
    seconds: dict[str, list[float]] = {name: [] for name in predictors}
    names = list(predictors)
    for number, picture in enumerate(pictures):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            began = time.perf_counter()
            _answer(predictors[name], picture)
            seconds[name].append(time.perf_counter() - began)
    return {name: 1000 * statistics.median(measured) for name, measured in seconds.items()}


def _answer(predictor: Predictor, picture: Path | Shaped[np.ndarray, "h w c"]) -> None:
    if predictor.finds_objects:
        predictor.predict(picture)
    else:
        predictor.class_map(picture)
