"""Every detector under every mask head, from annotations to a file that predicts the same."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

import maskwright as mw
from maskwright.model import load_checkpoint
from maskwright.recipes import part_names, resume, train

_OPTIONS = {
    "model.short_side": 64,
    "model.long_side": 64,
    "batch_size": 2,
    "num_workers": 0,
    "evaluations": 1,
}


@pytest.fixture(scope="module")
def data(discs: Path) -> Path:
    """Discs, pictures without any, and a class that no object has."""
    document = json.loads(discs.read_text())
    document["categories"].append({"id": 9, "name": "ghost"})
    path = discs.parent / "with_ghost.json"
    path.write_text(json.dumps(document))
    return path


def _train(data: Path, out: Path, pair: str) -> mw.recipes.TrainedRun:
    return train(
        data,
        out=out,
        model=pair,
        backbone="test_resnet",
        preset="tiny",
        weights="none",
        num_steps=2,
        overrides=_OPTIONS,
        quiet=True,
    )


@pytest.mark.parametrize("pair", ["+".join(pair) for pair in product(*part_names())])
def test_every_pair_trains_and_comes_back_from_its_file_bit_for_bit(
    pair: str, data: Path, tmp_path: Path
) -> None:
    if pair.startswith("rcnn"):
        pytest.importorskip("sklearn", reason="only training of R-CNN needs scikit-learn")
    run = _train(data, tmp_path / "run", pair)
    assert run.model.class_names == ("disc", "ghost")
    assert run.model.detector.is_finished
    searches = pair.startswith(("rcnn", "fast-rcnn"))
    assert (run.path / "proposals.json").is_file() is searches
    ours, loaded = mw.Predictor(run.model), mw.load(run.path, runtime="eager")
    dataset = mw.open_dataset(data)
    for picture in (dataset.image(0), np.zeros((40, 70, 3), np.uint8)):
        one, other = ours.predict(picture), loaded.predict(picture)
        assert torch.equal(one.boxes, other.boxes)
        assert torch.equal(one.labels, other.labels)
        assert torch.equal(one.scores, other.scores)
        assert one.masks == other.masks
        assert one.masks is not None


def test_rcnn_that_was_stopped_before_it_was_fitted_is_fitted_on_resume(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sklearn", reason="only training of R-CNN needs scikit-learn")
    from maskwright.detectors import RCNN

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    whole = _train(data, tmp_path / "whole", "rcnn+mask-rcnn")
    with monkeypatch.context() as patched:
        patched.setattr(RCNN, "finish", interrupted)
        with pytest.raises(KeyboardInterrupt):
            _train(data, tmp_path / "cut", "rcnn+mask-rcnn")
    assert not load_checkpoint(tmp_path / "cut" / "best.safetensors").detector.is_finished
    resumed = resume(tmp_path / "cut", quiet=True)
    other = resumed.model.state_dict()
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, other[name]), name


def test_recall_of_proposals_is_told_and_their_boxes_are_kept(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(
        data,
        out=tmp_path / "run",
        model="fast-rcnn+mask-rcnn",
        backbone="test_resnet",
        preset="tiny",
        weights="none",
        num_steps=1,
        overrides=_OPTIONS,
    )
    measured = json.loads((run.path / "proposals.json").read_text())
    assert 0.5 < measured["recall"]["0.5"] <= 1.0
    assert measured["recall"]["0.7"] <= measured["recall"]["0.5"]
    assert "selective search" in capsys.readouterr().err
    kept = len(list((run.path / "proposals").iterdir()))
    split = json.loads((run.path / "split.json").read_text())
    assert kept == len(split["validation"]) + len(split["test"])  # and no augmented view
