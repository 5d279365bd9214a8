"""Every format to every other one and back: equal masks, or a report of what changed."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from data.formats.conftest import make, mask_kinds
from data.formats.holding import HOLDS, objects
from maskwright.data import convert, open_dataset
from maskwright.data.formats.table import FORMATS, format_named
from maskwright.errors import ConfigError, DataError
from maskwright.masks import Masks

_PLAIN = ["simple", "border"]


def test_the_table_of_this_test_has_every_format_that_is_written() -> None:
    assert HOLDS.keys() == {one.name for one in FORMATS if one.write is not None}


@pytest.mark.parametrize("name", HOLDS)
def test_all_that_a_format_holds_comes_back_equal(name: str, tmp_path: Path) -> None:
    kinds = [*_PLAIN, *(kind for kind in mask_kinds() if kind in HOLDS[name])]
    source = make(tmp_path / "source", kinds)
    conversion = convert(tmp_path / "source", tmp_path / "out", to=name, strict=True)
    assert conversion.exported.num_changed == conversion.exported.num_dropped == 0
    back = open_dataset(tmp_path / "out")
    assert objects(back) == objects(source)
    assert set(back.class_names) == {n for entry in objects(source).values() for n, *_ in entry} | (
        set(back.class_names) & set(source.class_names)
    )
    for i, j in zip(range(3), _by_stem(back.file_names), strict=True):
        np.testing.assert_array_equal(source.image(i), back.image(j))


@pytest.mark.parametrize(("one", "other"), list(permutations(HOLDS, 2)))
def test_every_pair_of_formats_keeps_what_both_hold(one: str, other: str, tmp_path: Path) -> None:
    shared = HOLDS[one] & HOLDS[other]
    source = make(tmp_path / "source", [*_PLAIN, *(k for k in mask_kinds() if k in shared)])
    convert(tmp_path / "source", tmp_path / one, to=one, strict=True)
    convert(tmp_path / one, tmp_path / other, to=other, strict=True)
    assert objects(open_dataset(tmp_path / other)) == objects(source)


@pytest.mark.parametrize("name", [name for name in HOLDS if HOLDS[name] != HOLDS["coco"]])
def test_what_a_format_cannot_hold_is_counted_and_strict_refuses(name: str, tmp_path: Path) -> None:
    source = make(tmp_path / "source", list(mask_kinds()))
    with pytest.raises(DataError, match=rf"refused, for {name} cannot hold everything"):
        convert(tmp_path / "source", tmp_path / "strict", to=name, strict=True)
    assert not (tmp_path / "strict").exists()
    report = convert(tmp_path / "source", tmp_path / "out", to=name).exported
    back = open_dataset(tmp_path / "out")
    assert len(back.labels) == len(source.labels) - report.num_dropped
    before, after = objects(source), objects(back)
    lost = sum(len(set(before[stem]) - set(after[stem])) for stem in before)
    assert 0 < lost <= report.num_changed + report.num_dropped


def test_a_changed_mask_is_reported_with_its_overlap(tmp_path: Path) -> None:
    make(tmp_path / "source", ["hole"])
    report = convert(tmp_path / "source", tmp_path / "out", to="yolo").exported
    hole = mask_kinds()["hole"]
    filled = Masks.from_dense(hole[None]).to_polygons()[0][0].exterior
    expected = hole.sum() / Masks.from_polygons([[filled]], hole.shape).area[0]
    assert f"{expected:.3f} on average" in report.findings[0].reason
    assert report.findings[0].count == 2


def test_a_folder_that_is_not_empty_is_refused_and_left_alone(simple: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    convert(simple, out, to="csv")  # an empty folder is taken
    before = sorted(out.rglob("*"))
    with pytest.raises(DataError, match="not an empty folder"):
        convert(simple, out, to="coco")
    assert sorted(out.rglob("*")) == before


def test_a_failed_conversion_leaves_nothing(simple: Path, tmp_path: Path) -> None:
    dataset = open_dataset(simple)
    picture = dataset.image_path(2)
    picture.write_bytes(picture.read_bytes()[:20])
    with pytest.raises(DataError):
        convert(simple, tmp_path / "out", to="yolo")
    assert [path.name for path in tmp_path.iterdir()] == ["simple"]


def test_unknown_and_unwritten_formats_are_named(simple: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown format 'yollo'\. Did you mean 'yolo'"):
        convert(simple, tmp_path / "out", to="yollo")
    with pytest.raises(ConfigError, match="panoptic is only read"):
        convert(simple, tmp_path / "out", to="panoptic")
    assert format_named("voc").title.startswith("Pascal")


@pytest.mark.parametrize("name", HOLDS)
def test_pictures_without_objects_are_kept(name: str, simple: Path, tmp_path: Path) -> None:
    convert(simple, tmp_path / "out", to=name)
    back = open_dataset(tmp_path / "out")
    assert len(back) == 3
    assert back.report.num_images_without_objects == 1


@pytest.mark.parametrize("name", [n for n in HOLDS if "crowd" in HOLDS[n]])
def test_the_rule_for_crowds_holds_in_every_format(name: str, tmp_path: Path) -> None:
    make(tmp_path / "source", ["simple", "border", "crowd"])
    convert(tmp_path / "source", tmp_path / "out", to=name)
    counts = {
        rule: (len(opened.labels), int(opened.is_crowd.sum()), opened.report.num_crowd)
        for rule in ("ignore", "object", "drop")
        for opened in [open_dataset(tmp_path / "out", crowd=rule)]  # type: ignore[arg-type]
    }
    assert counts == {"ignore": (6, 2, 2), "object": (6, 0, 2), "drop": (4, 0, 2)}
    report = open_dataset(tmp_path / "out").report
    assert any("most objects of a class are marked as crowd" in f.reason for f in report.findings)


def _by_stem(names: tuple[str, ...]) -> list[int]:
    return sorted(range(len(names)), key=lambda i: Path(names[i]).name)
