"""`maskwright data split`, `stats` and `view` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from maskwright.cli.app import run
from maskwright.data import open_dataset, read_image, split_dataset


def test_split_writes_the_parts_and_says_how_they_came_out(
    discs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["data", "split", str(discs), "--out", str(tmp_path / "parts")]) == 0
    shown = capsys.readouterr().out
    assert "furthest from" in shown
    assert "disc" in shown
    parts = split_dataset(open_dataset(discs))
    for name, part in zip(("train", "val", "test"), parts, strict=True):
        path = tmp_path / "parts" / f"{name}.json"
        assert str(path) in shown.replace("\n", "")
        assert open_dataset(path).image_ids.tolist() == part.image_ids.tolist()


def test_split_takes_ratios_groups_and_a_format(
    discs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "parts"
    options = ["--ratios", "0.5", "0.5", "--groups", r"name:^(\d)", "--to", "labelme", "--copy"]
    assert run(["data", "split", str(discs), "--out", str(out), "--json", *options]) == 0
    report = json.loads(capsys.readouterr().out)
    assert list(report["parts"]) == ["train", "val"]
    assert report["groups"] == 9
    assert report["largest_group"] == 4
    assert len(open_dataset(out / "train")) == report["parts"]["train"]["images"]


def test_split_writes_folds(discs: Path, tmp_path: Path) -> None:
    out = tmp_path / "folds"
    assert run(["data", "split", str(discs), "--out", str(out), "--folds", "4"]) == 0
    names = [f"fold-{k}/{part}.json" for k in range(1, 5) for part in ("train", "val")]
    found = [str(file.relative_to(out)) for file in sorted(out.glob("fold*/*"))]
    assert found == names


def test_split_does_not_write_over_anything(
    discs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine")
    assert run(["data", "split", str(discs), "--out", str(tmp_path)]) == 2
    assert "not an empty folder" in capsys.readouterr().err


def test_stats_stand_side_by_side(
    discs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["data", "split", str(discs), "--out", str(tmp_path / "parts")])
    capsys.readouterr()
    paths = [str(tmp_path / "parts" / f"{name}.json") for name in ("train", "val")]
    assert run(["data", "stats", *paths, "--out", str(tmp_path / "stats")]) == 0
    shown = capsys.readouterr().out
    assert "train" in shown
    assert "channel means" in shown
    assert (tmp_path / "stats" / "centres.png").is_file()
    assert run(["data", "stats", *paths, "--names", "one", "two", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in figures] == ["one", "two"]
    train = open_dataset(paths[0])
    pixels = np.concatenate([train.image(i).reshape(-1, 3) for i in range(len(train))])
    np.testing.assert_allclose(figures[0]["channels"]["mean"], pixels.mean(0))
    np.testing.assert_allclose(figures[0]["channels"]["std"], pixels.std(0))


def test_stats_without_pixels_needs_no_pictures(
    discs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = tmp_path / "alone.json"
    alone.write_text(discs.read_text())
    assert run(["data", "stats", str(alone), "--no-pixels", "--json"]) == 0
    (figures,) = json.loads(capsys.readouterr().out)
    assert figures["objects"] == 20
    assert figures["channels"] is None


def test_stats_needs_data_and_as_many_names(
    discs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["data", "stats"]) == 2
    assert "stats needs DATA" in capsys.readouterr().err
    assert run(["data", "stats", str(discs), "--names", "a", "b"]) == 2
    assert "one for each of 1 DATA, got 2" in capsys.readouterr().err


def test_view_draws_pictures_and_objects(
    discs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet = tmp_path / "sheet.png"
    small = ["--count", "4", "--columns", "2", "--cell", "64"]
    assert run(["data", "view", str(discs), "--out", str(sheet), *small]) == 0
    assert "4 pictures" in capsys.readouterr().out
    assert read_image(sheet).shape[1] == 8 + 2 * 72
    options = [*small, "--objects", "--sort", "smallest", "--class", "disc"]
    assert run(["data", "view", str(discs), "--out", str(sheet), *options]) == 0
    assert "4 objects" in capsys.readouterr().out
    assert run(["data", "view", str(discs), "--out", str(sheet), "--class", "disk"]) == 2
    assert "Did you mean 'disc'" in capsys.readouterr().err


def test_train_hands_its_groups_on(
    discs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--out", str(tmp_path / "run"), "--groups", "nam:x", "--steps", "1"]
    assert run(["train", str(discs), *options]) == 2
    assert "got 'nam:x'. Did you mean 'name'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
