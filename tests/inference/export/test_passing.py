"""Graphs that a runtime needs are written once, and kept by the model's weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from contracts.exactness import require_same
from contracts.tiny_models import TINY_DETECTORS, TINY_HEADS
from maskwright.backbones import FPN, ResNet
from maskwright.inference import Predictor
from maskwright.inference.export import passing
from maskwright.inference.export.passing import export_and_load, kept_graphs
from maskwright.model import InstanceSegmenter


def _model() -> InstanceSegmenter:
    torch.manual_seed(0)
    config = InstanceSegmenter.Config(
        backbone=ResNet.Config(depth=18),
        neck=FPN.Config(channels=16),
        detector=TINY_DETECTORS["ssd"],
        mask_head=TINY_HEADS["fcn"],
        short_side=64,
        long_side=96,
    )
    return config.build(("coin",)).eval()


def test_graphs_are_found_by_weights_options_and_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = _model()
    assert kept_graphs(model, "onnx") is None  # the cache is off in tests
    monkeypatch.setenv("MASKWRIGHT_CACHE", str(tmp_path))
    first = kept_graphs(model, "onnx")
    assert first is not None
    assert first.parent == tmp_path / "graphs"
    assert kept_graphs(_model(), "onnx") == first
    assert kept_graphs(model, "openvino") != first
    with torch.no_grad():
        next(model.parameters())[0, 0, 0, 0] += 1e-3
    assert kept_graphs(model, "onnx") != first
    assert not first.exists()


@pytest.mark.slow
def test_graphs_are_written_once_and_anew_where_they_are_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setenv("MASKWRIGHT_CACHE", str(tmp_path))
    model = _model()
    written: list[Path] = []
    write = passing.write_exported

    def watched(*arguments: Any) -> Any:
        written.append(arguments[1])
        return write(*arguments)

    monkeypatch.setattr(passing, "write_exported", watched)
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    expected = Predictor(model).predict(image)
    for times in (1, 1):
        require_same([Predictor(export_and_load(model, "onnx")).predict(image)], [expected])
        assert len(written) == times
    kept = kept_graphs(model, "onnx")
    assert kept is not None
    assert kept.is_dir()
    (kept / "dense.onnx").write_bytes(b"damaged")
    require_same([Predictor(export_and_load(model, "onnx")).predict(image)], [expected])
    assert len(written) == 2
    assert [each.name for each in kept.parent.iterdir()] == [kept.name]


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_to_costs_an_export_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MASKWRIGHT_CACHE", str(tmp_path / "file"))
    assert export_and_load(_model(), "onnx").class_names == ("coin",)
