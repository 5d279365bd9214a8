"""A study: alike, resumable, with failures recorded, bad trials ended and the best one kept."""

from __future__ import annotations

import csv
import json
import os
import shlex
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

import maskwright as mw
from maskwright.data import read_image
from maskwright.errors import ConfigError, DataError, TrainingError
from maskwright.model import config_to_dict
from maskwright.recipes import Study, choose_recipe, data_facts, override_recipe, tune
from maskwright.recipes.run_request import RunRequest
from maskwright.recipes.training_runs import open_parts
from maskwright.recipes.tuning.journal import Journal
from maskwright.recipes.tuning.search_space import Range
from maskwright.recipes.tuning.trial import Common, Job, Outcome, run_trial, trial_request

pytest.importorskip("optuna")

_SMALL = {
    "model.short_side": 64,
    "model.long_side": 64,
    "model.neck.channels": 16,
    "batch_size": 2,
    "num_workers": 0,
    "evaluations": 2,
    "precision": "fp32",
}
_EVERYTHING = _SMALL | {"optimizer": {}, "warmup": 0.1, "ema_decay": 0.9}
_SEARCH = ["optimizer.learning_rate=1e-3:1e-1:log", "warmup=0.0:0.3", "ema_decay=none,0.9"]


def _tune(discs: Path, out: Path, trials: int, **options: object) -> Study:
    known: dict[str, object] = {
        "model": "yolo+prototypes", "preset": "tiny", "weights": "none", "augment": "none",
        "search": _SEARCH, "overrides": _SMALL, "num_steps": 2, "device": "cpu",
    }  # fmt: skip
    return tune(discs, out=out, trials=trials, **(known | options))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def finished(discs: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    return _tune(discs, tmp_path_factory.mktemp("tune") / "study", 4, pruner="none")


def test_a_study_leaves_everything_that_its_page_promises(finished: Study) -> None:
    names = {"config.json", "study.journal", "trials", "best", "report.md", "study.json",
             "trials.csv", "plots"}  # fmt: skip
    assert names == {path.name for path in finished.path.iterdir()}
    for name in ("history", "importances", "slices", "parallel"):
        assert read_image(finished.path / "plots" / f"{name}.png").std() > 0
    best = finished.best
    assert best is not None
    assert (finished.path / "best").resolve() == (finished.path / best.run).resolve()
    assert mw.load(finished.path / "best").class_names == ("disc",)


def test_the_score_of_a_trial_is_the_best_validation_of_its_run(finished: Study) -> None:
    for one in finished.trials:
        assert one.state == "complete"
        assert one.steps == 2
        assert set(one.curve) == {1, 2}
        with (finished.path / one.run / "metrics.csv").open(newline="") as file:
            rows = [row["val/segm_AP"] for row in csv.DictReader(file)]
        assert one.score == max(float(row) for row in rows if row)


def test_the_first_trial_is_what_train_does_by_itself(finished: Study) -> None:
    assert finished.trials[0].values == {
        "optimizer.learning_rate": 0.02,
        "warmup": 0.05,
        "ema_decay": finished.trials[0].values["ema_decay"],  # 0.998 is not searched
    }
    config = json.loads((finished.path / "trials/0001/config.json").read_text())["recipe"]
    tried = finished.trials[1].values
    assert config["optimizer"]["learning_rate"] == tried["optimizer.learning_rate"]
    assert config["warmup"] == tried["warmup"]
    ema = {"none": None, 0.9: 0.9}[tried["ema_decay"]]  # type: ignore[index]
    assert config["ema_decay"] == ema


def test_only_the_best_keeps_its_model(finished: Study) -> None:
    best = finished.best
    assert best is not None
    for one in finished.trials:
        models = sorted(path.name for path in (finished.path / one.run).glob("*.safetensors"))
        assert bool(models) == (one is best)
        assert (finished.path / one.run / "metrics.csv").is_file()


def test_json_csv_and_report_hold_the_same_trials(finished: Study) -> None:
    content = json.loads((finished.path / "study.json").read_text())
    assert content == json.loads(json.dumps(finished.as_dict()))
    assert content["score"] == max(one["score"] for one in content["trials"])
    with (finished.path / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["score"]) for row in rows] == [one.score for one in finished.trials]
    report = (finished.path / "report.md").read_text()
    assert "--set optimizer.learning_rate=" in report
    assert report.count("| complete |") + report.count("**best**") == 4


def test_what_matters_is_said_of_ten_complete_trials_and_more(tmp_path: Path) -> None:
    space = {"warmup": Range(low=0.0, high=1.0), "ema_decay": Range(low=0.0, high=0.9)}
    journal = Journal(tmp_path / "journal", space, seed=0, pruner="none", evaluations=1)
    for number in range(30):
        if number == 9:
            assert journal.importances() == {}
        asked = journal.ask()
        asked.report(1, float(asked.values["warmup"]))
        journal.tell(asked, Outcome(state="complete", steps=1, seconds=0.0))
    shares = journal.importances()
    assert list(shares) == ["warmup", "ema_decay"]
    assert shares["warmup"] > 0.8
    assert sum(shares.values()) == pytest.approx(1, abs=0.01)


@pytest.mark.slow
def test_a_study_goes_on_as_one_that_was_not_stopped(
    finished: Study, discs: Path, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    _tune(discs, out, 2, pruner="none")
    again = _tune(discs, out, 4, pruner="none")
    assert [one.values for one in again.trials] == [one.values for one in finished.trials]
    assert [one.score for one in again.trials] == [one.score for one in finished.trials]
    said: list[str] = []
    _tune(discs, out, 4, pruner="none", say=said.append)
    assert said == []


def test_another_configuration_is_refused_with_the_difference(finished: Study, discs: Path) -> None:
    with pytest.raises(TrainingError, match=r"num_steps: 2 then, 3 now"):
        _tune(discs, finished.path, 5, pruner="none", num_steps=3)
    with pytest.raises(TrainingError, match=r"search\.warmup: .* then, absent now"):
        _tune(discs, finished.path, 5, pruner="none", search=_SEARCH[:1])


def test_a_folder_of_something_else_is_refused(discs: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(TrainingError, match=r"'notes\.txt' and is not of a study"):
        _tune(discs, tmp_path, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"search": ["optimizer.learning_rte=1e-3:1e-1"]}, "Did you mean 'learning_rate'"),
        ({"search": ["warmup=0:7"]}, r"--search warmup: 7 is not possible"),
        ({"search": ["preset=tiny,quick"], "preset": None}, "unknown preset 'quick'"),
        ({"search": ["preset=tiny,fast"]}, "preset is given and searched"),
        ({"search": ["evaluations=1:2"]}, "evaluations is given and searched"),
        ({"search": (), "overrides": _EVERYTHING}, "nothing to search"),
        ({"trials": 0}, "trials must be 1 or more"),
        ({"pruner": "harsh"}, "median, hyperband, none"),
        ({"keep": "some"}, "keep is best or all"),
        ({"parallel": 2}, "give ray as well"),
        ({"limit": 0}, "limit must be 1"),
    ],
)
def test_mistakes_are_said_before_the_first_training(
    options: dict[str, object], message: str, discs: Path, tmp_path: Path
) -> None:
    trials = int(options.pop("trials", 1))  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match=message):
        _tune(discs, tmp_path / "study", trials, **options)
    assert not (tmp_path / "study").exists()


def test_validation_without_objects_is_refused(discs: Path, tmp_path: Path) -> None:
    document = json.loads(discs.read_text())
    document["annotations"] = []
    for image in document["images"]:
        image["file_name"] = str(discs.parent / image["file_name"])
    empty = discs.parent / "empty.json"
    document["images"] = [
        image | {"file_name": Path(image["file_name"]).name} for image in document["images"]
    ]
    empty.write_text(json.dumps(document))
    try:
        with pytest.raises(DataError, match="validation pictures have no objects"):
            _tune(discs, tmp_path / "study", 1, validation=empty)
    finally:
        empty.unlink()


@pytest.mark.slow
def test_a_trial_that_fails_is_recorded_and_the_study_goes_on(discs: Path, tmp_path: Path) -> None:
    # impossible together only: each value by itself passes the check
    search = {"model.detector.kind": "yolo,ssd", "model.detector.score_power": "1.0,2.0"}
    study = _tune(discs, tmp_path / "study", 4, search=search, seed=1)
    assert len(study.trials) == 4
    failed = study.failures
    assert failed
    assert study.best is not None
    for one in failed:
        assert one.reason
        assert (study.path / one.run / "error.txt").read_text().rstrip().endswith(one.reason)
    report = (study.path / "report.md").read_text()
    assert "## Failed trials" in report


def test_five_failures_in_a_row_end_a_study(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from maskwright.recipes.tuning import trial

    def broken(*_: object, **__: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(trial, "train_request", broken)
    with pytest.raises(TrainingError, match=r"5 trials failed .* OSError: the disk is full"):
        _tune(discs, tmp_path / "study", 9)


def test_trials_that_fall_behind_are_ended_early(tmp_path: Path) -> None:
    space = {"warmup": Range(low=0.0, high=1.0)}
    for pruner in ("median", "hyperband", "none"):
        journal = Journal(
            tmp_path / f"{pruner}.journal", space, seed=0, pruner=pruner, evaluations=9
        )
        ended = []
        for number in range(12):
            asked = journal.ask()
            score = 0.5 if number < 6 else 0.01
            rungs = range(1, 10)
            last = next((k for k in rungs if asked.report(k, score * k / 9)), None)
            state = "complete" if last is None else "pruned"
            journal.tell(asked, Outcome(state=state, steps=1, seconds=0.0))  # type: ignore[arg-type]
            ended.append(last)
        assert all(last is None for last in ended[:3])
        assert any(last is not None for last in ended[6:]) == (pruner != "none")
        rows = journal.rows()
        assert [one.state == "pruned" for one in rows] == [last is not None for last in ended]
        assert all(max(one.curve) == last for one, last in zip(rows, ended, strict=True) if last)


def _job(discs: Path, folder: Path) -> Job:
    request = RunRequest(
        data=str(discs), model="yolo+prototypes", preset="tiny", weights="none", augment="none",
        num_steps=2, overrides=_SMALL,
    )  # fmt: skip
    facts = data_facts(mw.open_dataset(discs))
    common = Common(request=request, device="cpu", facts=facts)
    return Job(common=common, values={"warmup": 0.1}, folder=folder, evaluations=2)


def test_a_pruned_trial_stops_between_two_steps_and_could_go_on(
    discs: Path, tmp_path: Path
) -> None:
    rungs: list[int] = []

    def stop(rung: int, score: float) -> bool:
        rungs.append(rung)
        return True

    outcome = run_trial(_job(discs, tmp_path / "run"), stop)
    assert (outcome.state, outcome.steps, rungs) == ("pruned", 1, [1])
    assert not (tmp_path / "run" / "scores.json").exists()
    # its folder is free, and its state is that of the step
    outcome = run_trial(_job(discs, tmp_path / "run"), stop)
    assert (outcome.state, outcome.steps, rungs) == ("complete", 2, [1, 2])


def test_input_scale_multiplies_what_the_data_suggest(discs: Path, tmp_path: Path) -> None:
    common = _job(discs, tmp_path).common
    common = replace(common, request=replace(common.request, overrides=None))
    assert trial_request(common, {}).overrides == {}
    double = trial_request(common, {"input_scale": 2.0}).overrides
    single = trial_request(common, {"input_scale": 1.0}).overrides
    assert double is not None
    assert single is not None
    assert double["model.short_side"] == 2 * single["model.short_side"]
    assert double["model.long_side"] == pytest.approx(2 * single["model.long_side"], abs=1)


def test_the_printed_command_trains_with_the_same_recipe(finished: Study, discs: Path) -> None:
    best = finished.best
    assert best is not None
    words = shlex.split(finished.command)
    assert words[:3] == ["maskwright", "train", str(discs)]
    overrides = dict(word.split("=", 1) for word in words[words.index("--set") :] if "=" in word)
    config = json.loads((finished.path / "best" / "config.json").read_text())["recipe"]
    recipe = override_recipe(
        choose_recipe(
            data_facts(mw.open_dataset(discs)), model="yolo+prototypes", preset="tiny",
            weights="none", num_steps=2,
        ),
        overrides, augment="none",
    )  # fmt: skip
    assert json.loads(json.dumps(config_to_dict(recipe)))["optimizer"] == config["optimizer"]
    assert (
        json.loads(json.dumps(config_to_dict(recipe)))["model"]["neck"] == config["model"]["neck"]
    )
    assert recipe.warmup == config["warmup"]


def _signalled_when_scored(discs: Path, out: Path, number: signal.Signals) -> str:
    """Run a study in a process, and signal it once its first trial was scored."""
    overrides = [f"--set={name}={value}" for name, value in _SMALL.items()]
    command = [
        sys.executable, "-m", "maskwright", "tune", str(discs), "--out", str(out), "--steps",
        "4000", "--model=yolo+prototypes", "--preset=tiny", "--weights=none", "--augment=none",
        "--device=cpu", "--trials=1", *(f"--search={text}" for text in _SEARCH), *overrides,
        "--set=evaluations=2000",
    ]  # fmt: skip
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        start_new_session=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    said = ""
    try:
        assert process.stderr is not None
        for line in process.stderr:
            said += line
            if "of the budget" in line:
                break
        os.killpg(process.pid, number)
        process.wait(timeout=120)
        return said
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=60)
        process.stderr.close()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["killed", "ctrl-c"])
def test_a_study_whose_process_died_goes_on_with_the_run(
    number: signal.Signals, discs: Path, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    said = _signalled_when_scored(discs, out, number)
    assert "of the budget" in said, said
    run = out / "trials" / "0000"
    assert (run / "state.safetensors").is_file()
    # The run is made to end soon: its budget lies in its own folder.
    config = json.loads((run / "config.json").read_text())
    config["recipe"]["num_steps"] = 40
    (run / "config.json").write_text(json.dumps(config))
    record = json.loads((run / "started.json").read_text())
    record["options"]["recipe.num_steps"] = 40
    (run / "started.json").write_text(json.dumps(record))
    heard: list[str] = []
    study = _tune(
        discs, out, 1, num_steps=4000, overrides=_SMALL | {"evaluations": 2000},
        say=heard.append,
    )  # fmt: skip
    assert heard[0] == "trial 0 was interrupted: it is tried again"
    first, second = study.trials
    assert (first.state, second.state) == ("interrupted", "complete")
    assert first.values == second.values
    assert not (out / first.run).exists()  # its run went on under the other number
    assert set(first.curve) <= set(second.curve)
    with (out / second.run / "metrics.csv").open(newline="") as file:
        steps = [int(row["step"]) for row in csv.DictReader(file) if row["loss/total"]]
    assert steps == sorted(set(steps))
    assert steps[0] == 1
    assert steps[-1] == second.steps == 40


def test_a_limit_draws_pictures_by_the_seed(discs: Path) -> None:
    source = {"data": discs, "validation": None, "images": None, "seed": 0}
    whole = open_parts(source)
    some = open_parts(source | {"limit": 3})
    assert (len(some.train), len(some.validation)) == (3, min(3, len(whole.validation)))
    assert set(some.train.image_ids) < set(whole.train.image_ids)
    again = open_parts(source | {"limit": 3})
    assert again.image_ids() == some.image_ids()
    assert open_parts(source | {"limit": 99}).image_ids() == whole.image_ids()
