"""Polygon rasterisation against pycocotools."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco

from maskwright.errors import MaskError
from maskwright.masks import Masks

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def reference(rings: list[list[float]], size: tuple[int, int]) -> str:
    merged = coco.merge(coco.frPyObjects(rings, *size))
    # Through the bitmap: pycocotools may write the same mask with counts of 0.
    return coco.encode(np.asfortranarray(coco.decode(merged)))["counts"].decode()


def assert_equal(objects: list[list[list[float]]], size: tuple[int, int]) -> None:
    ours = [rle["counts"] for rle in Masks.from_polygons(objects, size).to_coco()]
    assert ours == [reference(rings, size) for rings in objects]


def test_random_polygons_of_every_scale_equal_pycocotools() -> None:
    rng = np.random.default_rng(0)
    for _ in range(400):
        size = tuple(rng.integers(1, 90, 2).tolist())
        reach = rng.choice([0.3, 1.0, 3.0])
        objects = [
            [
                (rng.uniform(-reach / 2, 1 + reach / 2, (points, 2)) * size[::-1]).ravel().tolist()
                for points in rng.integers(3, 12, rng.integers(1, 4))
            ]
            for _ in range(rng.integers(0, 4))
        ]
        assert_equal(objects, size)


def test_points_on_fifths_halves_and_borders_equal_pycocotools() -> None:
    rng = np.random.default_rng(1)
    for grid in (0.1, 0.2, 0.5, 1.0):
        for _ in range(150):
            size = tuple(rng.integers(1, 20, 2).tolist())
            points = rng.integers(-10, 100, (int(rng.integers(3, 8)), 2)) * grid
            assert_equal([[points.ravel().tolist()]], size)


@given(
    st.lists(
        st.lists(st.floats(-30, 60, width=32), min_size=6, max_size=14).filter(
            lambda r: not len(r) % 2
        ),
        min_size=1,
        max_size=3,
    ),
    st.integers(1, 40),
    st.integers(1, 40),
)
def test_any_polygon_equals_pycocotools(rings: list[list[float]], height: int, width: int) -> None:
    assert_equal([rings], (height, width))


@pytest.mark.parametrize(
    "ring",
    [
        [3, 3, 3, 3, 3, 3],
        [0, 0, 10, 0, 0, 0],
        [2.5, 0, 2.5, 9, 2.5, 4],
        [0, 0, 12, 0, 12, 8, 0, 8],
        [0, 0, 12, 8, 12, 0, 0, 8],
        [-5, -5, 20, -5, 20, 20, -5, 20],
        [1e4, 1e4, 2e4, 1e4, 2e4, 2e4],
        [-1e5, 4, 1e5, 3, 0, 1e5],
        [0.49, 0.49, 0.51, 0.49, 0.51, 0.51],
    ],
)
def test_degenerate_polygons_equal_pycocotools(ring: list[float]) -> None:
    assert_equal([[ring], [ring, [1, 1, 5, 1, 5, 5]]], (8, 12))


def test_rings_may_be_points_and_objects_may_have_none() -> None:
    ring = [[1, 1], [4, 1], [4, 3]]
    masks = Masks.from_polygons([[ring], [], [np.array(ring).ravel()]], (5, 6))
    assert masks[0] == masks[2]
    assert masks.area[1] == 0
    assert len(Masks.from_polygons([], (5, 6))) == 0


@pytest.mark.parametrize(
    ("ring", "message"),
    [
        ([0, 0, 1, 1, 2], r"object 1 has an odd number of coordinates \(5\)"),
        ([0, 0, 1, 1], "object 1 has 2 points, wanted at least 3"),
        ([], "object 1 has 0 points"),
        ([0, 0, 1, 1, 2, float("nan")], "object 1 has NaN, infinite"),
        ([0, 0, 1, 1, 2, float("inf")], "object 1 has NaN, infinite"),
        ([0, 0, 1, 1, 2, 1e30], "object 1 has NaN, infinite or huge"),
        (["a", 0, 1, 1, 2, 2], "object 1 must be numbers"),
        (None, r"object 1 must be .*got \(\)"),
        (5, r"object 1 must be .*got \(\)"),
    ],
)
def test_bad_polygons_are_refused_by_index(ring: object, message: str) -> None:
    with pytest.raises(MaskError, match=message):
        Masks.from_polygons([[[0, 0, 1, 0, 1, 1]], [ring]], (4, 5))


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["coco128", "fruit_nuts"])
def test_real_polygons_equal_pycocotools(shared_data: Path, name: str) -> None:
    (path,) = (shared_data / name).glob("*.json")
    data = json.loads(path.read_text())
    sizes = {image["id"]: (image["height"], image["width"]) for image in data["images"]}
    for picture, size in sizes.items():
        objects = [
            a["segmentation"]
            for a in data["annotations"]
            if a["image_id"] == picture and isinstance(a["segmentation"], list)
        ]
        assert_equal(objects, size)
