"""Annotated discs, what was found of them, and a run folder with a small model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from maskwright.backbones import FPN, ResNet
from maskwright.mask_heads import MaskRCNNHead
from maskwright.model import InstanceSegmenter, save_checkpoint

_LOG = """\
step,loss/box,loss/total,train/learning_rate,val/segm_AP
1,0.5,2.0,0.01,
2,0.4,1.5,0.02,
2,,,,0.25
3,0.3,1.0,0.01,
3,,,,0.5
"""


@pytest.fixture(scope="session")
def found_discs(discs: Path) -> list[dict[str, Any]]:
    """The true discs as predictions: two are missing, two are moved, one is of nothing."""
    truth = json.loads(discs.read_text())["annotations"]
    found = [
        {
            "image_id": one["image_id"],
            "category_id": one["category_id"],
            "segmentation": one["segmentation"],
            "score": round(0.95 - 0.02 * k, 2),
        }
        for k, one in enumerate(truth[2:])
    ]
    nothing = found[0] | {"image_id": 12, "score": 0.97}
    for one in found[:2]:
        other = truth[5] if one["image_id"] != truth[5]["image_id"] else truth[7]
        one["segmentation"] = other["segmentation"]
    return [*found, nothing]


@pytest.fixture(scope="session")
def disc_run(discs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder as training leaves it, of a model with weights of chance."""
    torch.manual_seed(0)
    config = InstanceSegmenter.Config(
        backbone=ResNet.Config(depth=18),
        neck=FPN.Config(channels=16),
        mask_head=MaskRCNNHead.Config(conv_channels=(16,), deconv_channels=16),
        short_side=64,
        long_side=96,
    )
    run = tmp_path_factory.mktemp("runs") / "first"
    model = InstanceSegmenter(config, ("disc",), (7,))
    save_checkpoint(model, run / "best.safetensors", extra={"step": 3})
    recipe = {
        "weights": "none",
        "minutes": 1.5,
        "num_steps": None,
        "batch_size": 4,
        "seed": 11,
        "optimizer": {"kind": "sgd", "learning_rate": 0.02},
        "augmentation": {"horizontal_flip": 0.5, "rotation": 0.0, "scale": [0.7, 1.4]},
    }
    source = {"data": str(discs), "validation": None, "images": None, "seed": 0}
    (run / "config.json").write_text(json.dumps({"recipe": recipe, "source": source}))
    split = {"train": [1, 2, 3, 4, 5, 6], "validation": [7, 8, 9], "test": [10, 11, 12]}
    (run / "split.json").write_text(json.dumps(split))
    scores = {"validation": {"segm": {"AP": 0.5, "AP50": 0.75}}, "test": None}
    (run / "scores.json").write_text(json.dumps(scores))
    (run / "metrics.csv").write_text(_LOG)
    return run
