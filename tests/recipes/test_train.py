"""A run from annotations to a scored model, and on again after a stop."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import maskwright as mw
from maskwright.errors import (
    AnnotationError,
    ConfigError,
    DataError,
    EvaluationError,
    TrainingError,
)
from maskwright.model import load_checkpoint, read_checkpoint_header
from maskwright.recipes import between_steps, predict_dataset, resume, score_model, train
from maskwright.recipes.training_runs import open_parts
from maskwright.structures import Sample
from maskwright.transforms import AUGMENTATIONS

_SMALL = {
    "model.short_side": 64,
    "model.long_side": 64,
    "model.neck.channels": 16,
    "model.detector.box_head.fc_channels": [32],
    "model.detector.detections_per_image": 10,
    "model.mask_head.conv_channels": [16],
    "model.mask_head.deconv_channels": 16,
    "batch_size": 2,
    "num_workers": 0,
    "evaluations": 2,
}


def _train(discs: Path, out: Path, steps: int, **options: object) -> mw.recipes.TrainedRun:
    known = {"preset": "tiny", "weights": "none", "quiet": True, "overrides": _SMALL} | options
    return train(discs, out=out, num_steps=steps, **known)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def run(discs: Path, tmp_path_factory: pytest.TempPathFactory) -> mw.recipes.TrainedRun:
    return _train(discs, tmp_path_factory.mktemp("runs") / "run", 6)


def test_a_run_leaves_everything_that_its_page_promises(run: mw.recipes.TrainedRun) -> None:
    names = {"config.json", "split.json", "metrics.csv", "scores.json", "tensorboard"}
    names |= {"best.safetensors", "last.safetensors", "state.safetensors"}
    assert names <= {path.name for path in run.path.iterdir()}
    assert {"curves.png", "samples.png"} <= {path.name for path in run.path.iterdir()}
    assert run.steps == 6
    scores = json.loads((run.path / "scores.json").read_text())
    assert set(scores["validation"]) == {"bbox", "segm", "boundary"}
    rows = (run.path / "metrics.csv").read_text().splitlines()
    assert "loss/mask" in rows[0]
    assert "val/segm_AP" in rows[0]


def test_every_picture_is_in_one_part_of_the_split(run: mw.recipes.TrainedRun) -> None:
    split = json.loads((run.path / "split.json").read_text())
    everywhere = sorted(image_id for part in split.values() for image_id in part)
    assert everywhere == list(range(1, 13))
    assert [len(split[name]) for name in ("train", "validation", "test")] == [8, 2, 2]


def test_the_model_file_carries_names_and_ids_of_the_data(run: mw.recipes.TrainedRun) -> None:
    header = read_checkpoint_header(run.path / "best.safetensors")
    assert header.class_names == ("disc",)
    assert header.category_ids == (7,)


def test_the_saved_model_scores_what_the_run_said(run: mw.recipes.TrainedRun, discs: Path) -> None:
    split = json.loads((run.path / "split.json").read_text())
    dataset = mw.open_dataset(discs)
    part = dataset.subset(np.flatnonzero(np.isin(dataset.image_ids, split["test"])))
    assert run.test is not None
    assert score_model(mw.load(run.path), part).as_dict() == run.test.as_dict()


def test_predictions_come_with_the_ids_of_the_dataset(
    run: mw.recipes.TrainedRun, discs: Path
) -> None:
    dataset = mw.open_dataset(discs).subset([3, 1])
    seen: list[tuple[int, int]] = []
    found = list(
        predict_dataset(
            mw.load(run.path), dataset, progress=lambda done, total: seen.append((done, total))
        )
    )
    assert [image_id for image_id, _ in found] == [4, 2]
    assert seen == [(1, 2), (2, 2)]


@pytest.mark.slow
def test_a_network_trained_on_discs_finds_them(discs: Path, tmp_path: Path) -> None:
    plain = {"augmentation.scale": [1.0, 1.0], "augmentation.translation": 0.0}
    run = _train(discs, tmp_path / "run", 150, validation=discs, overrides=_SMALL | plain, seed=1)
    assert run.validation["segm"]["AP50"] > 0.8
    assert run.test is None


@pytest.mark.parametrize("augment", [None, "strong"])
def test_a_run_stopped_by_a_signal_resumes_to_the_same_bytes(
    discs: Path, tmp_path: Path, augment: str | None
) -> None:
    # "strong" draws other pictures up to the third of six steps, and no longer then.
    later = {"augmentation.close_mixing": 0.5, "freezing.share": 0.5, "freezing.gradual": True}
    options = {"augment": augment, "overrides": _SMALL | later}
    whole = _train(discs, tmp_path / "whole", 6, **options)
    metrics = tmp_path / "cut" / "metrics.csv"

    def interrupt() -> None:
        while not (metrics.is_file() and len(metrics.read_text().splitlines()) > 2):
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGINT)

    watcher = threading.Thread(target=interrupt)
    watcher.start()
    with pytest.raises(KeyboardInterrupt):
        _train(discs, tmp_path / "cut", 6, **options)
    watcher.join()
    resumed = resume(tmp_path / "cut", quiet=True)
    assert resumed.steps == 6
    one, other = (load_checkpoint(r.path / "last.safetensors") for r in (whole, resumed))
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def test_the_named_augmentation_stands_in_the_config(discs: Path, tmp_path: Path) -> None:
    options = _SMALL | {"augmentation.hue": 0.0}
    run = _train(discs, tmp_path / "run", 1, augment="medical", overrides=options)
    assert run.recipe.augmentation == replace(AUGMENTATIONS["medical"], hue=0.0)
    stored = json.loads((run.path / "config.json").read_text())["recipe"]["augmentation"]
    assert (stored["quarter_turn"], stored["blur"]["sigma"]) == (0.5, [0.3, 1.2])
    with pytest.raises(ConfigError, match=r"unknown augmentation 'drivin'. Did you mean 'driving'"):
        _train(discs, tmp_path / "other", 1, augment="drivin")


def _half_as_bright(sample: Sample, rng: np.random.Generator) -> Sample:
    del rng
    return replace(sample, image=sample.image // 2)


def test_a_transform_of_the_users_is_asked_for_again_on_resume(discs: Path, tmp_path: Path) -> None:
    run = _train(discs, tmp_path / "run", 1, transform=_half_as_bright)
    with pytest.raises(TrainingError, match="started with transform=_half_as_bright, not None"):
        resume(run.path, quiet=True)
    assert resume(run.path, transform=_half_as_bright, quiet=True).steps == 1


def test_a_finished_run_is_only_scored_again(run: mw.recipes.TrainedRun) -> None:
    again = resume(run.path, quiet=True)
    assert again.steps == run.steps
    assert again.validation.as_dict() == run.validation.as_dict()


def test_a_folder_with_something_in_it_is_not_trained_into(discs: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(TrainingError, match="not empty"):
        _train(discs, tmp_path, 1)


def test_an_unknown_option_is_answered_with_the_nearest(discs: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Did you mean 'short_side'"):
        _train(discs, tmp_path / "run", 1, overrides={"model.short_sid": 3})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"backbone": "resnt18"}, "Did you mean 'resnet18'"),
        ({"weights": "absent.pth", "backbone": "resnet18"}, "no weights file absent.pth"),
        ({"overrides": {"model.detector.rpn.anchor_sizes": "[]"}}, "anchor_sizes"),
        ({"seed": -1}, "seed must be 0 or more, got -1"),
    ],
)
def test_a_run_that_cannot_begin_leaves_no_folder(
    discs: Path, tmp_path: Path, options: dict[str, Any], match: str
) -> None:
    with pytest.raises(mw.MaskwrightError, match=match):
        mw.train(discs, out=tmp_path / "run", preset="tiny", num_steps=1, quiet=True, **options)
    assert not (tmp_path / "run").exists()


def test_a_device_that_is_not_there_is_an_error(discs: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not on this machine"):
        _train(discs, tmp_path / "run", 1, device="cudo")


def test_two_pictures_cannot_be_split_in_three(discs: Path, tmp_path: Path) -> None:
    document = json.loads(discs.read_text())
    document["images"] = document["images"][:2]
    document["annotations"] = [a for a in document["annotations"] if a["image_id"] <= 2]
    small = tmp_path / "small.json"
    small.write_text(json.dumps(document))
    with pytest.raises(DataError, match="3 or more are needed"):
        _train(small, tmp_path / "run", 1, images=discs.parent)


def test_changed_data_is_refused_on_resume(run: mw.recipes.TrainedRun, tmp_path: Path) -> None:
    split = run.path / "split.json"
    original = split.read_text()
    changed = json.loads(original)
    changed["train"] = changed["train"][:-1]
    split.write_text(json.dumps(changed))
    with pytest.raises(TrainingError, match="restore the data"):
        resume(run.path, quiet=True)
    split.write_text(original)


def test_classes_that_differ_are_named_before_anything_is_predicted(
    run: mw.recipes.TrainedRun, discs: Path, tmp_path: Path
) -> None:
    document = json.loads(discs.read_text())
    other = discs.parent / "other_classes.json"
    document["annotations"][3]["category_id"] = 8
    for names, message in (
        (["disk", "disc"], r"'disk' \(19 objects\); known: disc.*Did you mean 'disc'"),
        (["disc", "ring"], r"'ring' \(1 objects\); known: disc"),
        (["dot", "ring"], r"'dot' \(19 objects\), 'ring' \(1 objects\); known: disc"),
    ):
        categories = [{"id": 7 + i, "name": name} for i, name in enumerate(names)]
        other.write_text(json.dumps(document | {"categories": categories}))
        with pytest.raises(EvaluationError, match=message):
            score_model(mw.load(run.path), mw.open_dataset(other))


def test_a_run_without_progress_ends_when_its_patience_is_spent(
    discs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(between_steps, "_REST", 0)  # evaluate as often as asked
    options = _SMALL | {"patience": 2, "evaluations": 8, "optimizer.learning_rate": 1e-9}
    run = _train(discs, tmp_path / "run", 16, overrides=options, quiet=False)
    assert run.steps < 16
    assert "no better score in 2 evaluations" in capsys.readouterr().err
    assert resume(run.path, quiet=True).steps == run.steps


def test_classes_are_matched_by_name_when_a_model_is_scored(
    run: mw.recipes.TrainedRun, discs: Path
) -> None:
    expected = score_model(mw.load(run.path), mw.open_dataset(discs))
    document = json.loads(discs.read_text())
    for annotation in document["annotations"]:
        annotation["category_id"] = 40
    document["categories"] = [{"id": 0, "name": "ring"}, {"id": 40, "name": "disc"}]
    other = discs.parent / "other_ids.json"
    other.write_text(json.dumps(document))
    assert score_model(mw.load(run.path), mw.open_dataset(other)) == expected


def test_classes_of_validation_pictures_are_matched_by_name(discs: Path, tmp_path: Path) -> None:
    document = json.loads(discs.read_text())
    names = [{"id": 3, "name": "ring"}, {"id": 7, "name": "disc"}, {"id": 9, "name": "square"}]
    document["categories"] = names
    document["annotations"][0]["category_id"] = 3
    train = discs.parent / "three_classes.json"
    train.write_text(json.dumps(document))
    # Another order, other ids from 0, one class less, and one more without objects.
    other = [{"id": 0, "name": "disc"}, {"id": 5, "name": "ring"}, {"id": 6, "name": "unused"}]
    new_id = {7: 0, 3: 5}
    changed = [a | {"category_id": new_id[a["category_id"]]} for a in document["annotations"]]
    validation = discs.parent / "another_order.json"
    validation.write_text(json.dumps(document | {"categories": other, "annotations": changed}))
    source = {"data": train, "validation": validation, "images": None, "seed": 0}
    parts = open_parts(source)
    assert parts.validation.class_names == parts.train.class_names == ("ring", "disc", "square")
    assert parts.validation.category_ids == (3, 7, 9)
    assert parts.validation.labels.tolist() == parts.train.labels.tolist()
    assert parts.validation.to_coco() == parts.train.to_coco()


def test_classes_that_only_validation_pictures_have_are_listed(discs: Path, tmp_path: Path) -> None:
    document = json.loads(discs.read_text())
    document["categories"] += [{"id": 1, "name": "dsic"}, {"id": 2, "name": "ring"}]
    for k in (1, 2):
        document["annotations"][k]["category_id"] = k
    validation = discs.parent / "more_classes.json"
    validation.write_text(json.dumps(document))
    message = r"more_classes.json: classes .* not known here: 'dsic' \(1 .*\), 'ring' .*'disc'\?"
    with pytest.raises(AnnotationError, match=message):
        _train(discs, tmp_path / "run", 1, validation=validation)
    assert not (tmp_path / "run").exists()


def test_groups_stay_together_in_a_run_and_when_it_is_resumed(discs: Path, tmp_path: Path) -> None:
    rule = r"name:^(\d)"  # 1, 10, 11 and 12 are one group
    run = _train(discs, tmp_path / "run", 1, groups=rule)
    split = json.loads((run.path / "split.json").read_text())
    homes = {name for name, ids in split.items() if {1, 10, 11, 12} & set(ids)}
    assert len(homes) == 1
    assert len(split) == 3
    assert resume(run.path, quiet=True).steps == 1


def test_groups_beside_validation_pictures_are_refused(discs: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="groups are for dividing"):
        _train(discs, tmp_path / "run", 1, groups="near-duplicates", validation=discs)
