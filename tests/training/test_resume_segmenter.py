"""A real network on real files, stopped and resumed: the same bytes as without the stop."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskwright.backbones import FPN, ResNet
from maskwright.data import Loader, open_dataset
from maskwright.detectors import FasterRCNN
from maskwright.detectors.box_head import BoxHead
from maskwright.detectors.rpn import RPN
from maskwright.mask_heads import MaskRCNNHead
from maskwright.masks import Masks
from maskwright.model import InstanceSegmenter
from maskwright.training import (
    EMA,
    Budget,
    OptimizerConfig,
    ResumePoint,
    Stopwatch,
    fit,
    load_state,
    over_budget,
    save_state,
    seed_everything,
    warmup_cosine,
)
from maskwright.transforms import Augmentation

_SIZE = 64
_STEPS = 5
_SAVE_EVERY = 2


def _write_dataset(folder: Path) -> Path:
    """Six pictures of bright discs on a dark ground, as COCO json."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:_SIZE, :_SIZE] + 0.5
    images, annotations = [], []
    for image_id in range(1, 7):
        picture = rng.integers(0, 60, (_SIZE, _SIZE, 3), dtype=np.uint8)
        for _ in range(2):
            x, y, radius = *rng.uniform(16, 48, 2), rng.uniform(8, 14)
            disc = (columns - x) ** 2 + (rows - y) ** 2 < radius**2
            picture[disc] = rng.integers(150, 255, 3)
            masks = Masks.from_dense(disc[None])
            x1, y1, x2, y2 = masks.boxes[0].tolist()
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": 1,
                    "iscrowd": 0,
                    "area": int(masks.area[0]),
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "segmentation": masks.to_coco()[0],
                }
            )
        Image.fromarray(picture).save(folder / f"{image_id}.png")
        size = {"width": _SIZE, "height": _SIZE}
        images.append({"id": image_id, "file_name": f"{image_id}.png", **size})
    path = folder / "annotations.json"
    coco = {"images": images, "annotations": annotations}
    path.write_text(json.dumps({**coco, "categories": [{"id": 1, "name": "disc"}]}))
    return path


def _train(data: Path, state: Path, *, resume: bool, stop: int | None = None) -> None:
    """Train from the start or from `state`; `stop` abandons the run after that step, unsaved."""
    seed_everything(99 if resume else 7)
    config = InstanceSegmenter.Config(
        backbone=ResNet.Config(depth=18),
        neck=FPN.Config(channels=16),
        detector=FasterRCNN.Config(
            rpn=RPN.Config(anchor_sizes=((8,), (16,), (32,), (64,), (128,))),
            box_head=BoxHead.Config(samples_per_image=16, fc_channels=(32,)),
        ),
        mask_head=MaskRCNNHead.Config(conv_channels=(16,), deconv_channels=16),
        short_side=_SIZE,
        long_side=_SIZE,
    )
    model = InstanceSegmenter(config, ["disc"])
    optimizer = OptimizerConfig(learning_rate=0.01, backbone_factor=0.5).build(model)
    ema = EMA(model)
    parts = {"model": model, "optimizer": optimizer, "ema": ema}
    start = load_state(state, **parts).step if resume else 0  # type: ignore[arg-type]
    loader = Loader(
        open_dataset(data),
        batch_size=2,
        short_side=_SIZE,
        long_side=_SIZE,
        augmentation=Augmentation(),
        seed=1,
        start_step=start,
    )
    schedule = over_budget(warmup_cosine, Budget(num_steps=_STEPS), Stopwatch())
    options = {"start_step": start, "num_steps": _STEPS, "ema": ema, "clip_norm": 10.0}
    for report in fit(model, loader, optimizer, schedule, **options):  # type: ignore[arg-type]
        if report.step == stop:
            return
        sys.stdout.write(f"{report.step}\n")
        sys.stdout.flush()
        if report.step % _SAVE_EVERY == 0 or report.step == _STEPS:
            save_state(state, ResumePoint(step=report.step), **parts)  # type: ignore[arg-type]


@pytest.mark.parametrize("stop", [3, 5])
def test_a_stopped_segmenter_resumes_to_the_same_bytes(tmp_path: Path, stop: int) -> None:
    data = _write_dataset(tmp_path)
    _train(data, tmp_path / "whole.safetensors", resume=False)
    _train(data, tmp_path / "stopped.safetensors", resume=False, stop=stop)
    _train(data, tmp_path / "stopped.safetensors", resume=True)
    whole = (tmp_path / "whole.safetensors").read_bytes()
    assert (tmp_path / "stopped.safetensors").read_bytes() == whole


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="kills as POSIX does")
def test_a_killed_process_resumes_to_the_same_bytes(tmp_path: Path) -> None:
    data = _write_dataset(tmp_path)
    _train(data, tmp_path / "whole.safetensors", resume=False)
    state = tmp_path / "killed.safetensors"
    for kill_after in ("3", "4", None):
        code = (
            "import runpy, sys, pathlib; "
            f"train = runpy.run_path({str(Path(__file__))!r})['_train']; "
            f"train(pathlib.Path({str(data)!r}), pathlib.Path({str(state)!r}), "
            f"resume={state.exists()})"
        )
        child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        for line in child.stdout:
            if line.strip() == kill_after:
                child.send_signal(signal.SIGKILL)
                break
        child.stdout.close()
        assert child.wait() == (0 if kill_after is None else -signal.SIGKILL)
    assert state.read_bytes() == (tmp_path / "whole.safetensors").read_bytes()
