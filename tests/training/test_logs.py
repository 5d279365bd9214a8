from __future__ import annotations

import csv
import math
from pathlib import Path

import pandas as pd
import pytest

from maskwright.errors import TrainingError
from maskwright.training import MetricsLog, StepReport, report_values


def _write(path: Path, start: int, stop: int) -> None:
    with MetricsLog(path, start_step=start) as log:
        for step in range(start + 1, stop + 1):
            log.write(step, {"loss/box": 1 / step, "loss/mask": step / 3})
            if step % 4 == 0:
                log.write(step, {"val/segm/AP": step / 100})


def test_a_resumed_log_is_the_log_of_an_uninterrupted_run(tmp_path: Path) -> None:
    _write(tmp_path / "whole.csv", 0, 12)
    _write(tmp_path / "resumed.csv", 0, 9)  # killed after 9, saved at 6
    _write(tmp_path / "resumed.csv", 6, 12)
    assert (tmp_path / "resumed.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_numbers_come_back_exactly_and_columns_may_grow(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    _write(path, 0, 5)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["step", "loss/box", "loss/mask", "val/segm/AP"]
    assert [row["step"] for row in rows] == ["1", "2", "3", "4", "4", "5"]
    exact = [float(row["loss/box"]) for row in rows if row["loss/box"]]
    assert exact == [1 / step for step in range(1, 6)]
    assert [row["val/segm/AP"] for row in rows] == ["", "", "", "", "0.04", ""]


@pytest.mark.parametrize("tail", ["7,0.1", "7,0.1\n", "\x00\x00\n", "\x00,1.0,2.0\n"])
def test_a_row_cut_or_garbled_by_a_crash_is_dropped(tmp_path: Path, tail: str) -> None:
    path = tmp_path / "metrics.csv"
    with MetricsLog(path) as log:
        log.write(6, {"a": 1.0, "b": 2.0})
    whole = path.read_bytes()
    path.write_bytes(whole + tail.encode())
    MetricsLog(path, start_step=7).close()
    assert path.read_bytes() == whole


def test_a_log_without_rows_has_its_header(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    MetricsLog(path).close()
    assert path.read_text() == "step\n"
    MetricsLog(path, start_step=5).close()
    assert path.read_text() == "step\n"


def test_names_with_commas_and_numbers_that_are_not_finite_survive(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    with MetricsLog(path, tensorboard=tmp_path / "events") as log:
        log.write(1, {"AP/cat, tabby": math.nan, "x": math.inf})
    with MetricsLog(path, start_step=1) as log:
        log.write(2, {"AP/cat, tabby": 0.5})
    table = pd.read_csv(path)
    assert table["AP/cat, tabby"].isna().tolist() == [True, False]
    assert table["x"].tolist()[0] == math.inf


def test_tensorboard_shows_each_step_once_after_a_resume(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = tmp_path / "tensorboard"
    for start, stop in ((0, 9), (6, 12)):
        path = tmp_path / "metrics.csv"
        with MetricsLog(path, tensorboard=folder, start_step=start) as log:
            for step in range(start + 1, stop + 1):
                log.write(step, {"loss/total": float(step + start)})
    events = EventAccumulator(str(folder))
    events.Reload()
    scalars = events.Scalars("loss/total")
    assert [event.step for event in scalars] == list(range(1, 13))
    assert [event.value for event in scalars[:7]] == [1, 2, 3, 4, 5, 6, 13]


def test_a_step_is_logged_under_grouped_names() -> None:
    report = StepReport(
        step=3,
        losses={"box": 1.0, "mask": 0.5},
        total=1.5,
        learning_rate=0.1,
        grad_norm=2.0,
        seconds=2.0,
        data_seconds=0.5,
        num_images=4,
    )
    assert report_values(report) == {
        "loss/box": 1.0,
        "loss/mask": 0.5,
        "loss/total": 1.5,
        "train/learning_rate": 0.1,
        "train/grad_norm": 2.0,
        "train/images_per_second": 2.0,
        "train/data_share": 0.25,
    }


def test_a_folder_that_is_gone_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match=r"the log .*metrics.csv could not be written"):
        MetricsLog(tmp_path / "file" / "metrics.csv")
