from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from maskwright.errors import ConfigError, DataError
from maskwright.inference import PostProcessing, Predictor, predict_to_folder
from maskwright.inference.picture_files import BatchSize


def _files(out: Path) -> set[str]:
    return {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}


def test_every_output_is_written_and_agrees(
    predictor: Predictor, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run = predict_to_folder(predictor, [folder], out)
    assert _files(out) == {
        *(f"overlay/{name}.png" for name in "abc"),
        *(f"labelmap/{name}.png" for name in "abc"),
        *(f"masks/{n}/{m}.png" for n in "bc" for m in ("0001_coin", "0002_nut")),
        "results.json",
        "objects.csv",
    }
    assert {path.relative_to(out).as_posix() for path in run.written} == _files(out)
    assert (run.num_images, run.num_objects, run.failures) == (3, 4, ())
    table = pd.read_csv(out / "objects.csv")
    assert table["file_name"].tolist() == ["b.png", "b.png", "c.png", "c.png"]
    assert table["class"].tolist() == ["coin", "nut"] * 2
    label_map = cv2.imread(str(out / "labelmap" / "b.png"), cv2.IMREAD_UNCHANGED)
    for number, area in zip(table["object"][:2], table["area"][:2], strict=True):
        assert (label_map == number).sum() == area


def test_coco_results_keep_unsure_objects_for_scoring(
    predictor: Predictor, folder: Path, tmp_path: Path
) -> None:
    predict_to_folder(predictor, [folder], tmp_path / "out", outputs=["coco"])
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [(r["image_id"], r["file_name"], r["category_id"]) for r in results] == [
        (2, "b.png", 11),
        (2, "b.png", 22),
        (2, "b.png", 22),
        (3, "c.png", 11),
        (3, "c.png", 22),
        (3, "c.png", 22),
    ]
    assert min(result["score"] for result in results) == pytest.approx(0.2)


def test_a_threshold_holds_for_every_output(
    predictor: Predictor, folder: Path, tmp_path: Path
) -> None:
    steps = PostProcessing(score_threshold=0.1)
    run = predict_to_folder(predictor, [folder], tmp_path / "out", steps=steps)
    assert run.num_objects == 6
    assert len(json.loads((tmp_path / "out" / "results.json").read_text())) == 6
    assert len(pd.read_csv(tmp_path / "out" / "objects.csv")) == 6


def test_image_ids_come_from_numeric_names_or_from_a_dataset(
    predictor: Predictor, picture: np.ndarray, tmp_path: Path
) -> None:
    for name in ("000139.png", "25.png"):
        cv2.imwrite(str(tmp_path / name), picture[..., ::-1])
    out = tmp_path / "out"
    predict_to_folder(predictor, [tmp_path], out, outputs=["coco"])
    ids = [result["image_id"] for result in json.loads((out / "results.json").read_text())]
    assert sorted(set(ids)) == [25, 139]
    given = {"000139.png": 5, "25.png": 6}
    predict_to_folder(predictor, [tmp_path], out, outputs=["coco"], image_ids=given)
    ids = [result["image_id"] for result in json.loads((out / "results.json").read_text())]
    assert sorted(set(ids)) == [5, 6]
    with pytest.raises(ConfigError, match=r"25\.png is none of the 1 pictures"):
        predict_to_folder(predictor, [tmp_path], out, image_ids={"000139.png": 5})


@pytest.mark.parametrize("batch_size", [1, 2, "auto"])
def test_a_run_goes_on_past_unreadable_pictures_and_reports_them(
    predictor: Predictor, folder: Path, tmp_path: Path, batch_size: BatchSize
) -> None:
    whole = (folder / "b.png").read_bytes()
    (folder / "bb.png").write_bytes(whole[: len(whole) // 2])
    (folder / "zz.png").write_text("no picture")
    seen: list[tuple[int, int]] = []
    run = predict_to_folder(
        predictor,
        [folder],
        tmp_path / "out",
        batch_size=batch_size,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert run.num_images == 3
    assert [failure.path.name for failure in run.failures] == ["bb.png", "zz.png"]
    assert "bb.png" in run.failures[0].reason
    assert seen[-1] == (5, 5)
    assert "overlay/c.png" in _files(tmp_path / "out")
    assert not any("bb" in name for name in _files(tmp_path / "out"))


def test_a_run_of_nothing_but_failures_still_says_so(predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no picture")
    run = predict_to_folder(predictor, [tmp_path / "a.png"], tmp_path / "out")
    assert len(run.failures) == 1
    assert _files(tmp_path / "out") == {"results.json"}


def test_pictures_without_objects_give_a_table_with_columns_only(
    predictor: Predictor, folder: Path, tmp_path: Path
) -> None:
    predict_to_folder(predictor, [folder / "a.png"], tmp_path / "out")
    table = pd.read_csv(tmp_path / "out" / "objects.csv")
    assert len(table) == 0
    assert {"file_name", "class", "score", "area", "perimeter"} <= set(table.columns)


def test_writing_into_the_source_folder_is_not_predicted_on_again(
    predictor: Predictor, folder: Path
) -> None:
    first = predict_to_folder(predictor, [folder], folder)
    second = predict_to_folder(predictor, [folder], folder)
    assert first.num_images == second.num_images == 3
    assert first.written == second.written


def test_pictures_of_one_name_do_not_overwrite_each_other(
    predictor: Predictor, folder: Path, tmp_path: Path
) -> None:
    (folder / "more" / "b.png").write_bytes((folder / "b.png").read_bytes())
    out = tmp_path / "out"
    predict_to_folder(predictor, [folder], out, outputs=["overlay", "coco"])
    assert {"overlay/b.png", "overlay/b-2.png"} <= _files(out)
    results = json.loads((out / "results.json").read_text())
    assert len({result["file_name"] for result in results}) == 3


def test_unknown_outputs_classes_and_sources_stop_before_anything_is_written(
    predictor: Predictor, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(ConfigError, match=r"unknown output 'overlays'\. Did you mean 'overlay'\?"):
        predict_to_folder(predictor, [folder], out, outputs=["overlays"])
    with pytest.raises(ConfigError, match="no class 'bolt'"):
        predict_to_folder(predictor, [folder], out, steps=PostProcessing(classes=("bolt",)))
    with pytest.raises(DataError, match="no such file or folder"):
        predict_to_folder(predictor, [tmp_path / "gone"], out)
    assert not out.exists()


@pytest.mark.parametrize("output", ["overlay", "coco", "labelmap", "masks", "csv"])
def test_a_disk_that_takes_no_more_leaves_nothing_half_written(
    predictor: Predictor, folder: Path, tmp_path: Path, output: str
) -> None:
    resource = pytest.importorskip("resource", reason="limits of file sizes are a Unix thing")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            predict_to_folder(predictor, [folder / "b.png"], tmp_path / "out", outputs=[output])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert _files(tmp_path / "out") == set()


def test_an_interrupted_run_leaves_whole_files_only(
    predictor: Predictor, folder: Path, tmp_path: Path
) -> None:
    predictor.model.stop_after = 2  # type: ignore[attr-defined]
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        predict_to_folder(predictor, [folder], out)
    assert "overlay/b.png" in _files(out)
    assert "results.json" not in _files(out)
    assert not [name for name in _files(out) if ".partial" in name]


def test_an_impossible_pixel_size_stops_before_anything_is_written(
    predictor: Predictor, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="pixel_size must be a positive length, got 0"):
        predict_to_folder(predictor, [folder], tmp_path / "out", pixel_size=0.0)
    assert not (tmp_path / "out").exists()
