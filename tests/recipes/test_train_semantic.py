"""A run of the semantic task: the same loop, with class maps and mean IoU."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import maskwright as mw
from maskwright.errors import ConfigError
from maskwright.evaluation import SemanticMetrics
from maskwright.mask_heads import FCN, DeepLab
from maskwright.model import SemanticSegmenter, load_checkpoint, read_checkpoint_header
from maskwright.recipes import resume, score_class_maps, train

_SMALL = {
    "model.short_side": 64,
    "model.long_side": 64,
    "model.neck.channels": 16,
    "model.head.aspp_channels": 16,
    "model.head.low_level_channels": 8,
    "model.head.head_channels": [16],
    "batch_size": 2,
    "num_workers": 0,
    "evaluations": 2,
}


def _train(discs: Path, out: Path, steps: int, **options: object) -> mw.recipes.TrainedRun:
    known = {"preset": "tiny", "weights": "none", "quiet": True, "overrides": _SMALL}
    return train(discs, out=out, task="semantic", num_steps=steps, **known | options)


@pytest.fixture(scope="module")
def run(discs: Path, tmp_path_factory: pytest.TempPathFactory) -> mw.recipes.TrainedRun:
    return _train(discs, tmp_path_factory.mktemp("runs") / "run", 6)


def test_a_run_leaves_what_a_run_of_instances_leaves(run: mw.recipes.TrainedRun) -> None:
    names = {"config.json", "split.json", "metrics.csv", "scores.json", "tensorboard"}
    names |= {"best.safetensors", "last.safetensors", "state.safetensors"}
    assert names <= {path.name for path in run.path.iterdir()}
    assert isinstance(run.model, SemanticSegmenter)
    assert isinstance(run.validation, SemanticMetrics)
    scores = json.loads((run.path / "scores.json").read_text())
    assert set(scores["test"]["semantic"]) == {"mIoU", "pixel_accuracy"}
    assert set(scores["validation"]["IoU"]) == {"background", "disc"}
    header = (run.path / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {"loss/class_map", "val/mIoU", "val/pixel_accuracy"} <= set(header)


def test_the_best_model_is_the_one_with_the_best_mean_iou(run: mw.recipes.TrainedRun) -> None:
    lines = [line.split(",") for line in (run.path / "metrics.csv").read_text().splitlines()]
    column = lines[0].index("val/mIoU")
    best = max(float(line[column]) for line in lines[1:] if line[column])
    header = read_checkpoint_header(run.path / "best.safetensors")
    assert header.extra["validation"]["semantic"]["mIoU"] == best == run.validation.miou
    assert header.category_ids == (7,)


def test_the_saved_model_scores_what_the_run_said(run: mw.recipes.TrainedRun, discs: Path) -> None:
    split = json.loads((run.path / "split.json").read_text())
    dataset = mw.open_dataset(discs)
    part = dataset.subset(np.flatnonzero(np.isin(dataset.image_ids, split["test"])))
    seen: list[tuple[int, int]] = []
    again = score_class_maps(
        mw.load(run.path), part, progress=lambda done, total: seen.append((done, total))
    )
    assert run.test is not None
    assert again.as_dict() == run.test.as_dict()
    assert seen == [(1, 2), (2, 2)]


@pytest.mark.slow
@pytest.mark.parametrize("model", ["deeplab", "fcn"])
def test_a_network_trained_on_discs_colours_them(discs: Path, tmp_path: Path, model: str) -> None:
    plain = {"augmentation.scale": [1.0, 1.0], "augmentation.translation": 0.0}
    overrides = {name: value for name, value in _SMALL.items() if "head" not in name} | plain
    run = _train(
        discs, tmp_path / "run", 60, model=model, validation=discs, overrides=overrides, seed=1
    )
    assert run.validation.miou > 0.9


def test_a_run_stopped_by_a_signal_resumes_to_the_same_bytes(discs: Path, tmp_path: Path) -> None:
    whole = _train(discs, tmp_path / "whole", 6)
    metrics = tmp_path / "cut" / "metrics.csv"

    def interrupt() -> None:
        while not (metrics.is_file() and len(metrics.read_text().splitlines()) > 2):
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGINT)

    watcher = threading.Thread(target=interrupt)
    watcher.start()
    with pytest.raises(KeyboardInterrupt):
        _train(discs, tmp_path / "cut", 6)
    watcher.join()
    resumed = resume(tmp_path / "cut", quiet=True)
    assert resumed.steps == 6
    one, other = (load_checkpoint(r.path / "last.safetensors") for r in (whole, resumed))
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name
    assert resumed.validation.as_dict() == whole.validation.as_dict()


def test_the_head_is_chosen_by_name_and_fits_the_preset(discs: Path, tmp_path: Path) -> None:
    fcn = _train(discs, tmp_path / "fcn", 1, model="fcn", overrides={"num_workers": 0})
    assert isinstance(fcn.model.head, FCN)
    facts = mw.recipes.data_facts(mw.open_dataset(discs))
    choose = mw.recipes.choose_recipe
    assert choose(facts, task="semantic", preset="tiny").model.head.kind == "deeplab"
    best = choose(facts, task="semantic", preset="best").model
    assert best.head == DeepLab.Config()
    instances = choose(facts, preset="best").model
    assert (best.short_side, best.long_side) == (instances.short_side, instances.long_side)
    assert best.backbone == instances.backbone


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "faster-rcnn+deeplab"}, "finds no objects: --model is fcn or deeplab"),
        ({"model": "deeplap"}, "Did you mean 'deeplab'"),
        ({"overrides": {"model.detector.score_threshold": 0.5}}, r"unknown option .*detector"),
        ({"overrides": {"model.head.aspp_chanels": 8}}, "Did you mean 'aspp_channels'"),
    ],
)
def test_impossible_options_are_explained(
    options: dict[str, object], message: str, discs: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        _train(discs, tmp_path / "run", 1, **options)
    assert not (tmp_path / "run").exists()


def test_tasks_and_models_are_not_mixed_up(discs: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is it --task semantic"):
        train(discs, out=tmp_path / "run", model="deeplab", quiet=True)
    with pytest.raises(ConfigError, match="Did you mean 'semantic'"):
        train(discs, out=tmp_path / "run", task="semantics", quiet=True)  # type: ignore[arg-type]
