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
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import numpy as np

from maskwright.detectors import RCNN, Detector, FastRCNN
from maskwright.errors import ConfigError, MaskwrightError
from maskwright.inference.export.end_to_end.builder import GraphBuilder, Value
from maskwright.inference.export.end_to_end.calibrating import calibrate, rank
from maskwright.inference.export.end_to_end.choosing import Found
from maskwright.inference.export.end_to_end.detectors import find
from maskwright.inference.export.end_to_end.geometry import width_height
from maskwright.inference.export.end_to_end.masks import draw, mask_areas, paste
from maskwright.inference.export.end_to_end.preparing import Prepared, prepare
from maskwright.inference.export.folder import ExportHeader
from maskwright.inference.export.graphs import DENSE
from maskwright.mask_heads import MaskHead
from maskwright.model import InstanceSegmenter, ModelConfig
from maskwright.model.segmenter import mask_head_channels
from maskwright.score_calibration import ScoreCalibration

__all__ = ["INPUTS", "OUTPUTS", "assemble", "require_end_to_end"]

Declared: TypeAlias = tuple[type, tuple[str | int, ...]]

INPUTS: Final[Mapping[str, Declared]] = MappingProxyType(
    {"images": (np.uint8, ("b", "H", "W", 3)), "sizes": (np.int64, ("b", 2))}
)
"""Type and sides of each input; b, H and W are of any length."""

OUTPUTS: Final[Mapping[str, Declared]] = MappingProxyType(
    {
        "boxes": (np.float32, ("n", 4)),
        "labels": (np.int64, ("n",)),
        "scores": (np.float32, ("n",)),
        "pictures": (np.int64, ("n",)),
        "crops": (np.float32, ("n", "s", "s")),
        "masks": (np.uint8, ("n", "H", "W")),
    }
)
"""Likewise of all outputs, which not every model has."""


def require_end_to_end(config: ModelConfig, *, full_masks: bool) -> None:
    """Raise unless a model can be one graph.

    Args:
        config: Of the model.
        full_masks: Whether it shall give masks of the size of the pictures.

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
    if full_masks and config.mask_head is None:
        raise ConfigError("--full-masks: this model has no mask head, it finds boxes alone")


def assemble(folder: Path, header: ExportHeader, *, full_masks: bool) -> Any:
    """Return the `ModelProto` of the whole.

    Args:
        folder: With the graphs of the model in ONNX.
        header: What its `config.json` says.
        full_masks: Whether it also gives masks of the size of the pictures.

    Raises:
        ConfigError: A model that cannot be one graph, see `require_end_to_end`.
        MaskwrightError: The graphs are of several sets of operators.
    """
    require_end_to_end(header.model, full_masks=full_masks)
    parts = _Parts.of(folder, header)
    graph = GraphBuilder(parts.opset)
    images, sizes = (graph.input(name, *each) for name, each in INPUTS.items())
    found, results = _detect(graph, parts, header, images, sizes)
    frame = (images.side(1), images.side(2))
    if header.calibration is not None:
        results = _calibrated(graph, found, results, header.calibration, sizes, frame)
    if full_masks:
        of_each = sizes.take(results["pictures"])
        results["masks"] = paste(graph, results["crops"], results["boxes"], of_each, frame)
    for name, value in results.items():
        graph.output(name, value, *OUTPUTS[name])
    return graph.to_model("maskwright", _metadata(header))


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """The graphs of a model, and its modules for their options and levels.

    Args:
        models: `ModelProto` by name.
        opset: Version of the operators of all.
        detector: Without its weights, which are in the graphs.
        head: Likewise; None where it draws no masks.
    """

    models: Mapping[str, Any]
    opset: int
    detector: Detector
    head: MaskHead | None

    @classmethod
    def of(cls, folder: Path, header: ExportHeader) -> _Parts:
        import onnx

        config, count = header.model, len(header.class_names)
        assert isinstance(config, InstanceSegmenter.Config)
        models = {
            name: onnx.load(folder / next(iter(graph.files)))
            for name, graph in header.graphs.items()
        }
        head, channels = config.mask_head, mask_head_channels(config, header.channels)
        return cls(
            models=models,
            opset=_opset(models),
            detector=config.detector.build(header.channels, count),
            head=None if head is None else head.build(channels, count),
        )

    def inline(
        self, graph: GraphBuilder, name: str, inputs: Mapping[str, Value]
    ) -> dict[str, Value]:
        """Put a part into the graph; returns what it says."""
        return graph.inline(self.models[name], name, inputs)


def _opset(models: Mapping[str, Any]) -> int:
    """Return the version of the operators, one for all parts.

    Raises:
        MaskwrightError: There are several, or others than the standard's.
    """
    known = {(each.domain, each.version) for one in models.values() for each in one.opset_import}
    if len(known) != 1 or next(iter(known))[0] not in ("", "ai.onnx"):
        raise MaskwrightError(
            f"the graphs of the model are of several sets of operators ({sorted(known)}), which "
            "one graph of standard operators cannot hold: export without --end-to-end"
        )
    return int(next(iter(known))[1])


def _detect(
    graph: GraphBuilder, parts: _Parts, header: ExportHeader, images: Value, sizes: Value
) -> tuple[Found, dict[str, Value]]:
    """Return the detections in the frame of the network, and the outputs in the pictures'."""
    batch = prepare(graph, images, sizes, header.model, header.pixel_mean)
    dense = _with_channels_first(parts.inline(graph, DENSE, {"images": batch.pixels}))
    found = find(
        graph,
        parts.detector,
        len(header.class_names),
        dense,
        width_height(graph, batch.sizes),
        lambda pooled: parts.inline(graph, "boxes", {"pooled": pooled}),
    )
    results = {
        "boxes": _in_originals(graph, found, sizes, batch),
        "labels": found.labels,
        "scores": found.scores,
        "pictures": found.pictures,
    }
    if parts.head is not None:
        results["crops"] = draw(
            graph,
            parts.head,
            dense,
            found,
            lambda name, inputs: next(iter(parts.inline(graph, name, inputs).values())),
        )
    return found, results


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


def _calibrated(
    graph: GraphBuilder,
    found: Found,
    results: Mapping[str, Value],
    calibration: ScoreCalibration,
    sizes: Value,
    frame: tuple[Value, Value],
) -> dict[str, Value]:
    """Return the detections with calibrated scores, the highest of each picture first."""
    areas = None
    if calibration.method == "size":
        of_each = sizes.take(found.pictures)
        boxes = results["boxes"]
        if "crops" in results:
            areas = mask_areas(graph, results["crops"], boxes, of_each, frame)
        else:
            sides = boxes.cut(2, 4, 1) - boxes.cut(0, 2, 1)
            areas = (sides.cut(0, 1, 1) * sides.cut(1, 2, 1)).squeeze(1)
    scores = calibrate(graph, found, calibration, areas)
    order = rank(graph, found, scores, sizes.side(0))
    return {name: each.take(order) for name, each in {**results, "scores": scores}.items()}


def _metadata(header: ExportHeader) -> dict[str, str]:
    return {
        "class_names": json.dumps(header.class_names),
        "category_ids": json.dumps(header.category_ids),
    }
