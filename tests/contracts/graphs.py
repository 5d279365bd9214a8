"""Pieces of ONNX graphs computed by ONNX Runtime, to be held against PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from maskwright.inference.export.end_to_end.builder import GraphBuilder, Value

Build = Callable[[GraphBuilder, Mapping[str, Value]], Mapping[str, Value]]


def compute(build: Build, **inputs: np.ndarray) -> dict[str, np.ndarray]:
    """Return what a piece of a graph makes of the inputs, in float64; axes have any length."""
    import onnxruntime

    graph = GraphBuilder(20)
    values = {
        name: graph.input(name, each.dtype.type, [f"{name}_{axis}" for axis in range(each.ndim)])
        for name, each in inputs.items()
    }
    made = build(graph, values)
    for name, value in made.items():
        graph.output(f"{name} values", value.cast(np.float64).reshape(-1), np.float64, ["m"])
        graph.output(f"{name} sides", graph.add("Shape", value), np.int64, ["rank"])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        graph.to_model("piece", {}).SerializeToString(),
        options,
        providers=["CPUExecutionProvider"],
    )
    outputs = iter(session.run(None, inputs))
    pairs = zip(made, outputs, outputs, strict=True)
    return {name: values.reshape(sides) for name, values, sides in pairs}
