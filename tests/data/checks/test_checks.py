"""The doctor's parts, one by one."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from maskwright.data import check_dataset, convert, open_dataset, read_image, write_fixed
from maskwright.data.checks.polygons import crossing_edges
from maskwright.data.opening import inspect_dataset
from maskwright.errors import ConfigError, DataError

Content = dict[str, Any]
Write = Callable[[Content], Path]


@pytest.fixture
def plain(clean_parts: tuple[list[Content], Path], tmp_path: Path) -> tuple[Content, Write]:
    """Four clean pictures with their objects, and a way to write them once they are bent."""
    parts, folder = clean_parts
    content = copy.deepcopy(parts[0])
    content["images"] = content["images"][:4]
    content["annotations"] = [one for one in content["annotations"] if one["image_id"] <= 4]
    for image in content["images"]:
        (tmp_path / image["file_name"]).write_bytes((folder / image["file_name"]).read_bytes())

    def write(bent: Content) -> Path:
        path = tmp_path / "annotations.json"
        path.write_text(json.dumps(bent))
        return path

    return content, write


def _crosses(p: Any, q: Any, r: Any, s: Any) -> bool:
    """Whether two open segments cross, in exact arithmetic."""
    p, q, r, s = ([Fraction(float(v)) for v in point] for point in (p, q, r, s))

    def side(a: Any, b: Any, c: Any) -> Fraction:
        return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])

    return side(p, q, r) * side(p, q, s) < 0 and side(r, s, p) * side(r, s, q) < 0


def test_crossing_edges_are_those_of_exact_arithmetic() -> None:
    rng = np.random.default_rng(0)
    for size in (3, 4, 7, 20):
        points = rng.integers(0, 9, (size, 2)).astype(np.float64)  # whole: many only touch
        after = np.roll(points, -1, axis=0)
        wanted = [
            [i, j]
            for i in range(size)
            for j in range(i + 1, size)
            if _crosses(points[i], after[i], points[j], after[j])
        ]
        assert sorted(crossing_edges(points).tolist()) == wanted


def test_a_ring_of_more_points_than_are_compared_at_once_is_searched_whole() -> None:
    angles = np.linspace(0, 2 * np.pi, 900, endpoint=False)
    points = np.stack([100 * np.cos(angles), 100 * np.sin(angles)], axis=1)
    assert len(crossing_edges(points)) == 0
    points[[10, 700]] = points[[700, 10]]
    assert len(crossing_edges(points)) > 0


def test_inspecting_a_clean_dataset_reads_what_opening_it_reads(
    plain: tuple[Content, Write],
) -> None:
    content, write = plain
    path = write(content)
    inspected, opened = inspect_dataset(path), open_dataset(path)
    assert inspected.faults == ()
    assert opened.image_folder == inspected.image_folder
    np.testing.assert_array_equal(inspected.index.coordinates, opened._index.coordinates)
    np.testing.assert_array_equal(inspected.index.xywh, opened._index.xywh)
    np.testing.assert_array_equal(inspected.index.object_offsets, opened._index.object_offsets)


def test_what_cannot_be_drawn_is_left_out_and_all_the_rest_is_kept(
    plain: tuple[Content, Write],
) -> None:
    content, write = plain
    height, width = 96, 128
    objects = content["annotations"]
    objects[0]["segmentation"] = [[1.0, 1.0, 5.0, 5.0]]
    objects[1]["segmentation"] = {"size": [height, width], "counts": [1, 2, 3]}
    objects[2]["segmentation"] = {"size": [height, width], "counts": "not a code"}
    objects[3]["segmentation"] = [["a", "b", 1, 2, 3, 4]]
    objects[4]["bbox"] = [float("inf"), 0, 1, 1]
    objects[5]["category_id"] = 77
    inspected = inspect_dataset(write(content))
    kinds = {fault.annotation_id: fault.kind for fault in inspected.faults}
    assert kinds == {
        objects[0]["id"]: "polygon-broken",
        objects[1]["id"]: "run-length-broken",
        objects[2]["id"]: "run-length-broken",
        objects[3]["id"]: "entry-broken",
        objects[4]["id"]: "entry-broken",
        objects[5]["id"]: "reference-unknown",
    }
    kept = inspected.index
    gone = {0, 1, 2, 3, 5}
    left = [one for k, one in enumerate(objects) if k not in gone]
    assert kept.annotation_ids.tolist() == [one["id"] for one in left]
    for item, one in enumerate(left):
        assert kept.segmentation(item) == one["segmentation"]
    assert np.isfinite(kept.xywh).all()


def test_the_same_defect_is_an_error_for_training(plain: tuple[Content, Write]) -> None:
    content, write = plain
    content["annotations"][0]["segmentation"] = [[1.0, 1.0, 5.0, 5.0]]
    with pytest.raises(DataError, match="a polygon has 2 points"):
        open_dataset(write(content))


def _break_yolo(folder: Path) -> None:
    file = sorted((folder / "labels").iterdir())[0]
    file.write_text(file.read_text() + "0 0.1 0.2 0.3\n")


def _break_via(folder: Path) -> None:
    content = json.loads((folder / "annotations.json").read_text())
    region = next(iter(content.values()))["regions"][0]["shape_attributes"]
    region["all_points_x"], region["all_points_y"] = [1, 2], [3, 4]
    (folder / "annotations.json").write_text(json.dumps(content))


def _break_labelme(folder: Path) -> None:
    file = min(folder.glob("*.json"))
    content = json.loads(file.read_text())
    content["shapes"][0]["points"] = [["one", 2], [3, 4], [5, 6]]
    file.write_text(json.dumps(content))


def _break_labelstudio(folder: Path) -> None:
    content = json.loads((folder / "annotations.json").read_text())
    content[0]["annotations"][0]["result"][0]["value"]["rle"] = [1, 2, 3]
    (folder / "annotations.json").write_text(json.dumps(content))


def _break_cvat(folder: Path) -> None:
    text = (folder / "annotations.xml").read_text()
    (folder / "annotations.xml").write_text(text.replace('rle="', 'rle="x', 1))


def _break_csv(folder: Path) -> None:
    file = folder / "annotations.csv"
    file.write_text(file.read_text() + "1.png,leaf\n")


@pytest.mark.parametrize(
    ("name", "spoil", "is_added"),
    [
        ("yolo", _break_yolo, True),
        ("via", _break_via, False),
        ("labelme", _break_labelme, False),
        ("labelstudio", _break_labelstudio, False),
        ("cvat", _break_cvat, False),
        ("csv", _break_csv, True),
    ],
)
def test_one_broken_entry_of_any_format_is_named_and_the_rest_is_checked(
    plain: tuple[Content, Write],
    tmp_path: Path,
    name: str,
    spoil: Callable[[Path], None],
    is_added: bool,
) -> None:
    content, write = plain
    folder = tmp_path / name
    convert(write(content), folder, to=name)
    spoil(folder)
    with pytest.raises(DataError):
        open_dataset(folder, format=name)
    found = check_dataset(folder, format=name)
    [defect] = found["entry-broken"]
    assert defect.file_name or is_added
    assert found["annotations-unreadable"] == ()
    num_left = found.survey.parts[0].inspected.index.num_objects
    assert num_left == len(content["annotations"]) - (not is_added)


def test_annotations_that_cannot_be_read_are_a_finding_and_other_parts_are_checked(
    plain: tuple[Content, Write], tmp_path: Path
) -> None:
    content, write = plain
    path = write(content)
    (tmp_path / "cut.json").write_text(path.read_text()[:-200])
    found = check_dataset(path, tmp_path / "cut.json")
    [defect] = found["annotations-unreadable"]
    assert defect.detail.startswith("cut: ")
    assert "not JSON" in defect.detail
    assert [part.name for part in found.survey.parts] == ["annotations"]
    assert not found.is_well()
    alone = check_dataset(tmp_path / "cut.json")
    assert [one.check.name for one in alone.results] == ["annotations-unreadable"]
    with pytest.raises(DataError, match="nothing to write"):
        write_fixed(alone, tmp_path / "mended")


def test_what_is_not_there_is_no_finding_but_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        check_dataset(tmp_path / "nothing.json")
    with pytest.raises(ConfigError, match="nothing to check"):
        check_dataset()


def test_checks_can_be_left_out_by_name(plain: tuple[Content, Write]) -> None:
    content, write = plain
    content["categories"].append({"id": 9, "name": "phantom"})
    path = write(content)
    assert len(check_dataset(path)["class-unused"]) == 1
    assert check_dataset(path, skip=["class-unused"])["class-unused"] == ()
    with pytest.raises(ConfigError, match="Did you mean 'class-unused'"):
        check_dataset(path, skip=["class-unusd"])
    with pytest.raises(ConfigError, match="no regular expression"):
        check_dataset(path, group_pattern="(")


def test_a_dataset_without_objects_can_be_checked_and_mended(
    plain: tuple[Content, Write], tmp_path: Path
) -> None:
    content, write = plain
    content["annotations"] = []
    found = check_dataset(write(content))
    assert {one.check.name for one in found.results} == {"class-unused", "picture-without-objects"}
    assert write_fixed(found, tmp_path / "mended").num_images == 4


def test_of_doubled_objects_only_exact_copies_are_dropped(
    plain: tuple[Content, Write], tmp_path: Path
) -> None:
    content, write = plain
    first, second = content["annotations"][:2]
    exact = first | {"id": 90001}
    x, y, width, height = second["bbox"]
    shifted = [value + 0.6 for value in second["segmentation"][0]]
    near = second | {
        "id": 90002, "segmentation": [shifted], "bbox": [x + 0.6, y + 0.6, width, height],
    }  # fmt: skip
    content["annotations"] += [exact, near]
    found = check_dataset(write(content))
    assert [one.annotation_ids for one in found["object-doubled"]] == [
        (first["id"], 90001),
        (second["id"], 90002),
    ]
    write_fixed(found, tmp_path / "mended")
    ids = open_dataset(tmp_path / "mended").annotation_ids.tolist()
    assert 90001 not in ids
    assert 90002 in ids


@pytest.mark.parametrize("is_applied", [True, False])
def test_a_turned_picture_is_saved_as_its_objects_see_it(
    plain: tuple[Content, Write], tmp_path: Path, is_applied: bool
) -> None:
    content, write = plain
    name = content["images"][0]["file_name"]
    upright = Image.open(tmp_path / name)
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = upright.transpose(Image.Transpose.ROTATE_90) if is_applied else upright
    pixels = np.asarray(upright).copy()
    stored.save(tmp_path / name, exif=exif)
    found = check_dataset(write(content))
    assert len(found["exif-turned" if is_applied else "exif-ignored"]) == 1
    write_fixed(found, tmp_path / "mended")
    mended = tmp_path / "mended" / "images" / name
    np.testing.assert_array_equal(read_image(mended), pixels)
    with Image.open(mended) as picture:
        assert 0x0112 not in picture.getexif()
        assert picture.size == (128, 96)


def test_exchanged_height_and_width_are_set_right_where_polygons_prove_it(
    plain: tuple[Content, Write], tmp_path: Path
) -> None:
    content, write = plain
    image = content["images"][1]
    image["height"], image["width"] = image["width"], image["height"]
    found = check_dataset(write(content))
    [result] = [one for one in found.results if one.check.name == "picture-size"]
    assert result.remedy_of(result.defects[0]) == "set size"
    write_fixed(found, tmp_path / "mended")
    mended = open_dataset(tmp_path / "mended")
    assert mended.sizes.tolist() == [[96, 128]] * 4
    assert len(mended.labels) == len(content["annotations"])


def test_nothing_is_ever_written_over(plain: tuple[Content, Write], tmp_path: Path) -> None:
    content, write = plain
    found = check_dataset(write(content))
    with pytest.raises(DataError, match="not an empty folder"):
        write_fixed(found, tmp_path)
    assert json.loads((tmp_path / "annotations.json").read_text()) == content


def test_a_missing_picture_is_not_written_even_if_its_check_was_skipped(
    plain: tuple[Content, Write], tmp_path: Path
) -> None:
    content, write = plain
    (tmp_path / content["images"][0]["file_name"]).unlink()
    found = check_dataset(write(content), skip=["picture-missing"])
    report = write_fixed(found, tmp_path / "mended")
    assert report.num_images == 3
    assert "cannot be read at its annotated size" in str(report)


def test_tiny_is_measured_at_the_training_size(plain: tuple[Content, Write]) -> None:
    content, write = plain
    path = write(content)
    assert check_dataset(path, training_side=800)["object-tiny"] == ()
    # 96 pixels become 12: shapes of some 25 pixels become ones of three.
    assert len(check_dataset(path, training_side=12)["object-tiny"]) == 32


def test_the_account_is_plain_values(plain: tuple[Content, Write]) -> None:
    content, write = plain
    content["annotations"][3]["area"] *= 3
    account = json.loads(json.dumps(check_dataset(write(content)).as_dict()))
    assert account["warnings"] == 1
    assert account["fixable"] == 1
    [result] = account["results"]
    assert result["check"] == "area-differs"
    assert result["defects"][0]["annotations"] == [content["annotations"][3]["id"]]
    assert result["defects"][0]["fix"] == "measure"


def test_progress_is_told_after_each_picture(plain: tuple[Content, Write]) -> None:
    content, write = plain
    told: list[tuple[int, int]] = []
    check_dataset(write(content), progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_mask_beside_its_picture_is_no_picture_that_somebody_forgot_to_list(
    plain: tuple[Content, Write], tmp_path: Path
) -> None:
    content, write = plain
    for name in ("1.bmp", "forgotten.png"):
        Image.fromarray(np.zeros((96, 128, 3), np.uint8)).save(tmp_path / name)
    found = check_dataset(write(content))
    assert [defect.file_name for defect in found["picture-unlisted"]] == ["forgotten.png"]
