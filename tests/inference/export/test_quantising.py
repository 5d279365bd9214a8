"""Graphs in int8."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from maskwright.inference.export.quantising import quantise


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
