"""Writes the graphs of a model."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from maskwright.detectors import RCNN
from maskwright.errors import ConfigError, MaskwrightError, MissingExtraError
from maskwright.inference.engine.rewriting import folded_copy
from maskwright.inference.export.folder import ExportHeader, GraphFiles, checksum, write_header
from maskwright.inference.export.graphs import Graph, graphs_of
from maskwright.inference.export.instructions import write_instructions
from maskwright.inference.export.runtime import REST_OF_DETECTOR
from maskwright.inference.export.sessions import Format, import_openvino
from maskwright.model import InstanceSegmenter, Model
from maskwright.score_calibration import ScoreCalibration

__all__ = ["onnx_to_openvino", "write_exported"]


def write_exported(
    model: Model, folder: Path, to: Format, calibration: ScoreCalibration | None = None
) -> ExportHeader:
    """Write the graphs of a model in float32, `config.json` and a README into a folder.

    Args:
        model: Stays as it is.
        folder: Exists; nothing is checked or tidied up here.
        to: What the graphs are written in.
        calibration: Of the model's scores.

    Returns:
        What was written to `config.json`.

    Raises:
        ConfigError: A detector or mask head that nobody has cut into graphs.
        MaskwrightError: An operation of the network that the format does not have.
        MissingExtraError: The format's packages are not installed.
    """
    _require_packages(to)
    network = _plain_copy(model)
    graphs = {graph.name: _write(graph, folder, to) for graph in graphs_of(network)}
    if isinstance(network, InstanceSegmenter) and isinstance(network.detector, RCNN):
        rest = {
            name: each.contiguous()
            for name, each in network.detector.state_dict().items()
            if not name.startswith("network.")
        }
        save_file(rest, folder / REST_OF_DETECTOR)
        graphs["rest"] = GraphFiles(
            files={REST_OF_DETECTOR: checksum(folder / REST_OF_DETECTOR)}, inputs={}, outputs={}
        )
    header = ExportHeader(
        to=to,
        precision="fp32",
        model=model.config,
        class_names=tuple(model.class_names),
        category_ids=tuple(model.category_ids),
        channels=dict((network.backbone if network.neck is None else network.neck).channels),
        pixel_mean=tuple(network.pixel_mean.flatten().tolist()),
        pixel_std=tuple(network.pixel_std.flatten().tolist()),
        graphs=graphs,
        calibration=calibration,
    )
    write_header(folder, header)
    write_instructions(folder, header)
    return header


def onnx_to_openvino(onnx: Path) -> list[Path]:
    """Replace an .onnx file by OpenVINO's .xml and .bin, which are returned."""
    openvino = import_openvino()
    path = onnx.with_suffix(".xml")
    # not convert_model, which reports its use over the network
    openvino.save_model(openvino.Core().read_model(onnx), path, compress_to_fp16=False)
    onnx.unlink()
    return [path, path.with_suffix(".bin")]


def _plain_copy(model: Model) -> Any:
    """Return a copy on the CPU with its batch norms folded, whatever wrote the graph knows."""
    copy = folded_copy(model).cpu().to(memory_format=torch.contiguous_format)
    _fix_padding(copy)
    return copy.eval().requires_grad_(False)


def _fix_padding(network: nn.Module) -> None:
    """Replace convolutions that pad by the size of their map ("SAME") by ones of constant padding.

    Batches are multiples of every stride, for which it is constant; computed from sizes it keeps
    `torch.export` busy for hours.
    """
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if type(layer).__name__ == "Conv2dSame" and isinstance(layer, nn.Conv2d):
                setattr(parent, name, _with_constant_padding(layer))


def _with_constant_padding(layer: nn.Conv2d) -> nn.Module:
    before_after = []
    for side in (1, 0):  # the last axis first, as F.pad has it
        reach = layer.dilation[side] * (layer.kernel_size[side] - 1) + 1
        total = max(reach - layer.stride[side], 0)
        before_after += [total // 2, total - total // 2]
    plain = nn.Conv2d(
        layer.in_channels,
        layer.out_channels,
        (layer.kernel_size[0], layer.kernel_size[1]),
        stride=(layer.stride[0], layer.stride[1]),
        dilation=(layer.dilation[0], layer.dilation[1]),
        groups=layer.groups,
        bias=layer.bias is not None,
    )
    plain.weight, plain.bias = layer.weight, layer.bias
    left, right, top, bottom = before_after
    return nn.Sequential(nn.ZeroPad2d((left, right, top, bottom)), plain)


def _write(graph: Graph, folder: Path, to: Format) -> GraphFiles:
    with _quiet():
        try:
            program = torch.export.export(
                graph.module,
                tuple(graph.inputs.values()),
                dynamic_shapes=tuple(dict(graph.dynamic[name]) for name in graph.inputs),
                strict=False,
            )
            files = _WRITERS[to](program, graph, folder)
        except MaskwrightError:
            raise
        except Exception as error:  # exporters have no tree of their own
            reason = (str(error).strip() or repr(error)).splitlines()[0]
            raise MaskwrightError(
                f"the graph {graph.name!r} of this model cannot be exported to {to}: {reason}"
            ) from error
    return GraphFiles(
        files={path.name: checksum(path) for path in files},
        inputs=_shapes(tuple(graph.inputs), program, "placeholder"),
        outputs=_shapes(graph.outputs, program, "output"),
    )


def _write_onnx(program: Any, graph: Graph, folder: Path) -> list[Path]:
    path = folder / f"{graph.name}.onnx"
    written = torch.onnx.export(
        program,
        dynamo=True,
        input_names=list(graph.inputs),
        output_names=list(graph.outputs),
        verbose=False,
    )
    assert written is not None
    written.save(path, external_data=False)
    return [path]


def _write_openvino(program: Any, graph: Graph, folder: Path) -> list[Path]:
    (onnx,) = _write_onnx(program, graph, folder)
    return onnx_to_openvino(onnx)


def _write_torch(program: Any, graph: Graph, folder: Path) -> list[Path]:
    path = folder / f"{graph.name}.pt2"
    torch.export.save(program, path)
    return [path]


_WRITERS = {"onnx": _write_onnx, "openvino": _write_openvino, "torch-export": _write_torch}


def _require_packages(to: str) -> None:
    if to not in _WRITERS:
        raise ConfigError(f"a model is exported to {', '.join(_WRITERS)}, not to {to!r}")
    if to == "torch-export":
        return
    for package in ("onnx", "onnxscript"):
        try:
            __import__(package)
        except ImportError as error:
            raise MissingExtraError(package, "export", "write ONNX graphs") from error
    if to == "openvino":
        import_openvino()


def _shapes(names: tuple[str, ...], program: Any, kind: str) -> dict[str, list[int | None]]:
    """Return the shapes of a program's own inputs or outputs, None for axes of any length."""
    nodes = {node.name: node for node in program.graph.nodes}
    signature = program.graph_signature
    wanted = signature.user_inputs if kind == "placeholder" else signature.user_outputs
    return {
        name: [side if isinstance(side, int) else None for side in nodes[each].meta["val"].shape]
        for name, each in zip(names, wanted, strict=True)
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters' remarks on their own code to themselves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
