from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial import ConvexHull
from skimage.measure import label, regionprops

from maskwright.errors import ConfigError, MaskError
from maskwright.inference import measure
from maskwright.masks import Masks
from maskwright.structures import Instances


def _instances(masks: Masks) -> Instances:
    return Instances(
        image_size=masks.image_size,
        boxes=torch.from_numpy(masks.boxes),
        labels=torch.zeros(len(masks), dtype=torch.int64),
        scores=torch.full((len(masks),), 0.5),
        masks=masks,
        class_names=("coin",),
    )


def _disc(radius: float, centre: tuple[float, float], size: tuple[int, int]) -> np.ndarray:
    rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
    return (columns - centre[0]) ** 2 + (rows - centre[1]) ** 2 <= radius**2


def test_a_disc_measures_as_a_disc() -> None:
    row = measure(_instances(Masks.from_dense(_disc(30, (50, 40), (90, 110))[None]))).iloc[0]
    assert row["area"] == pytest.approx(np.pi * 30**2, rel=0.01)
    assert row["equivalent_diameter"] == pytest.approx(60, rel=0.01)
    assert row["perimeter"] == pytest.approx(2 * np.pi * 30, rel=0.05)
    assert row["perimeter_crofton"] == pytest.approx(2 * np.pi * 30, rel=0.01)
    assert (row["centroid_x"], row["centroid_y"]) == pytest.approx((50, 40), abs=1e-9)
    assert row["major_axis"] == pytest.approx(60, rel=0.01)
    assert row["eccentricity"] < 0.05
    assert row["solidity"] > 0.97
    assert (row["holes"], row["parts"]) == (0, 1)


def test_measurements_equal_those_on_the_whole_picture() -> None:
    generator = np.random.default_rng(0)
    dense = np.stack(
        [
            _disc(generator.uniform(2, 9), tuple(generator.uniform(0, 40, 2)), (40, 40))
            for _ in range(8)
        ]
    )
    dense &= generator.random(dense.shape) > 0.05
    table = measure(_instances(Masks.from_dense(dense)))
    same = {
        "perimeter": "perimeter",
        "perimeter_crofton": "perimeter_crofton",
        "equivalent_diameter": "equivalent_diameter_area",
        "major_axis": "axis_major_length",
        "minor_axis": "axis_minor_length",
        "eccentricity": "eccentricity",
    }
    for i, one in enumerate(dense):
        region = regionprops(one.astype(np.uint8))[0]
        for ours, theirs in same.items():
            assert table[ours][i] == pytest.approx(region[theirs], rel=1e-9, abs=1e-9), ours
        assert table["centroid_x"][i] == pytest.approx(region.centroid[1] + 0.5)
        assert table["centroid_y"][i] == pytest.approx(region.centroid[0] + 0.5)
        assert table["parts"][i] == label(one, connectivity=2).max()
        assert table["parts"][i] - table["holes"][i] == region.euler_number
        if region.eccentricity > 0.1:
            turn = np.rad2deg(region.orientation) - 90 - table["orientation"][i]
            assert (turn + 90) % 180 - 90 == pytest.approx(0, abs=1e-6)
        rows, columns = np.nonzero(one)
        corners = np.concatenate(
            [np.stack([columns + x, rows + y], axis=1) for x in (0, 1) for y in (0, 1)]
        )
        assert table["solidity"][i] == pytest.approx(len(rows) / ConvexHull(corners).volume)


def test_holes_and_parts_are_counted() -> None:
    dense = np.zeros((1, 20, 30), bool)
    dense[0, 2:9, 2:9] = True
    dense[0, 4, 4] = dense[0, 6, 6] = False
    dense[0, 12:15, 20:25] = True
    dense[0, 15, 25] = True  # touches by a corner: the same part
    row = measure(_instances(Masks.from_dense(dense))).iloc[0]
    assert (row["holes"], row["parts"]) == (2, 2)


@pytest.mark.parametrize(
    ("degrees", "slope"),
    [(0, (1, 0)), (90, (0, 1)), (45, (1, -1)), (-45, (1, 1)), (30, (np.sqrt(3), -1))],
)
def test_orientation_is_counted_from_the_x_axis_as_seen(
    degrees: float, slope: tuple[float, float]
) -> None:
    rows, columns = np.mgrid[:61, :61] - 30.0
    direction = np.array(slope) / np.hypot(*slope)
    along = columns * direction[0] + rows * direction[1]
    across = columns * direction[1] - rows * direction[0]
    stick = (np.abs(along) <= 25) & (np.abs(across) <= 3)
    row = measure(_instances(Masks.from_dense(stick[None]))).iloc[0]
    assert row["orientation"] == pytest.approx(degrees, abs=0.5)


def test_a_pixel_size_scales_sizes_and_leaves_places() -> None:
    found = _instances(Masks.from_dense(_disc(8, (20, 12), (30, 40))[None]))
    pixels, microns = measure(found).iloc[0], measure(found, pixel_size=0.5).iloc[0]
    for name in (
        "perimeter",
        "perimeter_crofton",
        "equivalent_diameter",
        "major_axis",
        "minor_axis",
    ):
        assert microns[name] == pytest.approx(pixels[name] / 2)
    assert microns["area"] == pytest.approx(pixels["area"] / 4)
    for name in ("x1", "centroid_x", "solidity", "orientation", "eccentricity"):
        assert microns[name] == pixels[name]


def test_tiny_and_empty_objects_have_measurements_or_none() -> None:
    masks = Masks.from_boxes([[3, 3, 4, 4], [0, 0, 2, 1], [5, 5, 5, 5]], (10, 10))
    table = measure(_instances(masks))
    assert table["area"].tolist() == [1, 2, 0]
    assert table["parts"].tolist() == [1, 1, 0]
    assert np.isfinite(table["solidity"][:2]).all()
    assert np.isnan(table["perimeter"][2])


def test_no_objects_give_the_same_columns_and_types() -> None:
    empty = measure(_instances(Masks.empty((5, 5))))
    filled = measure(_instances(Masks.from_boxes([[0, 0, 3, 3]], (5, 5))))
    assert len(empty) == 0
    assert empty.dtypes.to_dict() == filled.dtypes.to_dict()


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(ConfigError, match="pixel_size must be a positive length, got 0"):
        measure(_instances(Masks.empty((5, 5))), pixel_size=0)
    with pytest.raises(MaskError, match="measuring needs masks"):
        measure(Instances.empty((5, 5)))
