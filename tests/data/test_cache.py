from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import shutil
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskwright.data import cache, open_annotations, open_dataset
from maskwright.data.cache import cache_folder
from maskwright.data.index_file import map_index, write_index
from maskwright.data.opening import inspect_dataset
from maskwright.errors import AnnotationError

Content = dict[str, Any]
Write = Callable[[Content], Path]
LONG_AGO = 1_600_000_000.0


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, which keeps files of any size."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("MASKWRIGHT_CACHE", str(folder))
    monkeypatch.setattr(cache, "WORTH_KEEPING", 1)
    return folder


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are known by their times however young they are; an edit still moves the times."""
    monkeypatch.setattr(cache, "_SETTLED_SECONDS", 0.0)


def entries(folder: Path) -> list[Path]:
    return sorted((folder / "annotations").glob("*.arrow"))


def forbid_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("the json was read")

    monkeypatch.setattr("maskwright.data.formats.coco.read_coco", fail)
    monkeypatch.setattr("maskwright.data.formats.contract.try_json", fail)


def test_the_second_opening_reads_no_json_and_says_the_same(
    kept: Path, content: Content, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    content["annotations"][0]["colour"] = "red"  # noted by the report
    path = write(content)
    monkeypatch.setenv("MASKWRIGHT_CACHE", "off")
    plain = open_annotations(path)
    monkeypatch.setenv("MASKWRIGHT_CACHE", str(kept))
    first = open_annotations(path)
    forbid_reading(monkeypatch)
    second = open_annotations(path)
    assert not plain._index.file
    assert plain.report.findings
    for dataset in (first, second):
        assert dataset._index.file == entries(kept)[0]
        assert dataset.to_coco() == plain.to_coco()
        assert dataset.report == plain.report
        assert dataset.class_names == plain.class_names
        assert all(dataset.targets(i).masks == plain.targets(i).masks for i in range(len(plain)))


def test_a_folder_is_recognised_from_the_cache(
    kept: Path, content: Content, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(content).parent
    first = open_dataset(folder)
    forbid_reading(monkeypatch)
    assert open_dataset(folder).to_coco() == first.to_coco()


def test_coordinates_come_back_to_the_last_bit(kept: Path, content: Content, write: Write) -> None:
    rings = {
        "hundredths": [1.01, 1.5, 5.07, 1.0, 5.0, 4.33],
        "thirds": [1 / 3, 1.0, 5.0, 1.0, 5.0, 4.0],
        "minus zero": [-0.0, 1.0, 5.0, 1.0, 5.0, 4.0],
        "whole": [1, 1, 5, 1, 5, 4],
    }
    for name, ring in rings.items():
        content["annotations"][0]["segmentation"] = [ring]
        path = write(content)
        open_annotations(path)
        index = open_annotations(path)._index
        assert index.file is not None, name
        assert (index.coordinates.dtype == np.int32) == (name in ("hundredths", "whole"))
        item = index.annotation_ids.tolist().index(100)
        assert list(map(str, index.rings(item)[0].tolist())) == list(map(str, map(float, ring)))


def test_an_edit_of_the_same_size_and_time_is_noticed(
    kept: Path, content: Content, write: Write, settled: None
) -> None:
    path = write(content)
    os.utime(path, (LONG_AGO, LONG_AGO))
    time.sleep(0.05)
    assert open_annotations(path).class_names == ("apple", "zebra")
    before = path.stat()
    time.sleep(0.05)
    with path.open("r+b") as file:
        text = file.read()
        file.seek(0)
        file.write(text.replace(b"apple", b"peach"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert open_annotations(path).class_names == ("peach", "zebra")


def test_a_file_changed_moments_ago_is_known_by_its_content_alone(
    kept: Path, content: Content, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(content)
    stat = path.stat()
    times = [1, 2, stat.st_size, time.time_ns(), time.time_ns()]
    # Two edits within one tick of the clock: nothing that the system says of the file differs.
    monkeypatch.setattr(cache, "_signature", lambda _: times)
    assert open_annotations(path).class_names == ("apple", "zebra")
    path.write_bytes(path.read_bytes().replace(b"apple", b"peach"))
    assert open_annotations(path).class_names == ("peach", "zebra")
    assert len(entries(kept)) == 2


def test_a_file_that_changes_while_it_is_read_is_not_kept(
    kept: Path, content: Content, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(content)
    original = cache._store
    monkeypatch.setattr(cache, "_store", lambda *_: pytest.fail("was kept"))
    from maskwright.data.formats import coco

    read = coco.read_coco

    def read_and_edit(*arguments: Any, **options: Any) -> Any:
        found = read(*arguments, **options)
        path.write_bytes(path.read_bytes().replace(b"apple", b"peach"))
        return found

    monkeypatch.setattr(coco, "read_coco", read_and_edit)
    assert open_annotations(path).class_names == ("apple", "zebra")
    monkeypatch.setattr(coco, "read_coco", read)
    monkeypatch.setattr(cache, "_store", original)
    assert open_annotations(path).class_names == ("peach", "zebra")


def test_a_copy_and_a_touched_file_share_the_entry(
    kept: Path, content: Content, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(content)
    open_annotations(path)
    copy = shutil.copy(path, path.with_name("copy.json"))
    path.touch()
    forbid_reading(monkeypatch)
    assert open_annotations(path).class_names == ("apple", "zebra")
    assert open_annotations(copy).report.source == str(copy)
    assert len(entries(kept)) == 1


def test_each_rule_for_crowds_has_its_entry(kept: Path, content: Content, write: Write) -> None:
    path = write(content)
    for _ in range(2):
        assert open_annotations(path, crowd="ignore").is_crowd.any()
        assert not open_annotations(path, crowd="object").is_crowd.any()
        assert len(open_annotations(path, crowd="drop").labels) == 2
    assert len(entries(kept)) == 3


@pytest.mark.parametrize("place", [0, 9, 0.3, 0.6, 0.99])
def test_a_damaged_entry_is_made_anew(
    kept: Path, content: Content, write: Write, place: float
) -> None:
    path = write(content)
    first = open_annotations(path).to_coco()
    entry = entries(kept)[0]
    good = bytearray(entry.read_bytes())
    bad = good.copy()
    bad[int(place * len(bad)) if place < 1 else int(place)] ^= 4
    entry.unlink()
    entry.write_bytes(bad)
    assert open_annotations(path).to_coco() == first
    assert entry.read_bytes() == good


def test_a_truncated_entry_or_a_missing_or_foreign_checksum_is_made_anew(
    kept: Path, content: Content, write: Write
) -> None:
    path = write(content)
    first = open_annotations(path).to_coco()
    entry = entries(kept)[0]
    good = entry.read_bytes()
    for damage in (
        lambda: entry.write_bytes(good[:-100]),
        lambda: entry.write_bytes(b""),
        lambda: entry.with_suffix(".json").unlink(),
        lambda: entry.with_suffix(".json").write_text("[1"),
        lambda: entry.with_suffix(".json").write_text('{"crc32": 5}'),
    ):
        entry.unlink()
        entry.write_bytes(good)
        damage()
        assert open_annotations(path).to_coco() == first
        assert entry.read_bytes() == good


def test_another_version_of_the_reader_makes_another_entry(
    kept: Path, content: Content, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(content)
    open_annotations(path)
    monkeypatch.setattr(cache, "_reader_version", lambda: "another")
    open_annotations(path)
    assert len(entries(kept)) == 2


def test_a_folder_that_cannot_be_written_costs_a_warning_and_no_more(
    content: Content, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "WORTH_KEEPING", 1)
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("MASKWRIGHT_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.warns(RuntimeWarning, match="set MASKWRIGHT_CACHE to a folder that can be written"):
        assert open_annotations(write(content)).class_names == ("apple", "zebra")


def test_off_keeps_nothing_and_small_files_are_not_kept(
    content: Content, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MASKWRIGHT_CACHE", raising=False)
    path = write(content)
    before = sorted(path.parent.rglob("*"))
    open_annotations(path)
    monkeypatch.setattr(cache, "WORTH_KEEPING", 1)
    monkeypatch.setenv("MASKWRIGHT_CACHE", "off")
    assert cache_folder() is None
    open_annotations(path)
    assert not (tmp_path / "home").exists()
    assert sorted(path.parent.rglob("*")) == before


def test_nothing_is_ever_written_beside_the_data(
    kept: Path, content: Content, write: Write, tmp_path: Path
) -> None:
    path = write(content)
    before = sorted(file for file in tmp_path.rglob("*"))
    open_annotations(path)
    written = set(tmp_path.rglob("*")) - set(before)
    assert written
    assert all(file == kept or kept in file.parents for file in written)


def test_errors_are_not_kept(kept: Path, content: Content, write: Write) -> None:
    good = json.loads(json.dumps(content))
    content["annotations"][0]["category_id"] = 55
    path = write(content)
    for _ in range(2):
        with pytest.raises(AnnotationError, match="category 55"):
            open_annotations(path)
    assert open_annotations(write(good)).class_names == ("apple", "zebra")


def test_what_was_not_used_for_long_is_removed(kept: Path, content: Content, write: Write) -> None:
    path = write(content)
    open_annotations(path)
    old = entries(kept)[0]
    os.utime(old, (LONG_AGO, LONG_AGO))
    open_annotations(path)  # being used makes it young again
    open_annotations(path, crowd="drop")
    assert old.exists()
    os.utime(old, (LONG_AGO, LONG_AGO))
    open_annotations(path, crowd="object")
    assert not old.exists()
    assert not old.with_suffix(".json").exists()
    assert len(entries(kept)) == 2


def test_a_mapped_index_goes_to_another_process_by_its_path(
    kept: Path, content: Content, write: Write
) -> None:
    dataset = open_annotations(write(content))
    sent = pickle.dumps(dataset._index)
    assert len(sent) < 1000
    assert pickle.loads(sent).file == dataset._index.file
    assert pickle.loads(pickle.dumps(dataset)).to_coco() == dataset.to_coco()


def test_a_mapped_index_with_other_classes_goes_as_what_it_is(
    kept: Path, content: Content, write: Write
) -> None:
    dataset = open_annotations(write(content)).with_classes(["zebra", "apple", "pear"])
    sent = pickle.loads(pickle.dumps(dataset))
    assert sent.to_coco() == dataset.to_coco()
    assert sent.class_names == ("zebra", "apple", "pear")


@pytest.fixture
def federated(content: Content) -> Content:
    """The same as LVIS writes it."""
    for category, frequency in zip(content["categories"], "rf", strict=True):
        category |= {"synset": f"{category['name']}.n.01", "frequency": frequency}
    for image, negative, partial in zip(
        content["images"], ([90], [], [4, 90]), ([4], [90, 4], []), strict=True
    ):
        image |= {"neg_category_ids": negative, "not_exhaustive_category_ids": partial}
    return content


def test_a_file_of_lvis_keeps_its_federation(
    kept: Path, federated: Content, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(federated)
    open_annotations(path)
    monkeypatch.setattr(
        "maskwright.data.formats.lvis.read_coco", lambda *_, **__: pytest.fail("read")
    )
    monkeypatch.setattr("maskwright.data.formats.contract.try_json", lambda _: pytest.fail("read"))
    dataset = open_annotations(path)
    assert dataset._index.file is not None
    for again in (dataset, pickle.loads(pickle.dumps(dataset))):
        written = again.to_coco(federated=True)
        assert {one["id"]: one["frequency"] for one in written["categories"]} == {90: "r", 4: "f"}
        assert written["images"] == federated["images"]
    other = dataset.with_classes(["zebra", "apple"]).federation
    assert other is not None
    assert (other.frequencies, other.negative(2), other.partial(0)) == (("r", "f"), [1, 0], [1])


def test_a_file_of_coco_has_no_federation(kept: Path, content: Content, write: Write) -> None:
    path = write(content)
    open_annotations(path)
    dataset = open_annotations(path)
    assert dataset._index.file is not None
    assert dataset.federation is None


@pytest.mark.parametrize("format", ["coco", "lvis"])
def test_who_wants_all_faults_reads_past_the_cache(
    kept: Path, federated: Content, write: Write, format: str
) -> None:
    federated["annotations"][0]["segmentation"] = []  # left out, and no error
    path = write(federated)
    open_annotations(path, format=format)
    assert len(entries(kept)) == 1
    for _ in range(2):
        inspected = inspect_dataset(path, format=format)
        assert [fault.kind for fault in inspected.faults] == ["mask-missing"]
        assert inspected.index.file is None
    assert len(entries(kept)) == 1


def test_the_federation_follows_the_pictures_that_are_left(
    federated: Content, write: Write
) -> None:
    path = write(federated)
    federated["images"][1]["height"] = -8
    path.write_text(json.dumps(federated))
    inspected = inspect_dataset(path)
    federation = inspected.index.federation
    assert federation is not None
    assert inspected.index.file_names.tolist() == ["a.png", "c.png"]
    assert [federation.negative(i) for i in range(2)] == [[1], [0, 1]]
    assert [federation.partial(i) for i in range(2)] == [[0], []]


def test_an_index_without_objects_is_kept(kept: Path, content: Content, write: Write) -> None:
    content["annotations"] = []
    path = write(content)
    open_annotations(path)
    dataset = open_annotations(path)
    assert dataset._index.file is not None
    assert len(dataset.labels) == 0
    assert len(dataset.targets(0)) == 0


def test_equal_indices_give_equal_bytes(content: Content, write: Write, tmp_path: Path) -> None:
    dataset = open_annotations(write(content))
    for name in ("a", "b"):
        write_index(tmp_path / name, dataset._index, dataset.report)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    again = map_index(tmp_path / "a", "elsewhere")[0]
    write_index(tmp_path / "c", again, dataset.report)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "c").read_bytes()


def _open_there(path: Path, folder: Path, results: Any) -> None:
    cache.WORTH_KEEPING = 1
    os.environ["MASKWRIGHT_CACHE"] = str(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results.put(open_annotations(path).to_coco())


def test_processes_fill_the_cache_at_the_same_time(
    kept: Path, content: Content, write: Write
) -> None:
    path = write(content)
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    workers = [context.Process(target=_open_there, args=(path, kept, results)) for _ in range(4)]
    for worker in workers:
        worker.start()
    found = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert all(one == found[0] for one in found)
    assert len(entries(kept)) == 1
    assert not list(kept.rglob("*.partial*"))
