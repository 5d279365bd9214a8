"""COCO run lengths against pycocotools."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco

from maskwright.errors import MaskError
from maskwright.masks import Masks

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def encoded(dense: np.ndarray) -> list[dict]:
    return [coco.encode(np.asfortranarray(mask, np.uint8)) for mask in dense]


def test_compressed_text_is_what_pycocotools_writes(dense: np.ndarray) -> None:
    texts = [rle["counts"] for rle in Masks.from_dense(dense).to_coco()]
    assert texts == [rle["counts"].decode() for rle in encoded(dense)]


def test_compressed_text_of_pycocotools_gives_the_same_masks(dense: np.ndarray) -> None:
    masks = Masks.from_rle(encoded(dense), dense.shape[1:])
    assert masks == Masks.from_dense(dense)
    assert (masks.to_dense() == dense).all()


def test_plain_counts_mean_the_same_to_pycocotools(dense: np.ndarray) -> None:
    for rle, mask in zip(Masks.from_dense(dense).to_uncompressed_rle(), dense, strict=True):
        assert (coco.decode(coco.frPyObjects(rle, *rle["size"])) == mask).all()
        assert sum(rle["counts"]) == mask.size


def test_area_and_box_are_those_of_pycocotools(dense: np.ndarray) -> None:
    masks = Masks.from_dense(dense)
    rles = encoded(dense)
    np.testing.assert_array_equal(masks.area, np.reshape(coco.area(rles), -1))
    boxes = np.reshape(coco.toBbox(rles), (-1, 4))
    boxes[:, 2:] += boxes[:, :2]
    np.testing.assert_array_equal(masks.boxes, boxes)


@given(arrays(bool, array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=20)))
def test_every_codec_gives_the_masks_back(dense: np.ndarray) -> None:
    masks = Masks.from_dense(dense)
    size = dense.shape[1:]
    assert (masks.to_dense() == dense).all()
    assert Masks.from_rle(masks.to_coco(), size) == masks
    assert Masks.from_rle(masks.to_uncompressed_rle(), size) == masks
    assert Masks.from_bitmaps([masks.bitmap(i) for i in range(len(masks))], size) == masks
    assert Masks.from_outlines(masks.to_polygons(), size) == masks
    assert Masks(size, masks.runs, masks.offsets) == masks


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40), st.integers(1, 12))
def test_counts_with_zeros_in_any_place_decode_as_in_pycocotools(
    counts: list[int], height: int
) -> None:
    counts.append(-sum(counts) % height + height)
    rle = {"size": [height, sum(counts) // height], "counts": counts}
    packed = coco.frPyObjects(rle, *rle["size"])
    for form in (rle, packed, packed | {"counts": packed["counts"].decode()}):
        assert (Masks.from_rle([form]).to_dense()[0] == coco.decode(packed)).all()


def test_text_and_bytes_and_lists_may_be_mixed() -> None:
    masks = Masks.from_dense(np.eye(4, dtype=bool)[None].repeat(3, 0))
    text, plain = masks.to_coco()[0], masks.to_uncompressed_rle()[0]
    mixed = [text, plain, text | {"counts": text["counts"].encode()}]
    assert Masks.from_rle(mixed) == masks


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size": [3, 5], "counts": [15]}, r"mask 1 is of a \(3, 5\) picture, wanted \(4, 5\)"),
        ({"size": [4, 5], "counts": [15]}, "mask 1: counts must .* = 20, got a sum of 15"),
        ({"size": [4, 5], "counts": [21]}, "mask 1: counts must .* got a sum of 21"),
        ({"size": [4, 5], "counts": [25, -5]}, "mask 1: counts must be at least 0 .* least of -5"),
        ({"size": [4, 5], "counts": []}, "mask 1: counts must .* got a sum of 0"),
        ({"size": [4, 5], "counts": ""}, "mask 1: counts must .* got a sum of 0"),
        ({"size": [4, 5], "counts": "!"}, "mask 1: counts are not COCO text"),
        ({"size": [4, 5], "counts": "P"}, "mask 1: counts are not COCO text"),
        ({"size": [4, 5], "counts": "o" * 40}, "mask 1: counts are not COCO text"),
        ({"size": [4, 5], "counts": "é"}, "mask 1: counts are not COCO text"),
        ({"size": [4, 5], "counts": [1.5]}, "mask 1: counts must be text or a list of integers"),
        ({"size": [4, 5], "counts": None}, "mask 1: counts must be text or a list of integers"),
        ({"size": [4], "counts": "0"}, r"mask 1: size must be \[height, width\]"),
        ({"size": 4, "counts": "0"}, r"mask 1: size must be \[height, width\]"),
        ({"counts": "0"}, "mask 1 must be"),
        ([[1, 2, 3]], "mask 1 must be"),
    ],
)
def test_damaged_run_lengths_are_refused_by_index(wrong: object, message: str) -> None:
    with pytest.raises(MaskError, match=message):
        Masks.from_rle([{"size": [4, 5], "counts": [20]}, wrong], (4, 5))


def test_no_run_lengths_need_a_size() -> None:
    assert len(Masks.from_rle([], (3, 4))) == 0
    assert Masks.from_rle([], (3, 4)).to_coco() == []
    with pytest.raises(MaskError, match="image_size"):
        Masks.from_rle([])


@pytest.mark.shared_data
def test_real_crowds_decode_as_in_pycocotools(shared_data) -> None:
    import json

    for folder, name in (("nuclei", "val.json"), ("coco128", "instances.json")):
        data = json.loads((shared_data / folder / name).read_text())
        rles = [
            a["segmentation"] for a in data["annotations"] if isinstance(a["segmentation"], dict)
        ]
        assert rles
        for rle in rles:
            known = coco.frPyObjects(rle, *rle["size"]) if isinstance(rle["counts"], list) else rle
            masks = Masks.from_rle([rle])
            assert (masks.to_dense()[0] == coco.decode(known)).all()


def as_text(counts: list[int]) -> str:
    """The counts of one mask as COCO text, by the words of `rleToString`."""
    text = ""
    for i, count in enumerate(counts):
        value, more = count - (counts[i - 2] if i > 2 else 0), True
        while more:
            group, value = value & 31, value >> 5
            more = value != (-1 if group & 16 else 0)
            text += chr(48 + group + 32 * more)
    return text


@pytest.mark.parametrize("side", [2**k + more for k in (4, 9, 14, 20, 27) for more in (-1, 0)])
def test_counts_of_every_length_are_written_as_the_coco_api_does(side: int) -> None:
    rng = np.random.default_rng(side)
    x = np.sort(rng.choice(min(side, 10**6), 7, replace=False))
    top, bottom = np.sort(rng.integers(0, side, (2, 7)), axis=0)
    runs = np.stack([x, top, bottom + 1], axis=1)
    masks = Masks((side, side), np.concatenate([runs, runs[:1]]), [0, 0, 7, 8])
    texts = [rle["counts"] for rle in masks.to_coco()]
    assert texts == [as_text(rle["counts"]) for rle in masks.to_uncompressed_rle()]
    assert Masks.from_rle(masks.to_coco()) == masks
