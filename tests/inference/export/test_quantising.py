"""Graphs in 8-bit integers compute the same in every runtime that reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

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
