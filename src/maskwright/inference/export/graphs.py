"""What of a model becomes a graph, and where it is cut.

A graph has fixed operations, so what depends on the picture stays outside, in the code that all
runtimes share: non-maximum suppression, RoI pooling, pasting of masks. What is left:

    dense       pixels -> feature maps that boxes are pooled from, what the detector says of every
                place, and the mask head's maps of the whole picture
    boxes       pooled features -> classes and corrections of boxes (Fast and Faster R-CNN)
    crops       warped crops of pixels -> their features (R-CNN)
    masks       pooled features and labels -> mask logits (Mask R-CNN)
    mixing      pooled features -> coefficients of the prototypes
    refining    masks, pixels and detail of boxes -> corrections of the masks (Refined)

Shapes: b pictures, (H, W) of the padded batch, n boxes, c channels, s pooled side, k classes.
Feature maps and pooled features have their channels last, as the shared RoI pooling wants them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from maskwright.detectors import RCNN, SSD, YOLO, Detector, FasterRCNN, FastRCNN
from maskwright.errors import ConfigError
from maskwright.mask_heads import ClassMapHead, MaskHead, MaskRCNNHead, Prototypes, Refined
from maskwright.model import InstanceSegmenter, Model, SemanticSegmenter
from maskwright.structures import PIXELS

__all__ = ["DENSE", "Graph", "graphs_of", "pooled_strides"]

DENSE = "dense"

_KNOWN_DETECTORS = (RCNN, SSD, YOLO, FasterRCNN, FastRCNN)
_KNOWN_HEADS = (ClassMapHead, MaskRCNNHead, Prototypes, Refined)

_EXAMPLE_BOXES = 3
"""Boxes while a graph is traced: any number but 0 and 1, which are taken for constants."""

_EXAMPLE_SIDE = 256
"""Least side of the picture that the network is traced on."""


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A part of a model that can be exported.

    Args:
        name: Of its file.
        module: What is traced; it returns a tuple of tensors.
        inputs: Examples by name, in the module's order.
        dynamic: By input and axis, what `torch.export` shall know of an axis of any length.
        outputs: Names in the module's order.
    """

    name: str
    module: nn.Module
    inputs: Mapping[str, Tensor]
    dynamic: Mapping[str, Mapping[int, Any]]
    outputs: tuple[str, ...]


def graphs_of(model: Model) -> list[Graph]:
    """Return the graphs of a model, in the order in which they run.

    Args:
        model: On the CPU, in evaluation mode.

    Raises:
        ConfigError: A detector or mask head that nobody has cut into graphs.
    """
    if isinstance(model, SemanticSegmenter):
        return [_dense(model, ())]
    _require_known(model.detector, model.mask_head)
    strides = pooled_strides(model.detector, model.mask_head)
    graphs = []
    dense = _dense(model, strides)
    if dense.outputs:
        graphs.append(dense)
    detector, head = model.detector, model.mask_head
    if isinstance(detector, FasterRCNN | FastRCNN):
        box_head = detector.box_head
        graphs.append(
            _of_boxes("boxes", _Boxes(box_head), _pooled(box_head, model), ("logits", "deltas"))
        )
    elif isinstance(detector, RCNN):
        crops = torch.rand(_EXAMPLE_BOXES, 3, *[detector.network.warp_size] * 2)
        graphs.append(_of_boxes("crops", _Crops(detector.network), {"crops": crops}, ("features",)))
    return graphs + _graphs_of_head(head, model)


def _graphs_of_head(head: MaskHead | None, model: InstanceSegmenter) -> list[Graph]:
    """Return what a mask head computes box by box."""
    if isinstance(head, MaskRCNNHead):
        inputs = _pooled(head, model) | {"labels": torch.zeros(_EXAMPLE_BOXES, dtype=torch.int64)}
        return [_of_boxes("masks", _Masks(head), inputs, ("logits",))]
    if isinstance(head, Prototypes):
        return [_of_boxes("mixing", _Mixing(head), _pooled(head, model), ("coefficients",))]
    if isinstance(head, Refined):
        side = head.config.size
        seen = {"pooled": torch.rand(_EXAMPLE_BOXES, side, side, head.in_channels)}
        refining = _of_boxes("refining", _Refining(head), seen, ("change",))
        return [*_graphs_of_head(head.coarse, model), refining]
    return []


def pooled_strides(detector: Detector, head: MaskHead | None) -> tuple[int, ...]:
    """Return the strides of the levels that boxes are pooled from; 1 is the pixels."""
    found: set[int] = set()
    if isinstance(detector, FasterRCNN | FastRCNN):
        found |= set(detector.box_head.strides)
    if isinstance(head, Refined):
        found.add(PIXELS)
        head = head.coarse
    if isinstance(head, MaskRCNNHead | Prototypes):
        found |= set(head.strides)
    return tuple(sorted(found))


class _Dense(nn.Module):
    """All that is computed for the whole picture."""

    def __init__(self, model: Model, strides: tuple[int, ...]) -> None:
        super().__init__()
        self.model = model
        self.strides = strides
        self.names: tuple[str, ...] = ()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        model = self.model
        pixels = (images - model.pixel_mean) / model.pixel_std
        features = model.backbone(pixels)
        if model.neck is not None:
            features = model.neck(features)
        features = {PIXELS: pixels, **features}
        found = {f"features_{s}": features[s].permute(0, 2, 3, 1) for s in self.strides}
        found |= model.dense(features, (images.shape[-2], images.shape[-1]))
        self.names = tuple(found)
        return tuple(each.contiguous() for each in found.values())


class _Boxes(nn.Module):
    def __init__(self, head: Any) -> None:
        super().__init__()
        self.head = head

    def forward(self, pooled: Tensor) -> tuple[Tensor, ...]:
        logits, deltas = self.head.classify(pooled.permute(0, 3, 1, 2))
        return logits, deltas


class _Crops(nn.Module):
    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        return (self.network.describe_crops(crops),)


class _Masks(nn.Module):
    def __init__(self, head: MaskRCNNHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, pooled: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        return (self.head.draw(pooled.permute(0, 3, 1, 2), labels),)


class _Mixing(nn.Module):
    def __init__(self, head: Prototypes) -> None:
        super().__init__()
        self.coefficients = head.coefficients

    def forward(self, pooled: Tensor) -> tuple[Tensor, ...]:
        return (self.coefficients(pooled.permute(0, 3, 1, 2)),)


class _Refining(nn.Module):
    def __init__(self, head: Refined) -> None:
        super().__init__()
        self.correction = head.correction

    def forward(self, pooled: Tensor) -> tuple[Tensor, ...]:
        return (self.correction(pooled.permute(0, 3, 1, 2)),)


def _dense(model: Model, strides: tuple[int, ...]) -> Graph:
    config = model.config
    batch, multiple = torch.export.Dim("b", min=1, max=1024), config.size_multiple
    dynamic: dict[int, Any] = {0: batch}
    if config.fixed_size is None:
        side = multiple * -(-_EXAMPLE_SIDE // multiple)
        size = (side, side + multiple)
        # in multiples of what batches are padded to, so that no level is cut unevenly
        dynamic[2] = multiple * torch.export.Dim("rows", min=1, max=65536 // multiple)
        dynamic[3] = multiple * torch.export.Dim("columns", min=1, max=65536 // multiple)
    else:
        height, width = config.fixed_size
        size = (-(-height // multiple) * multiple, -(-width // multiple) * multiple)
    images = torch.rand((2, 3, *size), generator=torch.Generator().manual_seed(0)) * 255
    module = _Dense(model, strides)
    with torch.no_grad():
        module(images)
    return Graph(
        name=DENSE,
        module=module,
        inputs={"images": images},
        dynamic={"images": dynamic},
        outputs=module.names,
    )


def _of_boxes(
    name: str, module: nn.Module, inputs: Mapping[str, Tensor], outputs: tuple[str, ...]
) -> Graph:
    count = torch.export.Dim("n", min=0, max=1 << 20)
    dynamic = {each: {0: count} for each in inputs}
    return Graph(name=name, module=module, inputs=inputs, dynamic=dynamic, outputs=outputs)


def _pooled(head: Any, model: InstanceSegmenter) -> dict[str, Tensor]:
    channels = (model.backbone if model.neck is None else model.neck).channels
    side = head.config.pool_size
    shape = (_EXAMPLE_BOXES, side, side, channels[head.strides[0]])
    return {"pooled": torch.rand(shape, generator=torch.Generator().manual_seed(0))}


def _require_known(detector: Detector, head: MaskHead | None) -> None:
    if not isinstance(detector, _KNOWN_DETECTORS):
        raise ConfigError(
            f"the detector {type(detector).__name__} cannot be exported: nobody has said what of "
            "it is a graph; there are faster_rcnn, fast_rcnn, rcnn, ssd and yolo"
        )
    if head is not None and not isinstance(head, _KNOWN_HEADS):
        raise ConfigError(
            f"the mask head {type(head).__name__} cannot be exported: nobody has said what of it "
            "is a graph; there are mask_rcnn, fcn, deeplab, prototypes and refined"
        )
