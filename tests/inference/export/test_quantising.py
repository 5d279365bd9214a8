"""Graphs in 8-bit integers: the same in every runtime that reads them, and made quietly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from maskwright.backbones import FPN, ResNet
from maskwright.inference.export.graphs import Graph, graphs_of
from maskwright.inference.export.quantising import quantise
from maskwright.inference.export.sessions import OnnxSession, OpenVINOSession
from maskwright.inference.export.writing import write_exported
from maskwright.mask_heads import MaskRCNNHead
from maskwright.model import InstanceSegmenter


@pytest.mark.slow
def test_the_mask_head_in_int8_is_as_near_to_float32_in_openvino_as_in_onnx_runtime(
    tmp_path: Path,
) -> None:
    for package in ("nncf", "openvino", "onnxruntime"):
        pytest.importorskip(package)
    torch.manual_seed(0)
    config = InstanceSegmenter.Config(
        backbone=ResNet.Config(depth=18),
        neck=FPN.Config(channels=32),
        mask_head=MaskRCNNHead.Config(conv_channels=(32, 32), deconv_channels=32),
        short_side=64,
        long_side=64,
    )
    model = config.build(("a", "b", "c")).eval()
    torch.nn.init.normal_(model.get_submodule("mask_head.logits").weight, std=0.2)
    write_exported(model, tmp_path, "onnx")
    (graph,) = (each for each in graphs_of(model) if each.name == "masks")
    samples = [_inputs(graph, seed) for seed in range(4)]
    assert quantise(tmp_path / "masks.onnx", tmp_path / "int8.onnx", samples)
    with torch.no_grad():
        (expected,) = graph.module(*(torch.from_numpy(each) for each in samples[0].values()))
    largest = float(expected.abs().max())
    errors = {}
    for kind in (OnnxSession, OpenVINOSession):
        session = kind(tmp_path / "int8.onnx", torch.device("cpu"), ("logits",))
        found = session.run(samples[0])["logits"]
        errors[kind] = float(np.abs(found - expected.numpy()).max()) / largest
    assert 1e-4 < errors[OnnxSession] < 0.06
    assert errors[OpenVINOSession] < 1.2 * errors[OnnxSession]


def _inputs(graph: Graph, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shape = (8, *graph.inputs["pooled"].shape[1:])
    return {
        "pooled": rng.random(shape, np.float32),
        "labels": rng.integers(0, 3, 8),
    }


def _write_graph(path: Path) -> None:
    """Two convolutions with a ReLU between them."""
    rng = np.random.default_rng(0)
    shapes = {"first": (16, 3, 3, 3), "second": (16, 16, 3, 3)}
    weights = [
        numpy_helper.from_array(rng.normal(0, 0.2, shape).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    nodes = [
        helper.make_node("Conv", ["x", "first"], ["a"], name="conv1", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("Conv", ["b", "second"], ["y"], name="conv2", pads=[1, 1, 1, 1]),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 24, 24])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 16, 24, 24])]
    graph = helper.make_graph(nodes, "two", inputs, outputs, weights)
    opsets = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)


@pytest.mark.filterwarnings("ignore")  # of NNCF's own making
def test_standard_output_stays_free_for_what_the_user_asked_for(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("nncf")
    path, out = tmp_path / "graph.onnx", tmp_path / "int8.onnx"
    _write_graph(path)
    rng = np.random.default_rng(1)
    samples = [{"x": rng.normal(size=(1, 3, 24, 24)).astype(np.float32)} for _ in range(4)]
    assert quantise(path, out, samples)
    operators = {node.op_type for node in onnx.load(out).graph.node}
    assert "QuantizeLinear" in operators
    assert capfd.readouterr().out == ""
