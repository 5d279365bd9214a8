"""Folds: every picture is tested once, finished folds are kept, and the interval is Student's."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import maskwright as mw
from maskwright.cli.app import run as run_command
from maskwright.data import fold_dataset
from maskwright.errors import ConfigError, DataError, TrainingError
from maskwright.recipes import (
    CrossValidation,
    RunRequest,
    cross_validate,
    is_cross_validation,
    resume_cross_validation,
    score_model,
)
from maskwright.recipes.fold_scores import mean_score
from maskwright.recipes.opened_parts import open_parts
from small_recipe import SMALL


def _request(discs: Path, **options: object) -> RunRequest:
    known = {"preset": "tiny", "weights": "none", "num_steps": 1, "overrides": SMALL}
    return RunRequest(data=discs, **(known | options))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def finished(discs: Path, tmp_path_factory: pytest.TempPathFactory) -> CrossValidation:
    out = tmp_path_factory.mktemp("folds") / "three"
    return cross_validate(_request(discs), out=out, folds=3, quiet=True)


def test_a_cross_validation_leaves_what_its_page_promises(finished: CrossValidation) -> None:
    names = {"config.json", "fold-1", "fold-2", "fold-3", "folds.json", "folds.md"}
    assert {path.name for path in finished.path.iterdir()} == names
    for fold in finished.folds:
        assert (finished.path / fold.run / "best.safetensors").is_file()
    assert is_cross_validation(finished.path)
    assert not is_cross_validation(finished.path / "fold-1")
    told = json.loads((finished.path / "folds.json").read_text())
    assert told == json.loads(json.dumps(finished.as_dict()))
    page = (finished.path / "folds.md").read_text().splitlines()
    header = next(line for line in page if line.startswith("| fold"))
    assert all(line.count("|") == header.count("|") for line in page if line.startswith("|"))


def test_every_picture_is_tested_once_and_never_learnt_from_by_its_fold(
    finished: CrossValidation, discs: Path
) -> None:
    tested: list[int] = []
    dataset = mw.open_dataset(discs)
    for fold, (_, expected) in zip(finished.folds, fold_dataset(dataset, 3), strict=True):
        split = json.loads((finished.path / fold.run / "split.json").read_text())
        assert split["test"] == expected.image_ids.tolist()
        assert sorted(one for ids in split.values() for one in ids) == list(range(1, 13))
        tested += split["test"]
    assert sorted(tested) == list(range(1, 13))


def test_a_folds_score_is_that_of_its_model_on_its_own_pictures(
    finished: CrossValidation, discs: Path
) -> None:
    fold = finished.folds[1]
    dataset = mw.open_dataset(discs)
    split = json.loads((finished.path / fold.run / "split.json").read_text())
    part = dataset.subset(np.flatnonzero(np.isin(dataset.image_ids, split["test"])))
    assert score_model(mw.load(finished.path / fold.run), part).as_dict() == fold.scores


def test_mean_and_interval_are_those_of_the_corrected_t_test() -> None:
    values, share = [0.41, 0.38, 0.52, 0.47, 0.44], 20 / 68
    score = mean_score(values, share)
    scale = np.std(values, ddof=1) * np.sqrt(1 / 5 + share)
    low, high = stats.t.interval(0.95, 4, loc=np.mean(values), scale=scale)
    assert score.interval == pytest.approx((low, high), abs=1e-12)
    assert score.mean == pytest.approx(np.mean(values))
    assert mean_score([0.4, -1.0], share).interval is None
    assert mean_score([-1.0], share).mean == -1.0
    assert mean_score([], share).num_folds == 0


def test_finished_folds_are_kept_and_the_others_made(
    finished: CrossValidation, discs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "again"
    shutil.copytree(finished.path, out)
    kept = (out / "fold-1" / "best.safetensors").stat().st_mtime_ns
    shutil.rmtree(out / "fold-2")  # never begun
    (out / "fold-3" / "fold.json").unlink()  # killed just before its end
    again = resume_cross_validation(out)
    assert again.is_complete
    assert again.as_dict()["summary"] == finished.as_dict()["summary"]
    assert (out / "fold-1" / "best.safetensors").stat().st_mtime_ns == kept
    assert "fold 2 of 3" in capsys.readouterr().err


def test_another_request_or_other_data_in_the_same_folder_is_refused(
    finished: CrossValidation, discs: Path
) -> None:
    with pytest.raises(TrainingError, match=r"request\.seed"):
        cross_validate(_request(discs, seed=1), out=finished.path, folds=3)
    with pytest.raises(TrainingError, match="folds"):
        cross_validate(_request(discs), out=finished.path, folds=4)
    with pytest.raises(TrainingError, match="not of a cross-validation"):
        cross_validate(_request(discs), out=finished.path / "fold-1" / "tensorboard", folds=3)
    with pytest.raises(TrainingError, match="nothing to resume"):
        resume_cross_validation(finished.path / "fold-1")


def test_groups_stay_together_in_folds_and_inside_them(discs: Path) -> None:
    rule = r"name:^(\d)"  # 1, 10, 11 and 12 are one group
    for number in range(1, 4):
        parts = open_parts(_request(discs, groups=rule, fold=(number, 3)).source())
        homes = {name for name, ids in parts.image_ids().items() if {1, 10, 11, 12} & set(ids)}
        assert len(homes) == 1


def test_impossible_folds_are_explained(discs: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="2 folds or more, got 1"):
        cross_validate(_request(discs), out=tmp_path / "a", folds=1)
    with pytest.raises(DataError, match="cannot make 13 folds"):
        cross_validate(_request(discs), out=tmp_path / "a", folds=13)
    with pytest.raises(ConfigError, match="folds divide the data"):
        cross_validate(_request(discs, validation=discs), out=tmp_path / "a", folds=3)
    with pytest.raises(ConfigError, match="1 <= k <= n"):
        _request(discs, fold=(4, 3))


def test_the_command_goes_on_and_prints_the_table(
    finished: CrossValidation, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["train", "--resume", str(finished.path)]) == 0
    shown = capsys.readouterr().out
    assert "Cross-validation over 3 folds" in shown
    assert "95 % from" in shown
    assert run_command(["train", "--resume", str(finished.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["is_complete"] is True
    assert run_command(["train", "--resume", str(finished.path), "--steps", "9"]) == 2
    assert "leave num_steps out" in capsys.readouterr().err
