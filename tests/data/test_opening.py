from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from maskwright.data import open_annotations, open_dataset
from maskwright.errors import DataError, ImageError

Content = dict[str, Any]
Write = Callable[[Content], Path]


def test_a_folder_with_one_json_opens(content: Content, write: Write) -> None:
    dataset = open_dataset(write(content).parent)
    assert dataset.image_folder is not None
    assert dataset.image_folder.name == "images"
    assert dataset.image(0).shape == (8, 10, 3)
    assert dataset.sample(1).image_id == 3
    assert dataset.sample(1).name == "b.png"


@pytest.mark.parametrize(
    ("json_place", "folder"),
    [
        ("a.json", "."),
        ("a.json", "images"),
        ("val.json", "val"),
        ("val.json", "images/val"),
        ("annotations/a.json", "."),
        ("annotations/a.json", "images"),
        ("annotations/instances_val2017.json", "val2017"),
        ("annotations/instances_val2017.json", "images/val2017"),
    ],
)
def test_pictures_are_found_in_the_usual_places(
    content: Content, tmp_path: Path, json_place: str, folder: str
) -> None:
    json_path = tmp_path / json_place
    json_path.parent.mkdir(exist_ok=True)
    json_path.write_text(json.dumps(content))
    (tmp_path / folder).mkdir(exist_ok=True, parents=True)
    for entry in content["images"]:
        Image.new("RGB", (10, 8)).save(tmp_path / folder / entry["file_name"])
    for path in (json_path, tmp_path):
        dataset = open_dataset(path)
        assert dataset.image_folder is not None
        assert dataset.image_folder.samefile(tmp_path / folder)


def test_file_names_may_hold_folders(content: Content, write: Write) -> None:
    content["images"][0]["file_name"] = "train/a.png"
    content["images"][1]["file_name"] = "./b.png"
    dataset = open_dataset(write(content))
    assert dataset.image_path(0).is_file()
    assert dataset.image_path(1).is_file()


def test_the_picture_folder_can_be_named(content: Content, write: Write, tmp_path: Path) -> None:
    path = write(content)
    (tmp_path / "images").rename(tmp_path / "elsewhere")
    with pytest.raises(ImageError, match=r"3 of its 3 pictures .* a\.png, b\.png, c\.png; name"):
        open_dataset(path)
    dataset = open_dataset(path, images=tmp_path / "elsewhere")
    assert dataset.image(2).shape == (8, 10, 3)


def test_missing_pictures_are_found_at_opening(content: Content, write: Write) -> None:
    path = write(content)
    (path.parent / "images" / "b.png").unlink()
    message = r"1 of its 3 pictures are missing in .*images: b\.png.*\n.*\n.*images: 2 of 3"
    with pytest.raises(ImageError, match=message):
        open_dataset(path)


def test_pictures_of_another_size_or_kind_are_found_at_opening(
    content: Content, write: Write
) -> None:
    path = write(content)
    Image.new("RGB", (8, 10)).save(path.parent / "images" / "b.png")
    with pytest.raises(ImageError, match=r"'b\.png' is 10 x 8 .* annotated as 8 x 10"):
        open_dataset(path)
    (path.parent / "images" / "b.png").write_text("text")
    with pytest.raises(ImageError, match=r"b\.png: not a picture"):
        open_dataset(path)
    late = open_dataset(path, check_images=False)
    with pytest.raises(ImageError, match=r"b\.png: not a picture"):
        late.image(1)


def test_exif_follows_the_annotations_and_is_reported(content: Content, write: Write) -> None:
    path = write(content)
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = np.random.default_rng(0).integers(0, 256, (10, 8, 3), dtype=np.uint8)
    Image.fromarray(stored).save(path.parent / "images" / "a.png", exif=exif)
    Image.fromarray(stored.transpose(1, 0, 2)).save(path.parent / "images" / "b.png", exif=exif)
    dataset = open_dataset(path)
    np.testing.assert_array_equal(dataset.image(0), np.rot90(stored, -1))
    np.testing.assert_array_equal(dataset.image(1), stored.transpose(1, 0, 2))
    found = {f.examples: (f.action, f.what) for f in dataset.report.findings}
    assert found == {("a.png",): ("changed", "pictures"), ("b.png",): ("noted", "pictures")}
    for i in range(2):
        assert dataset.targets(i).image_size == dataset.image(i).shape[:2]


def test_folders_without_or_with_several_jsons_are_refused(
    content: Content, write: Write, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"no \.json in this folder"):
        open_dataset(tmp_path)
    path = write(content)
    shutil.copy(path, tmp_path / "val.json")
    with pytest.raises(DataError, match=r"several \.json \(annotations\.json, val\.json\)"):
        open_dataset(tmp_path)
    with pytest.raises(DataError, match="no such file or folder"):
        open_dataset(tmp_path / "gone")


def test_annotations_open_without_pictures(content: Content, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(content))
    dataset = open_annotations(tmp_path / "a.json")
    assert len(dataset.targets(1)) == 2
    with pytest.raises(DataError, match=r"picture 'a\.png' was wanted, but only the annotations"):
        dataset.image(0)
