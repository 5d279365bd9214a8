"""`maskwright robustness`: what is measured, kept, gone on with and refused."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

import maskwright.recipes.robustness as recipe
from inference.conftest import BlobRuntime
from maskwright.data import Dataset, open_dataset, read_image
from maskwright.errors import ConfigError, DataError, EvaluationError
from maskwright.evaluation import evaluate
from maskwright.inference import Predictor
from maskwright.recipes import (
    Robustness,
    RobustnessOptions,
    measure_robustness,
    predict_dataset,
    write_robustness_files,
)
from maskwright.recipes.corrupted import corrupted_sample, truth_of
from maskwright.recipes.robustness_result import Cell, mean_under_corruption
from maskwright.structures import Instances
from maskwright.transforms.corruptions import corrupt, corruption_names


class DiscRuntime(BlobRuntime):
    """Finds what is brighter than 120, so that darkness and noise matter."""

    class_names = ("disc", "nut")

    def _find(self, image: np.ndarray) -> Instances:
        return super()._find(np.where(image.max(axis=2, keepdims=True) > 120, image, 0))


@pytest.fixture
def data(discs: Path) -> Dataset:
    return open_dataset(discs)


SOME = RobustnessOptions(corruptions=("darkness", "patches"), strengths=(1, 5), num_replicates=50)


def _measure(data: Dataset, out: Path, options: RobustnessOptions = SOME) -> Robustness:
    return measure_robustness(Predictor(DiscRuntime()), data, out, options=options, model="discs")


def test_numbers_are_those_of_evaluating_the_corrupted_pictures_by_hand(
    data: Dataset, tmp_path: Path
) -> None:
    result = _measure(data, tmp_path)
    predictor = Predictor(DiscRuntime())
    known = data.with_classes(predictor.class_names)
    clean = evaluate(list(predict_dataset(predictor, known)), known)
    assert result.clean["segm"]["AP"] == clean["segm"]["AP"] > 0.3
    found = []
    for i, image_id in enumerate(data.image_ids.tolist()):
        dark = corrupt(data.image(i), "darkness", 5, picture=data.file_names[i])
        found.append((image_id, predictor.predict(dark)))
    by_hand = evaluate(found, known, max_detections=result.max_detections)
    cell = result.cells[1]
    assert (cell.corruption, cell.strength) == ("darkness", 5)
    for kind in ("bbox", "segm", "boundary"):
        assert cell.numbers[kind]["AP"] == by_hand[kind]["AP"]
    assert result.ap()["darkness"][5] < result.clean["segm"]["AP"]


def test_means_are_over_strengths_then_corruptions(data: Dataset, tmp_path: Path) -> None:
    result = _measure(data, tmp_path)
    table = result.ap("boundary")
    expected = np.mean([np.mean(list(row.values())) for row in table.values()])
    assert result.mpc("boundary") == pytest.approx(expected)
    assert result.rpc("boundary") == pytest.approx(expected / result.clean["boundary"]["AP"])
    low, high = result.clean_intervals["segm"]
    assert low <= result.clean["segm"]["AP"] <= high
    assert mean_under_corruption({}) == -1.0
    assert mean_under_corruption({"a": {1: -1.0}, "b": {1: 0.5, 2: -1.0}}) == 0.5


def test_occlusion_is_scored_against_what_can_still_be_seen(data: Dataset) -> None:
    samples = [corrupted_sample(data, i, "patches", 5) for i in range(len(data))]
    truth = truth_of(data, [(sample.image_id, sample.targets) for sample in samples])
    assert len(truth["annotations"]) == len(data.labels)
    perfect = [
        (sample.image_id, _found(sample.targets)) for sample in samples if len(sample.targets)
    ]
    metrics = evaluate(perfect, truth)
    assert metrics["segm"]["AP"] == pytest.approx(1.0)
    whole = evaluate(perfect, data)
    assert whole["segm"]["AP"] < 0.9


def _found(targets: Instances) -> Instances:
    return Instances(
        image_size=targets.image_size,
        boxes=targets.boxes,
        labels=targets.labels,
        scores=torch.ones(len(targets)),
        masks=targets.masks,
        class_names=targets.class_names,
        category_ids=targets.category_ids,
    )


@pytest.mark.parametrize("stop_after", [0, 5, 12, 30, 47])
def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(
    data: Dataset, tmp_path: Path, stop_after: int
) -> None:
    _measure(data, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        measure_robustness(
            Predictor(DiscRuntime(stop_after)), data, tmp_path / "cut", options=SOME, model="discs"
        )
    # Twelve pictures, clean first: what was finished is there, and only the rest is done.
    kept = 0
    if stop_after >= 12:
        document = json.loads((tmp_path / "cut" / "robustness.json").read_text())
        kept = len(document["results"])
        assert kept == stop_after // 12 - 1
    rest = DiscRuntime()
    counted: list[tuple[int, int]] = []
    measure_robustness(
        Predictor(rest),
        data,
        tmp_path / "cut",
        options=SOME,
        model="discs",
        progress=lambda done, total: counted.append((done, total)),
    )
    left = 12 * (5 - stop_after // 12)
    assert len(rest.batch_sizes) == left
    assert counted[-1] == (left, left)
    whole, cut = ((tmp_path / name / "robustness.json").read_bytes() for name in ("whole", "cut"))
    assert whole == cut


def test_more_corruptions_are_added_to_what_is_there(data: Dataset, tmp_path: Path) -> None:
    first = RobustnessOptions(corruptions=("jpeg",), strengths=(5,), num_replicates=0)
    both = RobustnessOptions(corruptions=("fog", "jpeg"), strengths=(5,), num_replicates=0)
    _measure(data, tmp_path / "a", first)
    widened = _measure(data, tmp_path / "a", both)
    assert widened == _measure(data, tmp_path / "b", both)
    assert _measure(data, tmp_path / "a", first).cells == widened.cells[1:]
    kept = json.loads((tmp_path / "a" / "robustness.json").read_text())["results"]
    assert [one["corruption"] for one in kept] == ["fog", "jpeg"]


def test_results_of_something_else_are_not_gone_on_with(data: Dataset, tmp_path: Path) -> None:
    one = RobustnessOptions(corruptions=("jpeg",), strengths=(1,), num_replicates=0)
    _measure(data, tmp_path, one)
    other = RobustnessOptions(corruptions=("jpeg",), strengths=(1,), num_replicates=0, seed=3)
    with pytest.raises(ConfigError, match="measured with seed 0 and now it is 3"):
        _measure(data, tmp_path, other)
    with pytest.raises(ConfigError, match="model 'discs' and now it is 'other'"):
        measure_robustness(Predictor(DiscRuntime()), data, tmp_path, options=one, model="other")
    with pytest.raises(ConfigError, match="pictures 12 and now it is 4"):
        _measure(data.subset(range(4)), tmp_path, one)
    (tmp_path / "robustness.json").write_text("{}")
    with pytest.raises(DataError, match="is not a result of maskwright robustness"):
        _measure(data, tmp_path, one)


def test_a_limit_draws_pictures_by_the_seed(data: Dataset, tmp_path: Path) -> None:
    options = [
        RobustnessOptions(corruptions=("jpeg",), strengths=(1,), limit=5, seed=seed)
        for seed in (0, 0, 1)
    ]
    drawn = [recipe._limited(data, one).image_ids.tolist() for one in options]
    assert len(drawn[0]) == 5
    assert drawn[0] == drawn[1] != drawn[2]
    assert _measure(data, tmp_path, options[0]).num_images == 5


def test_the_table_the_csv_and_the_plots_show_every_number(data: Dataset, tmp_path: Path) -> None:
    from rich.console import Console

    result = _measure(data, tmp_path)
    files = write_robustness_files(result, tmp_path, dataset=data, options=SOME)
    assert [file.name for file in files] == ["robustness.csv", "robustness.png", "samples.png"]
    rows = list(csv.DictReader(io.StringIO(files[0].read_text(encoding="utf-8"))))
    assert [(row["corruption"], row["strength"]) for row in rows] == [
        ("clean", "0"), ("darkness", "1"), ("darkness", "5"), ("patches", "1"), ("patches", "5")
    ]  # fmt: skip
    assert float(rows[2]["segm_AP"]) == result.ap()["darkness"][5]
    for file in files[1:]:
        assert min(read_image(file).shape[:2]) > 200
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(result.to_table())
    text = console.export_text()
    assert f"{100 * result.mpc():.1f}" in text
    assert f"{100 * result.ap('boundary')['patches'][5]:.1f}" in text


def test_a_model_that_finds_nothing_and_numbers_that_are_undefined_are_shown() -> None:
    zero = {"bbox": {"AP": 0.0}}
    cells = (Cell(corruption="fog", strength=1, numbers={"bbox": {"AP": -1.0}}),)
    result = Robustness(
        clean=zero, clean_intervals={}, cells=cells, num_images=1, max_detections=100
    )
    assert result.mpc() == result.rpc() == -1.0
    from maskwright.recipes.robustness_plots import plot_robustness

    plot_robustness(result).canvas.draw()
    assert result.to_table() is not None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"corruptions": ("fogg",)}, "Did you mean 'fog'"),
        ({"strengths": (0,)}, "from 1 to 5"),
        ({"strengths": ()}, "empty"),
        ({"limit": 0}, "1 picture or more"),
        ({"reference_side": 0}, "1 pixel or more"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Sequence[int]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RobustnessOptions(**options)  # type: ignore[arg-type]


def test_without_pictures_there_is_nothing_to_corrupt(data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="no pictures"):
        _measure(data.subset([]), tmp_path)


def test_all_is_the_default() -> None:
    assert len(RobustnessOptions().cells) == 5 * len(corruption_names()) == 90
