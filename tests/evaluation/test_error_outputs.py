"""The error analysis as figures, files and pictures."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from maskwright.data import open_dataset
from maskwright.evaluation.analysis import analyse_errors
from maskwright.evaluation.analysis.drawing import OutcomeDrawer, crop_around
from maskwright.evaluation.analysis.exporting import listed_to_coco, write_tables
from maskwright.evaluation.analysis.plots import (
    plot_breakdown,
    plot_confusion,
    plot_f1,
    plot_precision_recall,
    plot_tide,
)
from maskwright.recipes import write_error_analysis


@pytest.fixture(scope="module")
def analysis(scene):
    return analyse_errors(*reversed(scene(7, num_images=10, most=8, small=True)))


def test_the_bars_of_the_plot_are_the_costs(analysis) -> None:
    bars = plot_tide(analysis.tide).axes[0].patches
    wanted = [100 * analysis.tide.total.costs[kind] for kind in ("Cls", "Loc", "Both")]
    assert [bar.get_height() for bar in bars[:3]] == pytest.approx(wanted)


def test_the_cells_of_the_plot_carry_the_counts(analysis) -> None:
    axes = plot_confusion(analysis.confusion).axes[0]
    numbers = [int(text.get_text()) for text in axes.texts]
    counts = analysis.confusion.counts
    assert numbers == counts[counts > 0].tolist()


def test_curves_and_bins_are_drawn_as_they_are(analysis) -> None:
    line = plot_precision_recall(analysis.curves).axes[0].lines[0]
    assert line.get_xdata()[1:] == pytest.approx(analysis.curves.total.recall)
    assert plot_f1(analysis.curves).axes[0].lines[0].get_ydata() == pytest.approx(
        analysis.curves.total.f1
    )
    first = plot_breakdown(analysis.breakdown).axes[0].patches
    assert first[0].get_height() == pytest.approx(analysis.breakdown.by_size[0].recall)


@pytest.mark.parametrize("plot", [plot_precision_recall, plot_f1])
def test_curves_of_nothing_are_drawn_empty(plot, scene) -> None:
    coco, _ = scene(4)
    assert plot(analyse_errors([], coco).curves).axes[0].get_xlim() == (0.0, 1.0)


@pytest.mark.parametrize("left", ["truth", "predictions", "pictures"])
def test_with_nothing_on_a_side_everything_is_written_all_the_same(
    left, scene, tmp_path: Path
) -> None:
    coco, results = scene(4)
    if left != "predictions":
        results = []
    if left != "truth":
        coco["annotations"] = []
    if left == "pictures":
        coco["images"] = []
    files = write_error_analysis(analyse_errors(results, coco), tmp_path).files
    assert all(path.is_file() for path in files)
    assert tmp_path / "reliability.png" in files


def test_tables_are_whole_and_the_suspects_are_coco(analysis, tmp_path: Path) -> None:
    files = write_tables(analysis, tmp_path)
    assert all(path.is_file() for path in files)
    with (tmp_path / "suspects.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["reason"] for row in rows] == [one.reason for one in analysis.suspects]
    dataset = json.loads((tmp_path / "suspects.json").read_text())
    assert [one["reason"] for one in dataset["annotations"]] == [row["reason"] for row in rows]
    assert {one["id"] for one in dataset["images"]} == {
        one["image_id"] for one in dataset["annotations"]
    }
    assert json.loads((tmp_path / "errors.json").read_text())["tide"]["counts"]


def test_listed_objects_keep_their_outline_and_class(scene) -> None:
    coco, results = scene(7, num_images=10, most=8, small=True)
    analysis = analyse_errors(results, coco)
    by_id = {one["id"]: one for one in coco["annotations"]}
    listed = listed_to_coco(analysis.objects, analysis.suspects)["annotations"]
    assert {one["source_id"] is None for one in listed} == {True, False}
    for one, entry in zip(listed, analysis.suspects, strict=True):
        origin = results[entry.prediction] if entry.reason == "missing" else by_id[one["source_id"]]
        assert one["segmentation"] == origin["segmentation"]
        assert one["category_id"] == origin["category_id"]


def _found(dataset, missed_picture: int):
    """Every disc moved by two pixels; none in one picture, and one that is not there."""
    for i in range(len(dataset)):
        target = dataset.targets(i)
        for number, entry in enumerate(target.to_coco()):
            if i != missed_picture:
                moved = target.masks[number].to_dense()[0]
                from maskwright.masks import Masks

                masks = Masks.from_dense(np.roll(moved, 2, axis=1)[None])
                yield {
                    "image_id": int(dataset.image_ids[i]),
                    "category_id": entry["category_id"],
                    "segmentation": masks.to_coco()[0],
                    "score": 0.9,
                }


def test_with_the_pictures_at_hand_the_worst_are_drawn(discs: Path, tmp_path: Path) -> None:
    dataset = open_dataset(discs)
    analysis = analyse_errors(list(_found(dataset, 2)), dataset)
    written = write_error_analysis(analysis, tmp_path / "out", dataset=dataset, num_pictures=3)
    names = {str(path.relative_to(tmp_path / "out")) for path in written.files}
    assert "worst/01_3.png" in names
    assert {"tide.png", "missed.png", "suspects.png", "suspects.csv", "errors.json"} <= names
    assert all(path.is_file() for path in written.files)


def test_suspects_go_to_an_annotation_tool_with_their_pictures(discs: Path, tmp_path: Path) -> None:
    dataset = open_dataset(discs)
    analysis = analyse_errors(list(_found(dataset, 2)), dataset)
    write_error_analysis(analysis, tmp_path / "out", dataset=dataset, num_pictures=0, to="labelme")
    again = open_dataset(tmp_path / "out" / "labelme")
    assert len(again) == len({one.picture for one in analysis.suspects})
    assert len(again.labels) == len(analysis.suspects) > 0


def test_colours_say_what_became_of_an_object(discs: Path) -> None:
    dataset = open_dataset(discs)
    analysis = analyse_errors(list(_found(dataset, 2)), dataset)
    drawer = OutcomeDrawer(objects=analysis.objects, score_threshold=0.5)
    blank = np.zeros((64, 64, 3), np.uint8)
    truth, found = drawer.draw(blank, 0)
    assert (truth.reshape(-1, 3).max(axis=0) == (40, 170, 80)).all()
    assert found.any()
    truth, found = drawer.draw(blank, 2)
    assert (truth.reshape(-1, 3).max(axis=0) == (255, 140, 0)).all()
    assert not found.any()
    assert not drawer.draw(blank, 5)[0].any()  # a picture without any object


def test_crops_stay_inside_the_picture_and_show_surroundings() -> None:
    image = np.zeros((100, 80, 3), np.uint8)
    assert crop_around(image, (0, 0, 4, 4)).shape == (26, 26, 3)
    assert crop_around(image, (30, 40, 20, 10)).shape == (48, 48, 3)
    assert crop_around(image, (0, 0, 80, 100)).shape == (100, 80, 3)
