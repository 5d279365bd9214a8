"""Floating-point operations: those of a model on a picture, and the most a machine does."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import torch

from maskwright.inference import Predictor, load
from maskwright.inference.export.runtime import ExportedSegmenter
from maskwright.inference.pictures import as_picture
from maskwright.model import InstanceSegmenter, Model
from maskwright.ops import scale_boxes
from maskwright.recipes.benchmark.child import Stages
from maskwright.recipes.benchmark.machine import measure_peak
from maskwright.recipes.benchmark.ours import watch_network
from maskwright.recipes.operations import OperationCounter
from maskwright.structures import Batch, Features, Instances

__all__ = ["OPEN", "count_by_part"]


def _open_counting(side: dict[str, Any], stages: Stages) -> Callable[[str], list[dict[str, Any]]]:
    """Return what counts the operations of a picture file, as a side of a benchmark.

    Of an exported model those of the network that it was exported from are counted, whose mask
    head draws what the exported one has found.
    """
    del stages  # of time
    predictor = load(
        side["model"], device="cpu", runtime="auto" if side["is_exported"] else "eager"
    )

    def count(path: str) -> list[dict[str, Any]]:
        picture = as_picture(path, predictor.pixel_format)
        found, network = None, predictor.model
        if side["is_exported"]:
            network, found = _network_of(predictor, picture.image)
        assert isinstance(network, Model)
        parts = count_by_part(network, network.collate([picture.image]), found)
        return [{"part": part, "operations": count} for part, count in parts.items()]

    return count


def _open_peak(side: dict[str, Any], stages: Stages) -> Callable[[str], list[dict[str, Any]]]:
    del stages
    if side["threads"] is not None:
        torch.set_num_threads(side["threads"])
    return lambda _: [dataclasses.asdict(measure_peak())]


OPEN: Final[Mapping[str, Callable[[dict[str, Any], Stages], Callable[[str], Any]]]] = {
    "operations": _open_counting,
    "peak": _open_peak,
}
"""What answers in the place of a side, by kind."""


def count_by_part(network: Model, batch: Batch, found: Instances | None = None) -> dict[str, float]:
    """Return the operations of one prediction by part, multiplications and additions apart.

    Convolutions and matrix products are counted, as `count_gflops` does; poolings, NMS and
    pasting are not.

    Args:
        network: It is watched from now on: take one that is used for nothing else.
        batch: One picture.
        found: The objects that the mask head shall draw, in the frame of the original; None for
            those that the network itself finds.
    """
    counter = OperationCounter()
    stages = Stages(lambda: float(counter.operations))
    if found is not None and isinstance(network, InstanceSegmenter):
        _detect_given(network, found)
    watch_network(network, stages)
    with counter:
        if isinstance(network, InstanceSegmenter):
            network.predict(batch)
        else:
            network.class_maps(batch)
    return {part: count for part, count in stages.take().items() if count}


def _network_of(predictor: Predictor, image: Any) -> tuple[Model, Instances | None]:
    """Return a network with random weights like the exported one, and what that has found."""
    exported: Any = predictor.model
    network = exported.header.model.build(exported.header.class_names).eval()
    found = predictor.predict(image) if isinstance(exported, ExportedSegmenter) else None
    return network, found


def _detect_given(network: InstanceSegmenter, found: Instances) -> None:
    """Let the detector do its work, and hand on other objects."""
    detect = network.detector.detect

    def other(features: Features, batch: Batch) -> list[Instances]:
        detect(features, batch)
        size = batch.image_sizes[0]
        boxes = scale_boxes(found.boxes, found.image_size, size)
        return [replace(found, image_size=size, boxes=boxes, masks=None, labels=found.labels)]

    network.detector.__dict__["detect"] = other
