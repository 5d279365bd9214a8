from __future__ import annotations

import io
import json
import re
import shutil
import tarfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from maskwright.data import Dataset, measure_pixel_format, open_dataset
from maskwright.data.shards import ShardLoader, storage, write_shards
from maskwright.data.shards.order import lane_order
from maskwright.data.shards.reading import decode_sample, open_shards, read_shard
from maskwright.errors import ConfigError, DataError
from maskwright.structures import Batch, Sample
from maskwright.transforms import Augmentation, Mosaic

pytest.importorskip("fsspec")
pytest.importorskip("aiohttp")
OPTIONS: dict[str, Any] = {
    "batch_size": 2,
    "short_side": 32,
    "long_side": 64,
    "buffer": 3,
    "augmentation": Augmentation(scale=(0.7, 1.4), translation=0.1),
}


@pytest.fixture
def dataset(discs: Path) -> Dataset:
    return open_dataset(discs)


@pytest.fixture
def shards(dataset: Dataset, tmp_path: Path) -> Path:
    return write_shards(dataset, tmp_path / "shards", pictures_per_shard=3)


@contextmanager
def serving(folder: Path, *, drop_every: int = 0, has_ranges: bool = True) -> Iterator[Any]:
    """Serve a folder over HTTP; every so many answers for a shard break off half-way."""
    served: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = folder / self.path.lstrip("/")
            if not path.is_file():
                self.send_error(404)
                return
            content = path.read_bytes()
            asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            body = content
            if asked and has_ranges:
                body = content[int(asked[1]) : int(asked[2]) + 1]
            self.send_response(206 if asked and has_ranges else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            is_shard = path.suffix == ".tar"
            if is_shard:
                served.append(self.headers.get("Range", ""))
            is_dropped = is_shard and drop_every and len(served) % drop_every == 0
            self.wfile.write(body[: len(body) // 2] if is_dropped else body)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def first(loader: ShardLoader, count: int) -> list[Batch]:
    return list(islice(loader, count))


def same(left: list[Batch], right: list[Batch]) -> bool:
    return len(left) == len(right) and all(
        a.names == b.names
        and torch.equal(a.images, b.images)
        and all(x.masks == y.masks for x, y in zip(a.targets or (), b.targets or (), strict=True))
        for a, b in zip(left, right, strict=True)
    )


def test_a_shard_keeps_pictures_masks_labels_and_names(dataset: Dataset, shards: Path) -> None:
    found = open_shards(str(shards))
    assert found.counts == (3, 3, 3, 3)
    samples = [decode_sample(found, raw) for k in range(4) for raw in read_shard(found, k)]
    by_name = {sample.name: sample for sample in samples}
    assert len(by_name) == len(dataset)
    for i, name in enumerate(dataset.file_names):
        wanted, got = dataset.sample(i), by_name[name]
        assert got.image_id == wanted.image_id
        np.testing.assert_array_equal(got.image, wanted.image)
        assert got.targets.masks == wanted.targets.masks
        assert torch.equal(got.targets.labels, wanted.targets.labels)
        assert torch.equal(got.targets.boxes, wanted.targets.boxes)
        assert got.targets.class_names == dataset.class_names


def test_webdataset_reads_our_shards(dataset: Dataset, shards: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    found = []
    for path in sorted(shards.glob("*.tar")):
        # Its own opener leaves files open, which is an error here.
        with path.open("rb") as stream:
            members = webdataset.tariterators.tar_file_expander(
                [{"url": str(path), "stream": stream}]
            )
            found += list(webdataset.tariterators.group_by_keys(members))
    assert len(found) == len(dataset)
    for sample in found:
        said = json.loads(sample["json"])
        assert sample["png"] == (dataset.image_folder / said["file_name"]).read_bytes()  # type: ignore[operator]


def test_equal_data_give_equal_bytes(dataset: Dataset, shards: Path, tmp_path: Path) -> None:
    again = write_shards(dataset, tmp_path / "again", pictures_per_shard=3)
    for path in shards.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes()


def test_a_folder_with_something_in_it_is_refused(dataset: Dataset, shards: Path) -> None:
    with pytest.raises(DataError, match="not an empty folder"):
        write_shards(dataset, shards)


def test_every_sample_comes_once_in_an_epoch(shards: Path, dataset: Dataset) -> None:
    batches = first(ShardLoader(str(shards), lanes=2, **OPTIONS), 12)
    names = [name for batch in batches for name in batch.names]
    assert Counter(names) == Counter(dataset.file_names * 2)
    assert names[:12] != names[12:]


def test_batches_do_not_depend_on_workers_or_on_where_a_run_resumed(shards: Path) -> None:
    wanted = first(ShardLoader(str(shards), lanes=2, **OPTIONS), 11)
    assert same(first(ShardLoader(str(shards), lanes=2, num_workers=2, **OPTIONS), 11), wanted)
    for step in (1, 4, 9):
        resumed = ShardLoader(str(shards), lanes=2, start_step=step, **OPTIONS)
        assert same(first(resumed, 11 - step), wanted[step:])


def test_ranks_see_different_pictures(shards: Path, dataset: Dataset) -> None:
    seen = []
    for rank in range(2):
        loader = ShardLoader(str(shards), lanes=2, rank=rank, world_size=2, **OPTIONS)
        seen.append({name for batch in first(loader, 3) for name in batch.names})
    assert not seen[0] & seen[1]
    assert seen[0] | seen[1] == set(dataset.file_names)


def test_the_buffer_only_moves_samples_within_its_reach() -> None:
    order, members = lane_order([0, 1, 2], [40, 40, 40], buffer=10, seed=0, epoch=0, lane=0)
    read = [(shard, place) for shard in order for place in range(40)]
    assert sorted(members) == sorted(read)
    assert all(read.index(member) <= k + 9 for k, member in enumerate(members))
    assert members != read


def test_a_server_with_ranges_gives_what_the_folder_gives(
    shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "_BLOCK", 1000)
    wanted = first(ShardLoader(str(shards), lanes=1, **OPTIONS), 6)
    with serving(shards) as (url, served):
        assert same(first(ShardLoader(url, lanes=1, **OPTIONS), 6), wanted)
        assert len(served) > 12
        assert all(served)


def test_a_dropped_connection_is_taken_up_where_it_broke(
    shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "_BLOCK", 1000)
    found = open_shards(str(shards))
    wanted = list(read_shard(found, 0))
    monkeypatch.setattr(storage.time, "sleep", lambda _: None)
    with serving(shards, drop_every=3) as (url, served):
        raws = list(read_shard(open_shards(url), 0))
        assert [raw[1:] for raw in raws] == [raw[1:] for raw in wanted]
        blocks = -(-found.sizes[0] // 1000)
        assert blocks < len(served) <= 2 * blocks  # each break cost one block, not the shard


def test_a_server_that_always_drops_is_given_up_with_a_clear_error(
    shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(storage.time, "sleep", pauses.append)
    with serving(shards, drop_every=1) as (url, served):
        loader = ShardLoader(url, lanes=1, tries=4, **OPTIONS)
        with pytest.raises(DataError, match=r"shard-.*bytes 0 to .* in 4 tries .*reachable"):
            first(loader, 1)
        assert len(served) == 4
    assert pauses == [0.2, 0.4, 0.8]


def test_a_server_without_ranges_is_told_from_a_broken_one(
    shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "_BLOCK", 1000)
    monkeypatch.setattr(storage.time, "sleep", lambda _: None)
    with (
        serving(shards, has_ranges=False) as (url, _),
        pytest.raises(DataError, match=r"bytes came instead of 1000.*serve ranges"),
    ):
        list(read_shard(open_shards(url), 0))


def test_missing_shards_and_foreign_indices_are_named(shards: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"index\.json: no such file"):
        open_shards(str(tmp_path))
    (tmp_path / "index.json").write_text('{"maskwright_shards": 99}')
    with pytest.raises(DataError, match=r"not an index of shards .*version 99"):
        open_shards(str(tmp_path))
    (shards / "shard-000000.tar").unlink()
    with pytest.raises(DataError, match=r"shard-000000\.tar: no such shard"):
        list(read_shard(open_shards(str(shards)), 0))


def _rewrite(shards: Path, members: list[tuple[str, bytes]]) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    (shards / "shard-000000.tar").write_bytes(buffer.getvalue())
    index = json.loads((shards / "index.json").read_text())
    index["shards"][0] |= {"bytes": len(buffer.getvalue()), "samples": 1}
    (shards / "index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("a.json", b"{}")], "has no picture before it"),
        ([("a.png", b"x"), ("a.json", b"{}")], "a: not a description"),
        ([("a.png", b"x"), ("a.json", b"\x80\x04N.")], "a: not a description"),
        ([("a.png", b"x"), ("b.json", b"{}")], "has no picture before it"),
        ([], "0 samples, the index says 1"),
    ],
)
def test_damaged_shards_are_refused(
    shards: Path, members: list[tuple[str, bytes]], message: str
) -> None:
    _rewrite(shards, members)
    found = open_shards(str(shards))
    with pytest.raises(DataError, match=message):
        [decode_sample(found, raw) for raw in read_shard(found, 0)]


def test_an_unreadable_picture_is_named_by_its_shard(shards: Path) -> None:
    said = {"image_id": 1, "file_name": "a.png", "height": 4, "width": 4, "objects": []}
    _rewrite(shards, [("a.png", b"x"), ("a.json", json.dumps(said).encode())])
    found = open_shards(str(shards))
    with pytest.raises(DataError, match=r"shard-000000\.tar: a: not a picture"):
        decode_sample(found, next(read_shard(found, 0)))


def test_numbers_that_do_not_go_together_are_refused(shards: Path) -> None:
    with pytest.raises(ConfigError, match="multiple of world_size x num_workers"):
        ShardLoader(str(shards), lanes=3, num_workers=2, **OPTIONS)
    with pytest.raises(DataError, match="4 shards for 8 lanes"):
        ShardLoader(str(shards), lanes=8, **OPTIONS)


def test_a_transform_of_the_users_comes_before_the_resize(dataset: Dataset, shards: Path) -> None:
    def invert(sample: Sample, rng: np.random.Generator) -> Sample:
        assert sample.image.shape[:2] == sample.targets.image_size
        return replace(sample, image=255 - sample.image)

    options = OPTIONS | {"augmentation": None}
    plain = first(ShardLoader(str(shards), lanes=1, **options), 3)
    turned = first(ShardLoader(str(shards), lanes=1, before_resize=invert, **options), 3)
    for a, b in zip(plain, turned, strict=True):
        assert a.names == b.names
        for one, other, (height, width) in zip(a.images, b.images, a.image_sizes, strict=True):
            there = slice(None), slice(height), slice(width)
            # Rounding after the resize: the sum is 255 or one beside it.
            assert (one[there].int() + other[there].int() - 255).abs().max() <= 1


def test_mixing_is_refused_as_pictures_come_in_sequence(shards: Path) -> None:
    options = OPTIONS | {"augmentation": Augmentation(mosaic=Mosaic(probability=0.5))}
    with pytest.raises(ConfigError, match="set their probability to 0"):
        ShardLoader(str(shards), lanes=1, **options)
    with pytest.raises(ConfigError, match="give one of them"):
        ShardLoader(str(shards), lanes=1, transform=lambda sample, rng: sample, **OPTIONS)


def test_pictures_of_16_bits_come_as_stored(discs: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(discs.parent, tmp_path / "copied") / discs.name
    dataset = open_dataset(copied)
    for i in range(len(dataset)):
        image = cv2.imread(str(dataset.image_path(i)), cv2.IMREAD_GRAYSCALE)
        cv2.imwrite(str(dataset.image_path(i)), image.astype(np.uint16) * 16 + i)
    dataset = open_dataset(copied)
    pixels = measure_pixel_format([dataset.image_path(i) for i in range(len(dataset))])
    assert pixels is not None
    shards = write_shards(dataset, tmp_path / "deep", pictures_per_shard=3)
    raw = next(read_shard(open_shards(str(shards)), 0))
    sample = decode_sample(open_shards(str(shards)), raw, pixels=pixels)
    assert sample.image.dtype == np.uint16
    place = dataset.file_names.index(sample.name)
    np.testing.assert_array_equal(sample.image, dataset.with_pixels(pixels).image(place))
    options = OPTIONS | {"augmentation": None}
    batch = first(ShardLoader(str(shards), lanes=1, pixels=pixels, **options), 1)[0]
    assert batch.images.dtype == torch.float32
    assert batch.images.shape[1] == 1


def test_shards_are_written_to_any_storage_of_fsspec(dataset: Dataset, tmp_path: Path) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    url = f"memory://{tmp_path.name}"
    assert write_shards(dataset, url, pictures_per_shard=5) == url
    local = write_shards(dataset, tmp_path / "local", pictures_per_shard=5)
    names = sorted(path.name for path in Path(local).iterdir())
    assert names == ["index.json", "shard-000000.tar", "shard-000001.tar", "shard-000002.tar"]
    storage = MemoryFileSystem()
    for name in names:
        assert storage.cat_file(f"/{tmp_path.name}/{name}") == (Path(local) / name).read_bytes()
    assert open_shards(url).counts == (5, 5, 2)
    with pytest.raises(DataError, match="is not empty"):
        write_shards(dataset, url)


def test_storage_that_takes_nothing_is_said(dataset: Dataset) -> None:
    with pytest.raises(DataError, match="cannot be written"):
        write_shards(dataset, "http://127.0.0.1:9/shards")
    with pytest.raises(DataError, match="Protocol not known: nowhere"):
        write_shards(dataset, "nowhere://shards")
