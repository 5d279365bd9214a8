"""Affine warps against a float64 sampling of every pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from maskwright.errors import MaskError
from maskwright.masks import Masks


def sampled(
    dense: np.ndarray, matrix: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """The warped stack, and where a centre falls within 1e-9 of the border of a source pixel."""
    inverse = np.linalg.inv(matrix if len(matrix) == 3 else np.vstack([matrix, [0, 0, 1]]))
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    source = np.einsum("ij,jhw->ihw", inverse, np.stack([x, y, np.ones(size)]))
    source_x, source_y = source[:2] / source[2]
    unsure = np.zeros(size, bool)
    for position in (source_x, source_y):
        unsure |= np.abs(position - np.round(position)) < 1e-9
    columns, rows = np.floor(source_x).astype(int), np.floor(source_y).astype(int)
    height, width = dense.shape[1:]
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    values = dense[:, np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)]
    return values & inside, unsure


def test_random_maps_sample_the_source_at_pixel_centres(dense: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    masks = Masks.from_dense(dense)
    for _ in range(12):
        angle, scale = rng.uniform(0, 2 * np.pi), np.exp(rng.uniform(-1.5, 1.5))
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        shear = np.array([[1, rng.uniform(-0.5, 0.5)], [0, rng.choice([-1, 1])]])
        matrix = np.concatenate([turn @ shear, rng.uniform(-20, 40, (2, 1))], axis=1)
        size = tuple(rng.integers(1, 80, 2).tolist())
        expected, unsure = sampled(dense, matrix, size)
        assert ((masks.warp_affine(matrix, size).to_dense() == expected) | unsure).all()


@pytest.mark.parametrize("scale", [(2.0, 3.0), (0.37, 0.91), (1.7, 0.3), (-1.3, 2.2)])
def test_maps_along_the_axes_sample_the_source_at_pixel_centres(
    dense: np.ndarray, scale: tuple[float, float]
) -> None:
    matrix = np.array([[scale[0], 0, 11.3], [0, scale[1], -2.7]])
    expected, unsure = sampled(dense, matrix, (50, 70))
    assert (
        (Masks.from_dense(dense).warp_affine(matrix, (50, 70)).to_dense() == expected) | unsure
    ).all()


def homography(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """A map that moves the corners of a picture by up to a third of its sides."""
    height, width = size
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], np.float64)
    moved = corners + rng.uniform(-0.33, 0.33, (4, 2)) * [width, height]
    rows, wanted = [], []
    for (x, y), (u, v) in zip(corners, moved, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        wanted += [u, v]
    return np.append(np.linalg.solve(np.array(rows), wanted), 1).reshape(3, 3)


def test_homographies_sample_the_source_at_pixel_centres(dense: np.ndarray) -> None:
    rng = np.random.default_rng(1)
    masks = Masks.from_dense(dense)
    for _ in range(6):
        matrix = homography(rng, dense.shape[1:]) * rng.choice([-2, 0.5])
        size = tuple(rng.integers(1, 80, 2).tolist())
        expected, unsure = sampled(dense, matrix, size)
        assert ((masks.warp_perspective(matrix, size).to_dense() == expected) | unsure).all()


@given(
    arrays(bool, st.tuples(st.integers(0, 4), st.integers(1, 12), st.integers(1, 12))), st.data()
)
def test_any_masks_under_any_map_are_sampled(dense: np.ndarray, data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    size = (data.draw(st.integers(1, 30)), data.draw(st.integers(1, 30)))
    masks = Masks.from_dense(dense)
    stretch = np.diag([*rng.choice([-1, 1], 2) * rng.uniform(0.2, 4, 2), 1.0])
    stretch[:2, 2] = rng.uniform(-10, 30, 2)
    for matrix in (stretch, stretch @ homography(rng, dense.shape[1:])):
        expected, unsure = sampled(dense, matrix, size)
        warped = masks.warp_perspective(matrix, size)
        assert ((warped.to_dense() == expected) | unsure).all()
        assert Masks(size, warped.runs, warped.offsets) == warped  # in the stored form


def test_a_homography_without_perspective_is_the_affine_map(dense: np.ndarray) -> None:
    masks = Masks.from_dense(dense)
    matrix = np.array([[0.9, -0.4, 8.1], [0.3, 1.2, -1.7]])
    affine = masks.warp_affine(matrix, (45, 50))
    assert masks.warp_perspective(np.vstack([matrix, [0, 0, 1]]), (45, 50)) == affine


def test_a_horizon_across_the_picture_is_refused() -> None:
    horizon = [[1, 0, 0], [0, 1, 0], [-0.2, 0, 1]]
    with pytest.raises(MaskError, match=r"horizon of the map crosses the picture of \(6, 10\)"):
        Masks.empty((6, 10)).warp_perspective(horizon, (6, 10))
    assert len(Masks.empty((6, 4)).warp_perspective(horizon, (6, 10))) == 0
    with pytest.raises(MaskError, match=r"homography must be \(3, 3\), got \(2, 3\)"):
        Masks.empty((6, 4)).warp_perspective([[1, 0, 0], [0, 1, 0]], (6, 10))


def test_many_objects_warp_as_each_alone() -> None:
    rng = np.random.default_rng(2)
    masks = Masks.from_dense(rng.random((40, 30, 35)) < rng.uniform(0, 0.6, (40, 1, 1)))
    for matrix in ([[-3, 0, 99], [0, 2.3, 1]], [[0.7, 0.2, 1], [-0.3, 1.8, 9]]):
        alone = [one.warp_affine(matrix, (90, 100)) for one in masks]
        assert masks.warp_affine(matrix, (90, 100)) == Masks.concatenate(alone)


def test_identity_whole_shifts_and_flips_are_exact(dense: np.ndarray) -> None:
    height, width = dense.shape[1:]
    masks = Masks.from_dense(dense)
    assert masks.warp_affine([[1, 0, 0], [0, 1, 0]], (height, width)) == masks
    assert (
        masks.warp_affine([[-1, 0, width], [0, 1, 0]], (height, width)) == masks.flip_horizontal()
    )
    assert masks.warp_affine([[1, 0, 0], [0, -1, height]], (height, width)) == masks.flip_vertical()
    turned = masks.warp_affine([[0, 1, 0], [-1, 0, width]], (width, height))
    assert turned == masks.rotate90()
    padded = masks.warp_affine([[1, 0, 3], [0, 1, 2]], (height + 4, width + 5))
    assert padded == Masks.from_dense(np.pad(dense, ((0, 0), (2, 2), (3, 2))))


def test_a_mask_that_leaves_the_picture_is_empty() -> None:
    masks = Masks.from_boxes([[0, 0, 4, 4], [2, 2, 3, 3]], (6, 6))
    gone = masks.warp_affine([[1, 0, 100], [0, 1, 0]], (6, 6))
    assert len(gone) == 2
    assert gone.area.sum() == 0
    assert len(Masks.empty((6, 6)).warp_affine([[1, 0, 0], [0, 1, 0]], (3, 3))) == 0


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ([[1, 0, 0], [0, 0, 0]], "finite and invertible"),
        ([[1, 0, float("nan")], [0, 1, 0]], "finite and invertible"),
        (np.eye(3), r"must be \(2, 3\), got \(3, 3\)"),
    ],
)
def test_maps_that_cannot_be_inverted_are_refused(matrix: object, message: str) -> None:
    with pytest.raises(MaskError, match=message):
        Masks.empty((4, 4)).warp_affine(matrix, (4, 4))
