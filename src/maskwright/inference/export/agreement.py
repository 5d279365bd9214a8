"""How far an exported model is from the model it was made of: outputs, objects, class maps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from maskwright.errors import MaskwrightError
from maskwright.inference.export.graphs import DENSE, Graph, graphs_of
from maskwright.inference.export.runtime import (
    ExportedSegmenter,
    ExportedSemanticSegmenter,
    run_graph,
)
from maskwright.model import Model
from maskwright.ops import pairwise_iou
from maskwright.structures import Instances

__all__ = ["OutputError", "compare_outputs", "picture_agreement", "require_equal_outputs"]

_TOLERANCE = 1e-3
"""Largest difference of an output that float32 may make, as a part of the largest value. Rounding
makes a thousandth of it, a wrong operation a thousand times as much."""


@dataclass(frozen=True, kw_only=True)
class OutputError:
    """How far one output of a graph is from the model's.

    Args:
        graph: Its name.
        output: Its name.
        largest: Largest difference, as a part of the largest value.
    """

    graph: str
    output: str
    largest: float


@torch.no_grad()
def compare_outputs(
    model: Model, exported: ExportedSegmenter | ExportedSemanticSegmenter
) -> list[OutputError]:
    """Return how far each output is from the model's on noise, the worst first.

    Pictures and numbers of boxes are others than those the graphs were traced on.

    Args:
        model: On the CPU, in evaluation mode.
        exported: Of this model.
    """
    errors = []
    for graph in graphs_of(model):
        inputs = _other_inputs(graph)
        wanted = graph.module(*inputs.values())
        found = run_graph(exported.sessions[graph.name], inputs)
        for name, expected in zip(graph.outputs, wanted, strict=True):
            largest = _difference(found[name], expected)
            errors.append(OutputError(graph=graph.name, output=name, largest=largest))
    return sorted(errors, key=lambda each: -each.largest)


def require_equal_outputs(errors: list[OutputError], folder: Path) -> None:
    """Raise unless every output is the model's but for rounding.

    Raises:
        MaskwrightError: Names the outputs that are not.
    """
    wrong = [each for each in errors if not each.largest <= _TOLERANCE]
    if wrong:
        listed = ", ".join(
            f"{each.graph}/{each.output} by {each.largest:.2g}" for each in wrong[:5]
        )
        raise MaskwrightError(
            f"the exported graphs do not compute what the model does ({listed}, as parts of the "
            f"largest value), so {folder} was not kept: this network has an operation that the "
            "format gets wrong; try another --to"
        )


def picture_agreement(found: Instances, expected: Instances) -> float:
    """Return how alike two results of a picture are, 0 to 1; two empty ones are 1.

    Each object is held against the most similar one of its class in the other result: mean IoU of
    masks, or of boxes without masks, over the objects of both.
    """
    if not len(found) and not len(expected):
        return 1.0
    if not len(found) or not len(expected):
        return 0.0
    iou = pairwise_iou(found.boxes, expected.boxes).numpy()
    if found.masks is not None and expected.masks is not None:
        # masks without a pixel are as alike as their boxes
        have_none = (found.masks.area[:, None] == 0) & (expected.masks.area[None, :] == 0)
        iou = np.where(have_none, iou, found.masks.iou(expected.masks))
    same = (found.labels[:, None] == expected.labels[None, :]).numpy()
    iou = np.where(same, iou, 0.0)
    best = np.concatenate((iou.max(axis=1), iou.max(axis=0)))
    return float(best.mean())


def _other_inputs(graph: Graph) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    inputs = {}
    for name, example in graph.inputs.items():
        shape = list(example.shape)
        shape[0] = 1 if graph.name == DENSE else 5
        if 2 in graph.dynamic[name]:
            shape[2:] = [shape[3], shape[2]]  # upright where the example lies
        if example.dtype == torch.int64:
            inputs[name] = torch.zeros(shape, dtype=torch.int64)
        else:
            noise = torch.rand(shape, generator=generator)
            inputs[name] = noise * (255 if graph.name == DENSE else 1)
    return inputs


def _difference(found: Tensor, expected: Tensor) -> float:
    if found.shape != expected.shape:
        return float("inf")
    if not expected.numel():
        return 0.0
    largest = float(expected.abs().max())
    return float((found - expected).abs().max()) / max(largest, 1e-6)
