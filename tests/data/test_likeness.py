from __future__ import annotations

import io
from pathlib import Path

import imagehash
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance
from skimage import data as pictures

from maskwright.data import open_dataset
from maskwright.data.likeness import (
    Duplicates,
    Fingerprints,
    find_duplicates,
    fingerprint_dataset,
    fingerprint_pictures,
)


@pytest.fixture(scope="module")
def coins() -> np.ndarray:
    return np.repeat(pictures.coins()[:240, :320, None], 3, axis=2)


def _alike(*images: np.ndarray) -> Duplicates:
    return find_duplicates(fingerprint_pictures(images))


def _pairs(found: Duplicates) -> list[list[int]]:
    pairs: list[list[int]] = found.pairs.tolist()
    return pairs


def test_no_pictures_have_no_duplicates() -> None:
    found = _alike()
    assert found.pairs.shape == (0, 2)
    assert found.clusters() == []
    assert len(found.cluster_of) == 0


def test_equal_pixels_are_exact_copies_whatever_their_files(coins: np.ndarray) -> None:
    file = io.BytesIO()
    Image.fromarray(coins).save(file, "BMP")
    again = np.asarray(Image.open(file))
    found = _alike(coins, coins[:, ::-1], again)
    assert _pairs(found) == [[0, 1], [0, 2]]
    assert found.is_exact.tolist() == [False, True]
    assert found.is_turned.tolist() == [True, False]
    assert found.clusters() == [[0, 1, 2]]


def test_equal_bytes_of_another_shape_or_type_are_no_copies(coins: np.ndarray) -> None:
    found = _alike(coins, coins.reshape(320, 240, 3))
    assert not found.is_exact.any()


@pytest.mark.parametrize("quality", [30, 60])
def test_a_recompressed_copy_is_near(coins: np.ndarray, quality: int) -> None:
    file = io.BytesIO()
    Image.fromarray(coins).save(file, "JPEG", quality=quality)
    assert _pairs(_alike(coins, np.asarray(Image.open(file)))) == [[0, 1]]


def test_brighter_smaller_and_cropped_copies_are_near(coins: np.ndarray) -> None:
    picture = Image.fromarray(coins)
    brighter = np.asarray(ImageEnhance.Brightness(picture).enhance(1.3))
    smaller = np.asarray(picture.resize((160, 120)))
    cropped = coins[2:-2, 3:-3]
    assert _alike(coins, brighter, smaller, cropped).clusters() == [[0, 1, 2, 3]]


@pytest.mark.parametrize("turn", range(1, 8))
def test_all_turns_and_mirrors_are_found_if_wanted(coins: np.ndarray, turn: int) -> None:
    turned = np.rot90(coins, turn % 4)
    turned = turned[:, ::-1] if turn >= 4 else turned
    prints = fingerprint_pictures([coins, turned])
    assert find_duplicates(prints).is_turned.tolist() == [True]
    assert _pairs(find_duplicates(prints, with_turns=False)) == []


def test_flat_pictures_of_different_grey_are_not_alike() -> None:
    greys = [np.full((50, 50, 3), value, np.uint8) for value in (0, 3, 120, 255)]
    assert _pairs(_alike(*greys)) == [[0, 1]]


def test_pictures_of_different_shape_are_not_alike(coins: np.ndarray) -> None:
    squeezed = np.asarray(Image.fromarray(coins).resize((200, 240)))
    assert _pairs(_alike(coins, squeezed)) == []


def test_different_pictures_are_not_alike() -> None:
    different = [pictures.coins(), pictures.camera(), pictures.moon(), pictures.page()]
    different += [pictures.astronaut(), pictures.coffee(), pictures.chelsea(), pictures.rocket()]
    assert _pairs(find_duplicates(fingerprint_pictures(different))) == []


@pytest.mark.parametrize(
    "image",
    [
        np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) * 15,
        np.linspace(-3, 4, 64 * 64, dtype=np.float32).reshape(64, 64),
        np.random.default_rng(0).random((40, 50, 7)),
    ],
    ids=["16 bits", "float", "seven channels"],
)
def test_pictures_of_any_type_and_channels_have_fingerprints(image: np.ndarray) -> None:
    darker = (image * 0.8).astype(image.dtype)
    assert _pairs(_alike(image, darker)) == [[0, 1]]


def test_the_hash_is_that_of_imagehash(coins: np.ndarray) -> None:
    prints = fingerprint_pictures([coins])
    ours = np.unpackbits(prints.hashes[:, :1].view(np.uint8)).astype(bool)
    theirs = imagehash.phash(Image.fromarray(coins)).hash.ravel()
    # The pictures are made small by another filter, which may turn a bit at the median.
    assert (ours != theirs).sum() <= 4


def _random_prints(rng: np.random.Generator, count: int, num_kinds: int) -> Fingerprints:
    """Hashes a few bits from one of `num_kinds`, thumbnails all alike, some exact copies."""
    kinds = rng.integers(0, 2**63, (num_kinds, 8)).astype(np.uint64)
    flips = (np.uint64(1) << rng.integers(0, 64, (count, 3)).astype(np.uint64)).sum(1)
    hashes = kinds[rng.integers(num_kinds, size=count)] ^ flips[:, None].astype(np.uint64)
    which = rng.integers(max(1, 2 * count), size=count) % max(1, count)
    return Fingerprints(
        digests=np.stack([which, which], axis=1).view("V16")[:, 0],
        hashes=hashes[which],
        thumbnails=np.tile(np.arange(256, dtype=np.uint8).reshape(1, 16, 16), (count, 1, 1)),
        aspects=np.zeros(count, np.float32),
    )


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 200), st.integers(1, 30), st.integers(0, 9))
def test_pairs_and_clusters_are_those_of_a_plain_double_loop(
    count: int, num_kinds: int, seed: int
) -> None:
    prints = _random_prints(np.random.default_rng(seed), count, num_kinds)
    found = find_duplicates(prints, with_turns=False, max_bits=4)
    parent = list(range(count))

    def root(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    expected = set()
    for i in range(count):
        for j in range(i + 1, count):
            near = int(prints.hashes[i, 0] ^ prints.hashes[j, 0]).bit_count() <= 4
            if near or prints.digests[i].tobytes() == prints.digests[j].tobytes():
                expected.add((i, j))
                parent[root(j)] = root(i)
    roots = [root(i) for i in range(count)]
    order = {r: k for k, r in enumerate(dict.fromkeys(roots))}
    assert found.cluster_of.tolist() == [order[r] for r in roots]
    assert set(map(tuple, found.pairs.tolist())) <= expected


def test_the_size_of_the_tables_that_are_looked_at_does_not_matter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prints = _random_prints(np.random.default_rng(1), 150, 12)
    whole = find_duplicates(prints)
    monkeypatch.setattr("maskwright.data.likeness._BLOCK", 7)
    monkeypatch.setattr("maskwright.data.likeness._COLUMNS", 11)
    monkeypatch.setattr("maskwright.data.likeness._CHUNK", 5)
    parts = find_duplicates(prints)
    assert len(whole.pairs) > 100
    for name in ("pairs", "bits", "is_exact", "is_turned", "cluster_of"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))


def test_a_thousand_equal_frames_make_a_thousand_pairs() -> None:
    found = find_duplicates(
        Fingerprints.concatenate([_random_prints(np.random.default_rng(0), 1, 1)] * 1000)
    )
    assert len(found.pairs) == 999
    assert found.clusters() == [list(range(1000))]


@pytest.mark.shared_data
def test_the_exposures_of_one_tile_are_near_and_other_tiles_are_not(shared_data: Path) -> None:
    tiles = open_dataset(shared_data / "magnetic_tile")
    chosen = [i for i, name in enumerate(tiles.file_names) if "Blowhole" in name]
    tiles = tiles.subset(chosen)
    names = tiles.file_names
    number = np.array([int(name.split("_")[-1].split(".")[0]) for name in names])
    found = find_duplicates(fingerprint_dataset(tiles))
    left, right = found.pairs.T
    assert len(left) > 50
    assert (np.abs(number[left] - number[right]) < 400).mean() > 0.95


@pytest.mark.shared_data
def test_no_two_photographs_of_coco_are_near(shared_data: Path) -> None:
    photographs = open_dataset(shared_data / "coco128" / "instances.json")
    seen = []
    prints = fingerprint_dataset(photographs, progress=lambda done, _: seen.append(done))
    assert seen[-1] == len(photographs)
    assert _pairs(find_duplicates(prints)) == []
