from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from maskwright.data import group_pictures, open_annotations, open_dataset, write_split
from maskwright.errors import ConfigError, DataError


@pytest.fixture
def plates(tmp_path: Path) -> Path:
    """Twenty-four crops of eight plates, the first two of a plate alike but for noise."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "plates"
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for k in range(24):
        if k % 3 != 1:
            pixels = rng.integers(0, 230, (8, 12, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
        noisy = pixels + rng.integers(0, 3, pixels.shape, dtype=np.uint8)
        name = f"p{k // 3}_{'abc'[k % 3]}.png"
        Image.fromarray(noisy).save(folder / "images" / name)
        images.append(
            {"id": k + 5, "file_name": name, "height": 64, "width": 96, "plate": f"P{k // 3}"}
        )
        for n in range(k % 4):
            x = 10 * n
            annotations.append(
                {
                    "id": 100 * k + n,
                    "image_id": k + 5,
                    "category_id": 7 if n % 2 else 3,
                    "segmentation": [[x, 0, x + 9, 0, x + 9, 9, x, 9]],
                    "area": 81.0,
                    "bbox": [x, 0, 9, 9],
                    "iscrowd": 0,
                    "attributes": {"seen_by": n},
                }
            )
    content = {
        "images": images,
        "annotations": annotations,
        "categories": [
            {"id": 3, "name": "cell", "supercategory": "alive"},
            {"id": 7, "name": "debris"},
        ],
        "info": {"year": 2020},
    }
    path = folder / "all.json"
    path.write_text(json.dumps(content))
    return path


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_parts_hold_every_entry_as_it_was(plates: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    written = write_split(plates, out)
    assert list(written.annotations) == ["train", "val", "test"]
    whole = _json(plates)
    parts = [_json(path) for path in written.annotations.values()]
    assert [len(part["images"]) for part in parts] == [17, 4, 3]
    for key in ("images", "annotations"):
        together = sorted((entry for part in parts for entry in part[key]), key=lambda e: e["id"])
        assert together == whole[key]
    assert all(part["categories"] == whole["categories"] for part in parts)
    assert all(part["info"] == whole["info"] for part in parts)


def test_a_part_can_be_divided_again_by_the_same_field(plates: Path, tmp_path: Path) -> None:
    train = write_split(plates, tmp_path / "out", groups="field:plate").annotations["train"]
    folds = write_split(train, tmp_path / "folds", groups="field:plate", folds=2)
    assert folds.split.num_groups == len({e["plate"] for e in _json(train)["images"]})


@pytest.mark.parametrize("copy", [False, True])
def test_a_part_opens_by_itself_with_its_pictures(plates: Path, tmp_path: Path, copy: bool) -> None:
    written = write_split(plates, tmp_path / "out", copy=copy)
    assert (tmp_path / "out" / "images").is_symlink() is not copy
    whole = open_dataset(plates)
    position = {image_id: i for i, image_id in enumerate(whole.image_ids.tolist())}
    for path in written.annotations.values():
        part = open_dataset(path)
        for i, image_id in enumerate(part.image_ids.tolist()):
            assert (part.image(i) == whole.image(position[image_id])).all()


@pytest.mark.parametrize(
    ("rules", "group_of"),
    [
        ("field:plate", lambda name: name[:2]),
        (r"name:^(p\d+)_", lambda name: name[:2]),
        ("near-duplicates", lambda name: name.replace("_b", "_a")),
        (("near-duplicates", r"name:_([abc])"), lambda name: name[-5].replace("b", "a")),
    ],
    ids=["field", "name", "near-duplicates", "joined"],
)
def test_groups_are_what_the_rule_says(
    plates: Path, rules: str | tuple[str, ...], group_of: Callable[[str], str]
) -> None:
    dataset = open_dataset(plates)
    numbers = group_pictures(dataset, rules, source=plates).tolist()
    wanted: dict[str, int] = {}
    assert numbers == [wanted.setdefault(group_of(n), len(wanted)) for n in dataset.file_names]


def test_crops_of_one_plate_never_straddle(plates: Path, tmp_path: Path) -> None:
    written = write_split(plates, tmp_path / "out", groups="field:plate", seed=3)
    plates_of = [
        {entry["file_name"][:2] for entry in _json(path)["images"]}
        for path in written.annotations.values()
    ]
    assert len(set.union(*plates_of)) == 8 == sum(map(len, plates_of))
    assert written.split.num_groups == 8
    assert written.split.largest_group == 3


def test_the_report_counts_what_is_in_the_files(plates: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    written = write_split(plates, out, ratios=(80, 20), seed=1)
    saved = _json(out / "split_report.json")
    assert saved == written.split.as_dict()
    assert saved["seed"] == 1
    assert saved["groups"] is None
    total = sum(part["objects"] for part in saved["parts"].values())
    for name, path in written.annotations.items():
        content, part = _json(path), saved["parts"][name]
        of_class = {3: 0, 7: 0}
        for entry in content["annotations"]:
            of_class[entry["category_id"]] += 1
        assert part["images"] == len(content["images"])
        assert part["objects"] == len(content["annotations"])
        assert part["objects_by_class"] == {"cell": of_class[3], "debris": of_class[7]}
        used = {entry["image_id"] for entry in content["annotations"]}
        assert part["images_without_objects"] == len(content["images"]) - len(used)
        assert part["off"]["objects"] == pytest.approx(part["objects"] / total - part["share"])


def test_a_class_that_a_part_lacks_is_named(plates: Path, tmp_path: Path) -> None:
    content = _json(plates)
    content["categories"].append({"id": 9, "name": "dust"})
    content["annotations"].append(content["annotations"][0] | {"id": 9999, "category_id": 9})
    plates.write_text(json.dumps(content))
    report = write_split(plates, tmp_path / "out").split
    assert report.missing == {"train": (), "val": ("dust",), "test": ("dust",)}
    assert "val has no object of dust" in str(report)


def test_folds_are_folders_of_train_and_val(plates: Path, tmp_path: Path) -> None:
    written = write_split(plates, tmp_path / "out", folds=3, groups="field:plate")
    assert written.split.part_names == ("fold-1/val", "fold-2/val", "fold-3/val")
    held_out = []
    for k in (1, 2, 3):
        train = open_dataset(tmp_path / "out" / f"fold-{k}" / "train.json")
        val = open_dataset(written.annotations[f"fold-{k}/val"])
        assert not {n[:2] for n in train.file_names} & {n[:2] for n in val.file_names}
        assert len(train) + len(val) == 24
        val.image(0)
        held_out += val.file_names
    assert len(set(held_out)) == 24


@pytest.mark.parametrize("to", ["yolo", "labelme", "voc", "csv", "masks", "lvis"])
@pytest.mark.parametrize("copy", [False, True])
def test_other_formats_get_a_folder_per_part(
    plates: Path, tmp_path: Path, to: str, copy: bool
) -> None:
    out = tmp_path / "out"
    written = write_split(plates, out, ratios=(0.5, 0.5), to=to, copy=copy)
    parts = [open_dataset(written.annotations[name]) for name in ("train", "val")]
    assert sum(len(part) for part in parts) == 24
    assert sum(len(part.labels) for part in parts) == len(_json(plates)["annotations"])
    files = [file for file in out.rglob("*.png") if "Segmentation" not in str(file)]
    links = [file for file in files if file.stat().st_nlink > 1]
    assert len(links) == (0 if copy else 24)


def test_a_disk_without_links_asks_for_copies(
    plates: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    with pytest.raises(DataError, match=r"Operation not permitted.*--copy"):
        write_split(plates, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    write_split(plates, tmp_path / "out", copy=True)


def test_a_folder_with_something_in_it_is_left_alone(plates: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="not an empty folder"):
        write_split(plates, tmp_path / "out")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_nothing_is_left_of_a_split_that_fails(plates: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="8 groups"):
        write_split(plates, tmp_path / "out", folds=9, groups="field:plate")
    assert [file.name for file in tmp_path.iterdir()] == ["plates"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"ratios": (1.0,)}, ConfigError, "train and val, or of train, val and test; got 1"),
        ({"ratios": (0.5, 0.6)}, ConfigError, "sum to 1"),
        ({"ratios": (0.5, 0.5), "folds": 3}, ConfigError, "give one of them"),
        ({"seed": -1}, ConfigError, "seed must be 0 or more"),
        ({"folds": 1}, ConfigError, "2 folds or more"),
        ({"to": "panoptic"}, ConfigError, "only read"),
        ({"groups": "nam:x"}, ConfigError, "got 'nam:x'. Did you mean 'name'"),
        ({"groups": "field:"}, ConfigError, "got 'field:'"),
        ({"groups": "name:p.*"}, ConfigError, "has no brackets"),
        ({"groups": "name:(p"}, ConfigError, "no regular expression"),
        ({"groups": "name:(a)_"}, DataError, "24 of 24 pictures have a name that"),
        ({"groups": "field:plait"}, DataError, "no field 'plait'.* Did you mean 'plate'"),
    ],
)
def test_what_cannot_be_done_is_said(
    plates: Path, tmp_path: Path, options: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        write_split(plates, tmp_path / "out", **options)


def test_fields_need_a_json_of_pictures(plates: Path, tmp_path: Path) -> None:
    parts = write_split(plates, tmp_path / "out", to="yolo")
    folder = parts.annotations["train"]
    with pytest.raises(ConfigError, match=r"field:plate needs a json .* is not"):
        group_pictures(open_dataset(folder), "field:plate", source=folder)


def test_no_rules_leave_every_picture_by_itself(plates: Path) -> None:
    assert group_pictures(open_dataset(plates), ()).tolist() == list(range(24))


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("xyz"), st.integers()), max_size=15)
)
def test_joined_rules_are_the_finest_groups_that_no_rule_divides(
    parts: list[tuple[str, str, int]],
) -> None:
    content = {
        "images": [
            {"id": k, "file_name": f"{one}_{other}_{k}.png", "height": 4, "width": 4}
            for k, (one, other, _) in enumerate(parts)
        ]
        or [{"id": 0, "file_name": "a_x_0.png", "height": 4, "width": 4}],
        "annotations": [],
        "categories": [{"id": 1, "name": "cell"}],
    }
    with TemporaryDirectory() as folder:
        path = Path(folder) / "all.json"
        path.write_text(json.dumps(content))
        dataset = open_annotations(path)
    names = dataset.file_names
    groups = list(range(len(names)))
    for i, one in enumerate(names):  # union-find by plain renaming
        for j, other in enumerate(names[:i]):
            if one[0] == other[0] or one[2] == other[2]:
                groups = [groups[j] if group == groups[i] else group for group in groups]
    first: dict[int, int] = {}
    wanted = [first.setdefault(group, len(first)) for group in groups]
    assert group_pictures(dataset, ["name:^(.)", "name:^._(.)"]).tolist() == wanted
