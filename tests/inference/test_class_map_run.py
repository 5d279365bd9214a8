from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from maskwright.errors import ConfigError
from maskwright.inference import Predictor, class_maps_to_folder
from maskwright.model.picture_batches import collate_pictures
from maskwright.structures import Batch


class _Colours:
    """A semantic runtime without a network: red pixels are of the first class, green the last."""

    def __init__(self, num_classes: int = 2) -> None:
        self.class_names = tuple(f"c{i}" for i in range(num_classes))

    def collate(self, images: list[np.ndarray]) -> Batch:
        return collate_pictures(
            images, size_of=lambda size: size, size_multiple=1, device=torch.device("cpu")
        )

    def class_maps(self, batch: Batch) -> list[np.ndarray]:
        found = []
        for picture, (height, width) in zip(batch.images, batch.image_sizes, strict=True):
            red, green = (picture[channel, :height, :width].numpy() > 20 for channel in (0, 1))
            one = np.where(red, 1, np.where(green, len(self.class_names), 0))
            found.append(one.astype(np.int32))
        return found


@pytest.fixture
def semantic() -> Predictor:
    return Predictor(_Colours())


def _rows(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_every_output_is_written_and_agrees(
    semantic: Predictor, folder: Path, tmp_path: Path, picture: np.ndarray
) -> None:
    out = tmp_path / "out"
    run = class_maps_to_folder(semantic, [folder], out, batch_size=2)
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    expected = {f"{kind}/{name}.png" for kind in ("overlay", "classmap") for name in "abc"}
    assert names == expected | {"classes.json", "pixels.csv"}
    assert {path.relative_to(out).as_posix() for path in run.written} == names
    found = cv2.imread(str(out / "classmap" / "b.png"), cv2.IMREAD_UNCHANGED)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(
        found, np.where(picture[..., 0] > 20, 1, 2 * (picture[..., 1] > 20))
    )
    rows = [row for row in _rows(out / "pixels.csv") if Path(row[0]).name == "b.png"]
    assert [row[1:4] for row in rows] == [
        ["0", "background", "543"],
        ["1", "c0", "8"],
        ["2", "c1", "49"],
    ]
    assert sum(float(row[4]) for row in rows) == pytest.approx(1, abs=1e-5)
    legend = json.loads((out / "classes.json").read_text())
    assert [(one["value"], one["name"]) for one in legend] == [
        (0, "background"),
        (1, "c0"),
        (2, "c1"),
    ]
    assert run.pixels == {"background": 543 * 2 + 120, "c0": 16, "c1": 98}
    assert (run.num_images, run.failures) == (3, ())


def test_many_classes_take_sixteen_bits(folder: Path, tmp_path: Path) -> None:
    for num_classes, kind in ((255, np.uint8), (256, np.uint16)):
        out = tmp_path / str(num_classes)
        predictor = Predictor(_Colours(num_classes))
        class_maps_to_folder(predictor, [folder / "b.png"], out, outputs=["classmap"])
        found = cv2.imread(str(out / "classmap" / "b.png"), cv2.IMREAD_UNCHANGED)
        assert found.dtype == kind
        assert found.max() == num_classes


def test_an_unreadable_picture_is_reported_and_the_others_are_done(
    semantic: Predictor, folder: Path, tmp_path: Path
) -> None:
    (folder / "aa.png").write_bytes(b"\x89PNG\r\n\x1a\nnot really")
    seen: list[tuple[int, int]] = []
    run = class_maps_to_folder(
        semantic, [folder], folder / "out", progress=lambda done, total: seen.append((done, total))
    )
    assert [failure.path.name for failure in run.failures] == ["aa.png"]
    assert run.num_images == 3
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    again = class_maps_to_folder(semantic, [folder], folder / "out", outputs=["csv"])
    assert again.num_images == 3, "what an earlier run wrote is no source"


def test_unknown_outputs_and_models_without_class_maps_are_refused(
    semantic: Predictor, predictor: Predictor, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"unknown output 'coco'.*overlay, classmap, csv"):
        class_maps_to_folder(semantic, [folder], tmp_path / "out", outputs=["coco"])
    with pytest.raises(ConfigError, match="no class map"):
        class_maps_to_folder(predictor, [folder], tmp_path / "out")
    assert not (tmp_path / "out").exists()
