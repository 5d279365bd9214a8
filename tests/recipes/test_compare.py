"""Comparing models: alike, resumable, and with a reason for what is recommended."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

import maskwright as mw
from maskwright.data import read_image
from maskwright.errors import ConfigError, DataError, TrainingError
from maskwright.evaluation import bootstrap_interval
from maskwright.recipes import Comparison, compare, predict_dataset

_SMALL = {
    "model.short_side": 64,
    "model.long_side": 64,
    "model.neck.channels": 16,
    "model.detector.box_head.fc_channels": [32],
    "model.detector.detections_per_image": 5,
    "model.mask_head.conv_channels": [16],
    "model.mask_head.deconv_channels": 16,
    "batch_size": 2,
    "num_workers": 0,
    "num_steps": 2,
    "evaluations": 1,
}
_ONE, _TWO = "faster-rcnn+mask-rcnn", "faster-rcnn+mask-rcnn@resnet34"


def _compare(discs: Path, out: Path, models: str = _ONE, **options: object) -> Comparison:
    known = {"preset": "tiny", "weights": "none", "quiet": True, "overrides": _SMALL}
    return compare(discs, models=models, out=out, **(known | options))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def finished(discs: Path, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return _compare(discs, tmp_path_factory.mktemp("compare") / "both", f"{_ONE},{_TWO}")


def test_a_comparison_leaves_everything_that_its_page_promises(finished: Comparison) -> None:
    names = {"config.json", "models", "samples.png"}
    names |= {f"comparison.{suffix}" for suffix in ("csv", "json", "md", "png")}
    assert names == {path.name for path in finished.path.iterdir()}
    for one in finished.models:
        assert (finished.path / one.run / "result.json").is_file()
    assert read_image(finished.path / "comparison.png").std() > 0
    height, width, _ = read_image(finished.path / "samples.png").shape
    assert width > 3 * 200
    assert height > 200


def test_every_column_of_the_table_is_filled(finished: Comparison) -> None:
    assert {one.model for one in finished.models} == {_ONE, _TWO}
    for one in finished.models:
        assert (one.detector, one.mask_head, one.steps) == ("faster-rcnn", "mask-rcnn", 2)
        assert one.backbone == ("resnet34" if one.model == _TWO else "resnet18")
        assert one.ms is not None
        assert one.ms > 0
        assert one.peak_memory_mb is not None
        assert one.peak_memory_mb > 100
        assert one.gflops > 0
        model = mw.load(finished.path / one.run, runtime="eager")
        assert one.parameters == sum(each.numel() for each in model.model.parameters())
        size = (finished.path / one.run / "best.safetensors").stat().st_size
        assert one.file_mb == pytest.approx(size / 1e6, abs=1e-3)
    by_name = {one.model: one for one in finished.models}
    assert by_name[_TWO].parameters > by_name[_ONE].parameters
    assert by_name[_TWO].gflops > by_name[_ONE].gflops
    assert by_name[_TWO].file_mb > by_name[_ONE].file_mb


def test_csv_and_json_hold_the_same_table(finished: Comparison) -> None:
    rows = json.loads((finished.path / "comparison.json").read_text())
    assert rows == [one.as_dict() for one in finished.models]
    with (finished.path / "comparison.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["model"] for row in table] == [row["model"] for row in rows]
    assert list(table[0]) == list(rows[0])
    assert "NaN" not in (finished.path / "comparison.json").read_text()


def test_scores_are_those_of_the_test_pictures(finished: Comparison, discs: Path) -> None:
    dataset = mw.open_dataset(discs)
    for one in finished.models:
        run = finished.path / one.run
        ids = json.loads((run / "split.json").read_text())["test"]
        test = dataset.subset([dataset.image_ids.tolist().index(image_id) for image_id in ids])
        found = list(predict_dataset(mw.load(run), test))
        scores = mw.evaluate(found, test)
        assert one.mask_ap == scores["segm"]["AP"]
        assert one.boundary_ap == scores["boundary"]["AP"]
        assert one.box_ap == scores["bbox"]["AP"]
        interval = bootstrap_interval(found, test)
        assert (one.mask_ap_low, one.mask_ap_high) == (interval.low, interval.high)


def test_models_share_the_split_and_the_seed(finished: Comparison) -> None:
    runs = [finished.path / one.run for one in finished.models]
    one, other = (json.loads((run / "split.json").read_text()) for run in runs)
    assert one == other
    one, other = (json.loads((run / "config.json").read_text())["recipe"] for run in runs)
    assert one["model"].pop("backbone") != other["model"].pop("backbone")
    assert one == other


def test_finished_models_are_not_trained_again(finished: Comparison, discs: Path) -> None:
    def files() -> dict[str, int]:
        return {
            str(path): path.stat().st_mtime_ns
            for path in (finished.path / "models").rglob("*")
            if path.is_file()
        }

    before, said = files(), []
    again = _compare(discs, finished.path, f"{_ONE},{_TWO}", say=said.append)
    assert files() == before
    assert sum("finished before" in line for line in said) == 2
    assert not any("training" in line for line in said)
    assert {one.model: one.mask_ap for one in again.models} == {
        one.model: one.mask_ap for one in finished.models
    }


def test_an_interrupted_comparison_goes_on_where_it_was(discs: Path, tmp_path: Path) -> None:
    def stop(line: str) -> None:
        if line.endswith("scoring"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _compare(discs, tmp_path / "out", say=stop)
    run = tmp_path / "out" / "models" / _ONE
    assert not (run / "result.json").exists()
    log, model = (run / "metrics.csv").read_text(), (run / "best.safetensors").read_bytes()
    comparison = _compare(discs, tmp_path / "out")
    assert (run / "metrics.csv").read_text() == log
    assert (run / "best.safetensors").read_bytes() == model
    assert comparison.models[0].steps == 2
    assert comparison.models[0].is_recommended == (comparison.models[0].mask_ap > 0)


def test_a_run_killed_before_its_first_state_is_begun_anew(
    finished: Comparison, discs: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished.path, out)
    run = out / "models" / _ONE
    for name in ("state.safetensors", "result.json"):
        (run / name).unlink()
    said: list[str] = []
    again = _compare(discs, out, f"{_ONE},{_TWO}", say=said.append)
    assert [line for line in said if "training" in line] == [f"1/2 {_ONE}: training for 10 minutes"]
    assert {one.model for one in again.models} == {_ONE, _TWO}


def test_another_configuration_is_refused_with_the_difference(
    finished: Comparison, discs: Path
) -> None:
    with pytest.raises(TrainingError, match=r"budget_minutes: 10\.0 then, 5.0 now") as refused:
        _compare(discs, finished.path, budget="5m", seed=3)
    assert "seed: 0 then, 3 now" in str(refused.value)
    with pytest.raises(TrainingError, match=r"overrides\.num_steps: 2 then, 3 now"):
        _compare(discs, finished.path, overrides=_SMALL | {"num_steps": 3})


def test_options_as_text_or_as_values_are_those_of_the_same_comparison(
    finished: Comparison, discs: Path, tmp_path: Path
) -> None:
    typed = {
        name.replace("_", "-"): ",".join(map(str, value)) if isinstance(value, list) else str(value)
        for name, value in _SMALL.items()
    }
    config = json.loads((finished.path / "config.json").read_text())
    assert config["overrides"] == _SMALL
    out = tmp_path / "out"
    shutil.copytree(finished.path, out)
    before = {name: value for name, value in config.items() if name not in ("groups", "pictures")}
    for saved in (config, before | {"overrides": typed}):  # the second as earlier versions wrote it
        (out / "config.json").write_text(json.dumps(saved))
        for overrides in (typed, _SMALL):
            said: list[str] = []
            _compare(discs, out, overrides=overrides, say=said.append)
            assert f"1/1 {_ONE}: finished before" in said
        with pytest.raises(TrainingError, match=r"overrides\.num_steps: 2 then, 3 now"):
            _compare(discs, out, overrides=typed | {"num-steps": "3"})


def test_changed_annotations_are_refused(finished: Comparison, discs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    shutil.copytree(discs.parent, folder)
    shutil.copytree(finished.path, tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    config["data"] = str((folder / discs.name).resolve())
    (tmp_path / "out" / "config.json").write_text(json.dumps(config))
    document = json.loads((folder / discs.name).read_text())
    document["annotations"][0]["area"] += 1
    (folder / discs.name).write_text(json.dumps(document))
    with pytest.raises(TrainingError, match=r"pictures_and_objects: .* then, .* now"):
        _compare(folder / discs.name, tmp_path / "out")


def test_a_folder_of_something_else_is_refused(discs: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(TrainingError, match=r"'notes\.txt'.*not of a comparison"):
        _compare(discs, tmp_path)


def test_an_unreadable_result_says_what_to_remove(
    finished: Comparison, discs: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished.path, tmp_path / "out")
    (tmp_path / "out" / "models" / _ONE / "result.json").write_text('{"model": "x"}')
    with pytest.raises(TrainingError, match=r"result\.json cannot be read .* remove it"):
        _compare(discs, tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"models": f"{_ONE},faster-rcnn+mask-rccn"}, r"Did you mean 'mask-rcnn'"),
        ({"models": f"{_ONE},fastest-rcnn+mask-rcnn"}, r"unknown detector"),
        ({"models": "faster-rcnn"}, r"is detector\+mask-head or"),
        ({"models": f"{_ONE},{_ONE}"}, "named twice"),
        ({"models": " , "}, "no model to compare"),
        ({"budget": "10"}, "90s, 10m or 1h"),
        ({"budget": "0m"}, "90s, 10m or 1h"),
        ({"overrides": {"model.short_sid": 3}}, "Did you mean 'short_side'"),
    ],
)
def test_mistakes_are_named_before_anything_is_trained(
    options: dict[str, object], message: str, discs: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        _compare(discs, tmp_path / "out", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_a_training_that_fails_leaves_the_others(
    finished: Comparison, discs: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished.path, out)
    run = out / "models" / _TWO
    (run / "result.json").unlink()
    split = json.loads((run / "split.json").read_text())
    (run / "split.json").write_text(json.dumps(split | {"train": []}))
    comparison = _compare(discs, out, f"{_ONE},{_TWO}")
    assert [one.model for one in comparison.models] == [_ONE]
    [(name, reason)] = comparison.failures
    assert name == _TWO
    assert "restore the data" in reason
    assert f"{_TWO} failed" in (out / "comparison.md").read_text()


def test_with_validation_pictures_those_are_scored(discs: Path, tmp_path: Path) -> None:
    comparison = _compare(discs, tmp_path / "out", validation=discs)
    assert "12 validation pictures" in comparison.notes[0]
    assert comparison.models[0].mask_ap >= 0


def test_it_is_found_without_an_import_of_its_own() -> None:
    assert mw.__getattr__("recipes").compare is compare


def test_validation_without_pictures_is_refused(discs: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.json"
    document = json.loads(discs.read_text())
    empty.write_text(json.dumps(document | {"images": [], "annotations": []}))
    with pytest.raises(DataError, match=r"empty\.json: the list .images. is empty"):
        _compare(discs, tmp_path / "out", validation=empty)


def test_the_table_is_printed_for_people(finished: Comparison) -> None:
    from rich.console import Console

    console = Console(width=160)
    text = "".join(segment.text for segment in console.render(finished.to_table()))
    assert _TWO in text
    assert "mask AP %" in text
    assert "bootstrap" in text
