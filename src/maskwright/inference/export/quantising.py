"""Graphs in 8-bit integers, by NNCF's post-training quantisation of ONNX graphs.

Ranges of activations are learnt from the inputs that each graph gets on real pictures. What only
depends on the size of a picture (anchors) and what comes before the first layer (normalisation)
stays in float32: rounded to one of 256 values it would be worthless. So do whole groups of layers
on request; `GROUPS` lists them in the order in which giving them up costs least time.

Jacob et al. 2018, https://arxiv.org/abs/1712.05877.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.errors import MissingExtraError
from maskwright.inference.export.graphs import DENSE
from maskwright.inference.export.sessions import GraphSession

__all__ = ["GROUPS", "RecordingSession", "quantise", "require_nncf"]

GROUPS: tuple[str, ...] = ("heads", "boxes", "neck", "stem")
"""Groups of layers, those first whose return to float32 costs least for what it brings.

heads: what predicts, on the whole picture; boxes: all graphs on boxes; neck; stem: the backbone
up to its first two convolutions."""

_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_STEM_LAYERS = 2


class RecordingSession:
    """Runs a graph and keeps what it was given.

    Args:
        session: What runs it.
        limit: Inputs of so many runs are kept.
    """

    def __init__(self, session: GraphSession, limit: int) -> None:
        self.session, self.limit = session, limit
        self.inputs: list[dict[str, np.ndarray]] = []

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the outputs by name."""
        if len(self.inputs) < self.limit:
            self.inputs.append({name: each.copy() for name, each in inputs.items()})
        return self.session.run(inputs)


def quantise(
    path: Path,
    out: Path,
    samples: Sequence[Mapping[str, np.ndarray]],
    kept: Sequence[str] = (),
) -> bool:
    """Write a graph in int8, but for the groups of layers that are kept in float32.

    Args:
        path: The .onnx file in float32.
        out: The .onnx file to write.
        samples: Inputs of the graph on real pictures; without any it stays in float32.
        kept: Of `GROUPS`.

    Returns:
        Whether any layer is in int8.

    Raises:
        MissingExtraError: NNCF is not installed.
    """
    import onnx

    nncf = require_nncf()
    model = onnx.load(path)
    is_whole = path.stem == DENSE
    excluded = _excluded(model, kept) if is_whole else []
    layers = [node.name for node in model.graph.node if node.op_type in _LAYERS]
    if not samples or ("boxes" in kept and not is_whole) or set(layers) <= set(excluded):
        onnx.save(model, out)
        return False
    with redirect_stdout(sys.stderr):  # its progress bars; standard output may be JSON
        quantised = nncf.quantize(
            model,
            nncf.Dataset(list(samples)),
            preset=nncf.QuantizationPreset.MIXED,
            target_device=nncf.TargetDevice.CPU,
            subset_size=len(samples),
            ignored_scope=nncf.IgnoredScope(names=excluded, validate=False),
        )
    onnx.save(quantised, out)
    return True


def require_nncf() -> Any:
    """Return the module, which reports nothing over the network and prints no bars.

    Raises:
        MissingExtraError: It is not installed.
    """
    os.environ.setdefault("NNCF_CI", "1")  # its name for "no telemetry"
    try:
        import nncf
    except ImportError as error:
        raise MissingExtraError("nncf", "openvino", "quantise graphs to int8") from error
    nncf.set_log_level(logging.ERROR)
    return nncf


def _excluded(model: Any, kept: Sequence[str]) -> list[str]:
    """Return the names of the nodes of the dense graph that stay in float32."""
    behind = _behind_layers(model)
    names = [node.name for node in model.graph.node if node.name not in behind]
    stem = [node.name for node in model.graph.node if node.op_type in _LAYERS][:_STEM_LAYERS]
    for node in model.graph.node:
        group = "stem" if node.name in stem else _group(node)
        if group in kept:
            names.append(node.name)
    return list(dict.fromkeys(names))


def _behind_layers(model: Any) -> set[str]:
    """Return the names of the layers and of what reads, however indirectly, their values.

    The way through a shape is none: anchors read the size of a map and not what is in it.
    """
    marked: set[str] = set()
    names: set[str] = set()
    for node in model.graph.node:  # in the order of computation
        if node.op_type in _LAYERS or (
            node.op_type not in ("Shape", "Size") and any(each in marked for each in node.input)
        ):
            marked.update(node.output)
            names.add(node.name)
    return names


def _group(node: Any) -> str:
    """Return the group of a node of the dense graph, from the modules it was traced in."""
    scopes = next(
        (each.value for each in node.metadata_props if each.key == "pkg.torch.onnx.name_scopes"),
        "",
    )
    for prefix, group in (
        ("'model.detector", "heads"),
        ("'model.mask_head", "heads"),
        ("'model.head", "heads"),
        ("'model.neck", "neck"),
    ):
        if prefix in scopes:
            return group
    return "backbone"
