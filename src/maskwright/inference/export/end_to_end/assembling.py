"""One ONNX graph of the graphs of a folder: from pictures to detections.

Inputs and outputs, for b pictures in an array of (H, W) and n detections of all of them:

    images    (b, H, W, 3) uint8 RGB, each picture at the left top
    sizes     (b, 2) int64 height and width of each

    boxes     (n, 4) float32 xyxy, pixels of the picture
    labels    (n,) int64
    scores    (n,) float32, falling within a picture
    pictures  (n,) int64 which picture each is of, rising
    crops     (n, s, s) float32 probabilities of the mask in the frame of the box
    masks     (n, H, W) uint8, 1 where the object is; by choice
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.detectors import FasterRCNN, FastRCNN, RCNN
from maskwright.errors import ConfigError, MaskwrightError
from maskwright.inference.export.end_to_end.builder import GraphBuilder, Value
from maskwright.inference.export.end_to_end.choosing import Found
from maskwright.inference.export.end_to_end.detectors import find
from maskwright.inference.export.end_to_end.geometry import width_height
from maskwright.inference.export.end_to_end.masks import draw, paste
from maskwright.inference.export.end_to_end.preparing import Prepared, prepare
from maskwright.inference.export.folder import ExportHeader
from maskwright.inference.export.graphs import DENSE
from maskwright.mask_heads import MaskHead
from maskwright.model import InstanceSegmenter, ModelConfig

__all__ = ["assemble", "require_end_to_end"]


def require_end_to_end(config: ModelConfig) -> None:
    """Raise unless a model can be one graph.

    Raises:
        ConfigError: It cannot; says why and what to use instead.
    """
    if not isinstance(config, InstanceSegmenter.Config):
        raise ConfigError(
            "--end-to-end puts the choice of detections into the graph, and a semantic model has "
            "none: export without it, which writes one graph from pixels to the class map"
        )
    if isinstance(config.detector, FastRCNN.Config | RCNN.Config):
        raise ConfigError(
            f"the detector {config.detector.kind!r} cannot be exported with --end-to-end: it takes "
            "its boxes from selective search on the pixels, which no ONNX operator does; export "
            "without --end-to-end, or train faster_rcnn, which finds boxes with a network"
        )


def assemble(folder: Path, header: ExportHeader, *, full_masks: bool) -> Any:
    """Return the `ModelProto` of the whole.

    Args:
        folder: With the graphs of the model in ONNX.
        header: What its `config.json` says.
        full_masks: Whether it also gives masks of the size of the pictures.

    Raises:
        ConfigError: A model that cannot be one graph, see `require_end_to_end`.
    """
    require_end_to_end(header.model)
    parts = _read_parts(folder, header)
    model = _Parts.of(header)
    graph = GraphBuilder(_opset(parts))
    images = graph.input("images", np.uint8, ["b", "H", "W", 3])
    sizes = graph.input("sizes", np.int64, ["b", 2])
    batch = prepare(graph, images, sizes, header.model, header.pixel_mean)
    dense = _with_channels_first(
        graph.inline(parts[DENSE], DENSE, {"images": batch.pixels})
    )
    found = find(
        graph,
        model.detector,
        len(header.class_names),
        dense,
        width_height(graph, batch.sizes),
        lambda pooled: graph.inline(parts["boxes"], "boxes", {"pooled": pooled}),
    )
    boxes = _in_originals(graph, found, sizes, batch)
    graph.output("boxes", boxes, np.float32, ["n", 4])
    graph.output("labels", found.labels, np.int64, ["n"])
    graph.output("scores", found.scores, np.float32, ["n"])
    graph.output("pictures", found.pictures, np.int64, ["n"])
    if model.head is not None:
        (name,) = {"masks", "mixing"} & set(parts) or {""}
        crops = draw(
            graph,
            model.head,
            dense,
            found,
            lambda inputs: next(iter(graph.inline(parts[name], name, inputs).values())),
        )
        graph.output("crops", crops, np.float32, ["n", "s", "s"])
        if full_masks:
            frame = (images.side(1), images.side(2))
            masks = paste(graph, crops, boxes, sizes.take(found.pictures), frame)
            graph.output("masks", masks, np.uint8, ["n", "H", "W"])
    metadata = {
        "class_names": json.dumps(header.class_names),
        "category_ids": json.dumps(header.category_ids),
    }
    return graph.to_model("maskwright", metadata)


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """The modules of the model, for their options and levels; their weights are in the graphs."""

    detector: Any
    head: MaskHead | None

    @classmethod
    def of(cls, header: ExportHeader) -> _Parts:
        config, count = header.model, len(header.class_names)
        assert isinstance(config, InstanceSegmenter.Config)
        head = config.mask_head
        return cls(
            detector=config.detector.build(header.channels, count),
            head=None if head is None else head.build(header.channels, count),
        )


def _read_parts(folder: Path, header: ExportHeader) -> dict[str, Any]:
    import onnx

    return {
        name: onnx.load(folder / next(iter(graph.files)))
        for name, graph in header.graphs.items()
        if graph.outputs
    }


def _opset(parts: Mapping[str, Any]) -> int:
    """Return the version of the operators, one for all parts.

    Raises:
        MaskwrightError: There are several, or others than the standard's.
    """
    versions = {(each.domain, each.version) for part in parts.values() for each in part.opset_import}
    if len(versions) != 1 or next(iter(versions))[0] not in ("", "ai.onnx"):
        raise MaskwrightError(
            f"the parts of the model are of several sets of operators ({sorted(versions)}), which "
            "one graph cannot hold"
        )
    return int(next(iter(versions))[1])


def _with_channels_first(dense: Mapping[str, Value]) -> dict[str, Value]:
    """Return what the graph says with feature maps as ONNX pools from them."""
    return {
        name: each.transpose(0, 3, 1, 2) if name.startswith("features_") else each
        for name, each in dense.items()
    }


def _in_originals(graph: GraphBuilder, found: Found, sizes: Value, batch: Prepared) -> Value:
    """Return the boxes in the frame of the original pictures, see `ops.scale_boxes`."""
    ratios = width_height(graph, sizes) / width_height(graph, batch.sizes)  # (b, 4)
    return found.boxes * ratios.take(found.pictures)
