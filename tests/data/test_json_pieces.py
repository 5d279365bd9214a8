from __future__ import annotations

import gc
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maskwright.data.coco import read_coco
from maskwright.data.formats import json_files
from maskwright.data.json_pieces import JsonList, paused_collection, pieces_of, read_in_pieces
from maskwright.errors import AnnotationError

Content = dict[str, Any]
Write = Callable[[Content], Path]

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=30,
)


def plain(value: Any) -> Any:
    return list(value) if isinstance(value, JsonList) else value


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.dictionaries(st.text(max_size=6), VALUES, min_size=1, max_size=5),
    st.sampled_from([None, 1]),
    st.integers(1, 30),
    st.booleans(),
)
def test_pieces_say_what_the_whole_says(
    tmp_path: Path, content: Content, indent: int | None, piece: int, escaped: bool
) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content, indent=indent, ensure_ascii=escaped), encoding="utf-8")
    found = read_in_pieces(path, piece=piece)
    assert found is not None
    assert {key: plain(value) for key, value in found.items()} == content
    for key, value in found.items():
        if isinstance(value, JsonList):
            assert len(value) == len(content[key])
            assert value[0] == content[key][0]
            assert value[:1] == content[key][:1]
            assert value[-1] == content[key][-1]


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_damaged_text_is_refused_as_the_whole_would_be(tmp_path: Path, data: st.DataObject) -> None:
    text = bytearray(
        b'{"a": [{"b": [1.5, -2]}, {"c": "x,]\\\\\\"}"}, [], {}], "d": {"e": [[], 3]}, "f": [1, 2]}'
    )
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(text) - 1))
        if data.draw(st.booleans()):
            del text[place]
        else:
            text[place] = data.draw(st.sampled_from(list(b'{}[],:"\\1 a')))
    path = tmp_path / "a.json"
    path.write_bytes(text)
    try:
        wanted = json_files.load_json(path)
    except AnnotationError:
        wanted = None
    found = read_in_pieces(path, piece=1)
    if found is None:
        return  # it is then read as a whole
    try:
        values = {key: plain(value) for key, value in found.items()}
    except AnnotationError:
        assert wanted is None
    else:
        assert values == wanted


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "3",
        '{"a": 1',
        '{"a": 1}}',
        'x{"a": 1}',
        '{"a": 1} x',
        '{"a" 1}',
        "{1: 2}",
        '{"a": 1,}',
        '{"a": [1, 2]]',
        '{"a": [1, 2}, "a": 3}',
        '{"a": [1, 2], "a": 3}',
    ],
)
def test_what_is_no_object_with_members_is_left_to_the_whole(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    assert read_in_pieces(path) is None


def test_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": [1, 2]}')
    assert read_in_pieces(path) == {"a": [1, 2]}


def test_a_defect_in_a_piece_names_the_file_and_the_byte(tmp_path: Path) -> None:
    path = tmp_path / "broken.json"
    path.write_text('{"a": [' + "1, " * 50 + "wrong, 2, 3]}")
    found = read_in_pieces(path, piece=20)
    assert found is not None
    with pytest.raises(AnnotationError, match=r"broken\.json: not JSON .* from byte \d+"):
        list(found["a"])


def test_collection_is_put_back_as_it_was() -> None:
    assert gc.isenabled()
    with paused_collection():
        assert not gc.isenabled()
        with paused_collection():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_lists_come_in_pieces_too() -> None:
    assert [len(piece) for piece in pieces_of(list(range(5000)))] == [4096, 904]
    assert list(pieces_of([])) == []


def test_a_large_coco_file_reads_like_a_small_one(
    content: Content, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    for k in range(300):
        entry = dict(content["annotations"][k % 3])
        entry["id"] = 1000 + k
        entry["area"] = float(rng.random())
        content["annotations"].append(entry)
    path = write(content)
    whole = read_coco(path)
    monkeypatch.setattr(json_files, "_LARGE", 1)
    monkeypatch.setattr(json_files.read_in_pieces, "__kwdefaults__", {"piece": 700})
    pieces = read_coco(path)
    assert pieces[1] == whole[1]
    for name in ("annotation_ids", "areas", "coordinates", "counts", "rle_text", "ring_offsets"):
        np.testing.assert_array_equal(getattr(pieces[0], name), getattr(whole[0], name))


def _each_singly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maskwright.data.coco_objects.columns_of", lambda *_: None)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"iscrowd": True},
        {"iscrowd": 2},
        {"id": 99},
        {"id": None},
        {"id": "7"},
        {"id": True},
        {"id": 2**70},
        {"image_id": 4},
        {"image_id": [1]},
        {"category_id": 1.0},
        {"area": None},
        {"area": -1},
        {"area": True},
        {"area": "3"},
        {"area": 10**400},
        {"bbox": []},
        {"bbox": [1, 2, 3]},
        {"bbox": [1, 2, "3", 1]},
        {"bbox": [1, 2, 1e400, 1]},
        {"bbox": [True, 2, 1, 1]},
        {"segmentation": []},
        {"segmentation": [[]]},
        {"segmentation": [1, 2, 3, 4, 5, 6]},
        {"segmentation": [[1, 1, 2, 2, "3", 1]]},
        {"segmentation": [[1, 1, 5, 1, 5]]},
        {"segmentation": {"size": [8, 10], "counts": "é"}},
        {"segmentation": {"size": [8, 10], "counts": [80.0]}},
        {"segmentation": {"size": [8, 10], "counts": [2**70]}},
        {"segmentation": {"size": [10, 8], "counts": [80]}},
        {"segmentation": {"size": [8, 10], "counts": []}},
        {"segmentation": "x"},
        {"colour": "red"},
    ],
)
def test_columns_and_single_entries_say_the_same(
    content: Content, write: Write, change: Content, monkeypatch: pytest.MonkeyPatch
) -> None:
    content["annotations"][0].update(change)
    path = write(content)

    def outcome() -> Any:
        try:
            index, report = read_coco(path)
        except AnnotationError as error:
            return str(error)
        return [
            getattr(index, name).tolist()
            for name in (
                "areas",
                "xywh",
                "is_crowd",
                "labels",
                "coordinates",
                "counts",
                "annotation_ids",
                "ring_offsets",
                "rle_offsets",
                "count_offsets",
            )
        ], report

    at_once = outcome()
    _each_singly(monkeypatch)
    assert at_once == outcome()
