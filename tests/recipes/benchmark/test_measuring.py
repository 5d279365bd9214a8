"""Benchmarks as users call them; processes of their own are started in the slow one alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from contracts.tiny_models import TINY_DETECTORS, TINY_HEADS
from maskwright.backbones import FPN, ResNet
from maskwright.cli.app import run
from maskwright.errors import CheckpointError, ConfigError
from maskwright.model import InstanceSegmenter, save_checkpoint
from maskwright.recipes.benchmark import bench

_PEER = "def load():\n    return lambda path: [{'score': 0.5, 'bbox': [0, 0, 1, 1]}]\n"


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = InstanceSegmenter.Config(
        backbone=ResNet.Config(depth=18),
        neck=FPN.Config(channels=16),
        detector=TINY_DETECTORS["ssd"],
        mask_head=TINY_HEADS["fcn"],
        short_side=64,
        long_side=96,
    )
    path = tmp_path_factory.mktemp("run") / "best.safetensors"
    save_checkpoint(config.build(("coin", "nut")), path)
    return path


@pytest.mark.slow
def test_a_model_is_measured_in_two_runtimes_and_beside_a_peer(
    model_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "bench_peer.py").write_text(_PEER)
    monkeypatch.chdir(tmp_path)
    command = ["bench", str(model_file.parent), "--against", "bench_peer:load", "--rounds", "2"]
    code = run([*command, "--size", "60x80", "--threads", "1", "--out", "b.json", "--json"])
    output = capsys.readouterr()
    assert code == 0, output.err
    found = json.loads(output.out)
    assert json.loads((tmp_path / "b.json").read_text()) == found
    sides = {side["name"]: side for side in found["sides"]}
    assert list(sides) == ["torch", "eager", "bench_peer:load"]
    assert found["reference"] == "bench_peer:load"
    assert sides["bench_peer:load"]["ratio"] == {"median": 1.0, "low": 1.0, "high": 1.0}
    for name in ("torch", "eager"):
        side = sides[name]
        stages = side["stages"]
        assert {"reading", "resize and normalise", "backbone", "neck", "detector"} <= set(stages)
        assert sum(stages.values()) > 0
        assert side["ratio"]["median"] < 1
        assert side["fastest"] <= side["milliseconds"] <= side["slowest"]
        assert side["gigaflops_per_second"] > 0
        assert side["peak_mib"] >= side["loaded_mib"] > 0
    assert sides["torch"]["objects"] == sides["eager"]["objects"]
    assert found["gigaflops"]["backbone"] > found["gigaflops"]["neck"] > 0
    assert found["peak"]["product"] > 0
    assert found["peak"]["threads"] == 1


def test_what_cannot_be_measured_is_explained(model_file: Path, tmp_path: Path) -> None:
    for options, message in (
        ({"rounds": 0}, "--rounds must be 1 or more, got 0"),
        ({"threads": 0}, "--threads must be 1 or more"),
        ({"limit": 0}, "--limit must be 1 or more"),
        ({"detections": 0}, "--detections must be 1 or more"),
        ({"runtimes": ("troch",)}, "no runtime 'troch'. Did you mean 'torch'"),
        ({"precisions": ("int8",)}, "int8 needs pictures to calibrate on.*--also"),
        ({"runtimes": ("eager",), "precisions": ("bf16",)}, "none of the runtimes eager computes"),
        ({"against": ("torchvison",)}, "no peer 'torchvison'. Did you mean 'torchvision'"),
        ({"against": ("torchvision",)}, "torchvision has no network of this model's architecture"),
        ({"against": ("torchvision:maskrcnn",)}, "torchvision has no detector 'maskrcnn'"),
        ({"against": ("ultralytics:yolo11n-seg.pt",)}, "weights or an exported folder of Ultra"),
        ({"weights": "w.pth"}, "--weights is of torchvision/NAME models"),
        ({"runtimes": ("eager", "eager")}, "eager is named twice"),
    ):
        with pytest.raises(ConfigError, match=message):
            bench(model_file, size=(32, 32), **options)  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match="there is no model absent: give a model file"):
        bench("absent", size=(32, 32))
    with pytest.raises(ConfigError, match="unknown detector 'fastest-rcnn'"):
        bench("fastest-rcnn+mask-rcnn", size=(32, 32))


def test_the_command_says_what_is_wrong_with_a_size(
    model_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["bench", str(model_file), "--size", "480x"]) == 2
    assert (
        "--size is HEIGHTxWIDTH in pixels, such as 480x640, got '480x'" in capsys.readouterr().err
    )
