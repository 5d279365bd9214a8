from __future__ import annotations

import json
from collections.abc import Callable
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from maskwright.data import open_annotations, open_dataset
from maskwright.data.normalisation import ChannelSums, channel_statistics
from maskwright.data.statistics import dataset_statistics, joint_class_names
from maskwright.data.statistics_tables import class_table, overview_table
from maskwright.draw.statistics_folder import write_statistics
from maskwright.draw.statistics_plots import PLOTS
from maskwright.errors import DataError

_Content = dict[str, Any]


def _text(table: object) -> str:
    from rich.console import Console

    console = Console(width=120)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


_PICTURES = st.lists(
    st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
        lambda size: arrays.arrays(np.uint16, (*size, 4))
    ),
    min_size=1,
    max_size=6,
)


@settings(deadline=None, max_examples=50)
@given(_PICTURES)
def test_the_normalisation_is_that_of_all_pixels_in_one_heap(images: list[np.ndarray]) -> None:
    sums = ChannelSums()
    for image in images:
        sums.add(image)
    pixels = np.concatenate([image.reshape(-1, 4) for image in images]).astype(np.float64)
    found = sums.result()
    np.testing.assert_allclose(found.mean, pixels.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.std, pixels.std(0), rtol=1e-9, atol=1e-9)
    assert found.low.tolist() == pixels.min(0).tolist()
    assert found.high.tolist() == pixels.max(0).tolist()
    assert found.num_pixels == len(pixels)
    assert found.dtypes == ("uint16",)


def test_no_digits_are_lost_far_from_zero() -> None:
    rng = np.random.default_rng(0)
    sums = ChannelSums()
    values = rng.normal(0, 1e-3, (20, 50, 50))
    for value in values:
        sums.add(value + 1e6)
    assert sums.result().std[0] == pytest.approx(values.std(), rel=1e-5)


def test_a_large_picture_is_added_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.random.default_rng(0).integers(0, 255, (37, 23, 3), dtype=np.uint8)
    monkeypatch.setattr("maskwright.data.normalisation._ROWS_AT_ONCE", 100)
    sums = ChannelSums()
    sums.add(image)
    np.testing.assert_allclose(sums.result().std, image.reshape(-1, 3).std(0), rtol=1e-12)


def test_pixels_that_are_not_numbers_are_left_out() -> None:
    image = np.array([[[1.0, np.nan], [3.0, np.inf], [np.nan, 7.0]]], np.float32)
    sums = ChannelSums()
    sums.add(image)
    assert sums.result().mean.tolist() == [2.0, 7.0]
    assert sums.result().std.tolist() == [1.0, 0.0]
    assert sums.result().high.tolist() == [3.0, 7.0]


def test_no_pictures_have_no_normalisation() -> None:
    assert ChannelSums().result().mean.shape == (0,)
    sums = ChannelSums()
    sums.add(np.full((2, 2), np.nan))
    assert np.isnan(sums.result().mean).all()
    assert np.isnan(sums.result().std).all()


def test_pictures_of_different_channels_are_refused() -> None:
    sums = ChannelSums()
    sums.add(np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(DataError, match=r"b\.tif has 5 channels, the pictures before have 3"):
        sums.add(np.zeros((2, 2, 5), np.uint8), name="b.tif")


def test_the_figures_are_those_counted_by_hand(
    content: _Content, write: Callable[[_Content], Path]
) -> None:
    path = write(content)
    found = dataset_statistics(open_dataset(path), channels=channel_statistics(open_dataset(path)))
    # b.png has a zebra (4 x 3 box, area 12) and an apple (1 x 3, 3); the apple of a.png is a crowd.
    assert found.pictures["objects"].tolist() == [0, 2, 0]
    assert found.objects["file_name"].tolist() == ["b.png", "b.png"]
    assert found.objects["class"].tolist() == ["zebra", "apple"]
    np.testing.assert_allclose(found.objects["side"], np.sqrt([12, 3]))
    np.testing.assert_allclose(found.objects["relative_area"], [12 / 80, 3 / 80])
    np.testing.assert_allclose(found.objects["aspect"], [4 / 3, 1 / 3])
    np.testing.assert_allclose(found.objects[["x", "y"]], [[3 / 10, 2.5 / 8], [1.5 / 10, 3.5 / 8]])
    assert found.co_occurrence.tolist() == [[1, 1], [1, 1]]
    figures = found.as_dict()
    assert (figures["pictures"], figures["objects"], figures["crowds"]) == (3, 2, 1)
    assert figures["pictures_without_objects"] == 2
    assert figures["objects_by_class"] == {"apple": 1, "zebra": 1}
    assert (figures["small"], figures["medium"], figures["large"]) == (2, 0, 0)
    pixels = np.concatenate(
        [np.asarray(Image.open(path.parent / "images" / f"{n}.png")).reshape(-1, 3) for n in "abc"]
    )
    np.testing.assert_allclose(figures["channels"]["mean"], pixels.mean(0))
    np.testing.assert_allclose(figures["channels"]["std"], pixels.std(0))
    json.dumps(figures, allow_nan=False)


@pytest.mark.shared_data
def test_coco_is_counted_as_pandas_counts_its_json(shared_data: Path) -> None:
    path = shared_data / "coco128" / "instances.json"
    content = json.loads(path.read_text())
    table = pd.DataFrame(content["annotations"]).query("iscrowd == 0")
    names = {entry["id"]: entry["name"] for entry in content["categories"]}
    table["name"] = table["category_id"].map(names)
    found = dataset_statistics(open_annotations(path))
    by_class = found.classes.set_index("class")
    assert by_class["objects"].sum() == len(table) == 887
    expected = table.groupby("name").agg(objects=("id", "size"), pictures=("image_id", "nunique"))
    present = by_class[by_class["objects"] > 0].sort_index()
    assert present["objects"].to_dict() == expected["objects"].to_dict()
    assert present["pictures"].to_dict() == expected["pictures"].to_dict()
    np.testing.assert_allclose(
        found.as_dict()["side"]["median"], np.sqrt(table["area"]).median(), rtol=1e-12
    )
    classes_of = table.groupby("image_id")["name"].agg(set)
    for one, other in combinations_with_replacement(["person", "chair", "cup", "dog"], 2):
        i, j = found.class_names.index(one), found.class_names.index(other)
        both = sum({one, other} <= classes for classes in classes_of)
        assert found.co_occurrence[i, j] == found.co_occurrence[j, i] == both


def test_splits_stand_side_by_side_under_the_classes_of_all(
    content: _Content, write: Callable[[_Content], Path]
) -> None:
    train = open_annotations(write(content))
    content["categories"] = [{"id": 1, "name": "zebra"}, {"id": 2, "name": "yak"}]
    content["annotations"] = [content["annotations"][0] | {"category_id": 2}]
    val = open_annotations(write(content))
    classes = joint_class_names([train, val])
    assert classes == ("apple", "zebra", "yak")
    parts = [
        dataset_statistics(data.with_classes(classes), name=name)
        for name, data in (("train", train), ("val", val))
    ]
    (line,) = [line for line in _text(class_table(parts)).splitlines() if "yak" in line]
    assert [cell.strip() for cell in line.split("\u2502")[1:-1]] == [
        "yak",
        "0 (0.0 %)",
        "1 (100.0 %)",
    ]
    overview = _text(overview_table(parts))
    assert "train" in overview
    assert "val" in overview


def test_everything_is_drawn_and_written(discs: Path, tmp_path: Path) -> None:
    dataset = open_dataset(discs)
    parts = [
        dataset_statistics(dataset.subset(range(8)), name="train"),
        dataset_statistics(dataset.subset(range(8, 12)), name="val"),
    ]
    out = write_statistics(parts, tmp_path / "out")
    assert {file.stem for file in out.glob("*.png")} == set(PLOTS)
    for file in out.glob("*.png"):
        pixels = np.asarray(Image.open(file).convert("L"))
        assert (pixels < 200).sum() > 500, file.name
    figures = json.loads((out / "statistics.json").read_text())
    assert [one["name"] for one in figures] == ["train", "val"]
    objects = pd.read_csv(out / "objects.csv")
    assert len(objects) == 20 == len(dataset.labels)
    assert objects.groupby("dataset").size().to_dict() == {"train": 14, "val": 6}
    assert pd.read_csv(out / "pictures.csv")["objects"].sum() == 20
    assert pd.read_csv(out / "co_occurrence.csv", index_col=0).loc["disc", "disc"] == 10
    with pytest.raises(DataError, match="not an empty folder"):
        write_statistics(parts, out)


def test_a_dataset_without_objects_has_tables_and_plots_too(
    content: _Content, write: Callable[[_Content], Path], tmp_path: Path
) -> None:
    content["annotations"] = []
    empty = dataset_statistics(open_annotations(write(content)))
    assert empty.as_dict()["side"] == dict.fromkeys(("mean", "min", "p5", "median", "p95", "max"))
    assert "-" in _text(overview_table([empty]))
    assert "2 without objects" in _text(class_table([empty]))
    assert len(list(write_statistics([empty], tmp_path / "out").glob("*.png"))) == len(PLOTS)
    nothing = dataset_statistics(open_annotations(write(content)).subset([]))
    assert len(list(write_statistics([nothing], tmp_path / "none").glob("*.png"))) == len(PLOTS)
