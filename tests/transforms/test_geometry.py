from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from maskwright.masks import Masks
from maskwright.structures import Instances
from maskwright.transforms import FILL, warp_image, warp_instances
from maskwright.transforms.geometry import (
    blank,
    flip_horizontal,
    flip_vertical,
    move_corners,
    rotate,
    scale,
    translate,
)

IMAGE = np.random.default_rng(0).integers(0, 256, (23, 37, 3), dtype=np.uint8)


def _bilinear(
    image: np.ndarray, matrix: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """A float64 oracle: values by the pixel-area convention, and which centres are inside."""
    height, width = image.shape[:2]
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    source = np.einsum("ij,jhw->ihw", np.linalg.inv(matrix), np.stack([x, y, np.ones_like(x)]))
    u, v = source[:2] / source[2]
    inside = (u >= 0) & (v >= 0) & (u < width) & (v < height)
    u, v = u - 0.5, v - 0.5
    left, top = np.floor(u), np.floor(v)
    value = np.zeros((*size, 3))
    for dy in (0, 1):
        for dx in (0, 1):
            column = np.clip(left + dx, 0, width - 1).astype(int)
            row = np.clip(top + dy, 0, height - 1).astype(int)
            weight = np.abs(1 - dx - (u - left)) * np.abs(1 - dy - (v - top))
            value += weight[:, :, None] * image[row, column]
    return value, inside


def _targets(masks: Masks) -> Instances:
    n = len(masks)
    return Instances(
        image_size=masks.image_size,
        boxes=torch.from_numpy(masks.boxes),
        labels=torch.arange(n),
        masks=masks,
        is_crowd=torch.arange(n) % 2 == 0,
        class_names=tuple(str(k) for k in range(n)),
    )


def _dense(n: int, size: tuple[int, int]) -> np.ndarray:
    dense = np.random.default_rng(1).random((n, *size)) < 0.3
    dense[:, size[0] // 2, size[1] // 2] = True
    return dense


def test_flips_reverse_pixels_and_masks_exactly() -> None:
    size = IMAGE.shape[:2]
    dense = _dense(3, size)
    for matrix, axis in ((flip_horizontal(size[1]), 1), (flip_vertical(size[0]), 0)):
        np.testing.assert_array_equal(warp_image(IMAGE, matrix, size), np.flip(IMAGE, axis))
        warped = warp_instances(_targets(Masks.from_dense(dense)), matrix, size)
        assert warped.masks is not None
        np.testing.assert_array_equal(warped.masks.to_dense(), np.flip(dense, axis + 1))
    both = flip_vertical(size[0]) @ flip_horizontal(size[1])
    np.testing.assert_array_equal(warp_image(IMAGE, both, size), IMAGE[::-1, ::-1])


def test_whole_pixel_moves_are_exact_and_fill_what_comes_in() -> None:
    size = IMAGE.shape[:2]
    expected = np.full_like(IMAGE, FILL)
    expected[:-4, 6:] = IMAGE[4:, :-6]
    np.testing.assert_array_equal(warp_image(IMAGE, translate(6, -4), size), expected)
    dense = _dense(3, size)
    warped = warp_instances(_targets(Masks.from_dense(dense)), translate(6, -4), size)
    moved = np.zeros_like(dense)
    moved[:, :-4, 6:] = dense[:, 4:, :-6]
    assert warped.masks is not None
    np.testing.assert_array_equal(warped.masks.to_dense(), moved)


def test_a_quarter_turn_is_numpys() -> None:
    height, width = IMAGE.shape[:2]
    matrix = translate(0, width) @ rotate(90, (0, 0))
    size = (width, height)
    np.testing.assert_array_equal(warp_image(IMAGE, matrix, size), np.rot90(IMAGE))
    dense = _dense(2, (height, width))
    warped = warp_instances(_targets(Masks.from_dense(dense)), matrix, size)
    assert warped.masks is not None
    np.testing.assert_array_equal(warped.masks.to_dense(), np.rot90(dense, axes=(1, 2)))


def test_a_picture_that_just_fits_is_torchs_bilinear_resize() -> None:
    for size in ((46, 74), (61, 40), (11, 18), (23, 37), (1, 1)):
        matrix = scale(size[1] / IMAGE.shape[1], size[0] / IMAGE.shape[0])
        resized = torch.nn.functional.interpolate(
            torch.from_numpy(IMAGE).permute(2, 0, 1)[None].double(),
            size=size,
            mode="bilinear",
            align_corners=False,
        )[0]
        difference = warp_image(IMAGE, matrix, size) - resized.permute(1, 2, 0).numpy()
        assert np.abs(difference).max() < 1


def test_doubling_repeats_every_mask_pixel() -> None:
    dense = _dense(2, (5, 7))
    warped = warp_instances(_targets(Masks.from_dense(dense)), scale(2, 2), (10, 14))
    assert warped.masks is not None
    np.testing.assert_array_equal(warped.masks.to_dense(), dense.repeat(2, 1).repeat(2, 2))


@pytest.mark.parametrize("seed", range(20))
def test_any_map_is_the_bilinear_interpolation_of_its_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = (int(rng.integers(1, 60)), int(rng.integers(1, 60)))
    matrix = (
        translate(*rng.uniform(-10, 20, 2))
        @ rotate(rng.uniform(-180, 180), (18.0, 11.0))
        @ scale(*rng.uniform(0.4, 2.5, 2))
        @ (flip_horizontal(37) if seed % 2 else np.eye(3))
    )
    value, inside = _bilinear(IMAGE, matrix, size)
    warped = warp_image(IMAGE, matrix, size, fill=(1, 2, 3))
    assert np.abs(warped - value)[inside].max(initial=0) < 0.6
    assert (warped[~inside] == (1, 2, 3)).all()


@pytest.mark.parametrize("seed", range(20))
def test_any_homography_is_the_bilinear_interpolation_of_its_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = (int(rng.integers(1, 60)), int(rng.integers(1, 60)))
    matrix = (
        translate(*rng.uniform(-10, 20, 2))
        @ rotate(rng.uniform(-180, 180), (18.0, 11.0))
        @ move_corners((23, 37), rng.uniform(-0.4, 0.4, (4, 2)) * [37, 23])
    )
    value, inside = _bilinear(IMAGE, matrix, size)
    warped = warp_image(IMAGE, matrix, size, fill=(1, 2, 3))
    assert np.abs(warped - value)[inside].max(initial=0) < 0.6
    assert (warped[~inside] == (1, 2, 3)).all()


def test_corners_go_where_they_are_moved() -> None:
    shifts = np.array([[3.0, -2.0], [1.0, 4.0], [-5.0, 0.5], [0.0, 2.0]])
    matrix = move_corners((20, 30), shifts)
    corners = np.array([[0, 0], [30, 0], [30, 20], [0, 20]], float)
    reached = np.hstack([corners, np.ones((4, 1))]) @ matrix.T
    np.testing.assert_allclose(reached[:, :2] / reached[:, 2:], corners + shifts, atol=1e-9)
    assert (reached[:, 2] > 0).all()
    np.testing.assert_allclose(move_corners((20, 30), np.zeros((4, 2))), np.eye(3), atol=1e-12)


@pytest.mark.parametrize("seed", range(10))
def test_masks_under_a_homography_are_those_of_torchvision_and_opencv(seed: int) -> None:
    # Equal as measured; both may round positions otherwise, so that pixels whose source lies
    # on the border of a pixel differ: less than one in a thousand of the masks' own.
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:80, :120] + 0.5
    dense = np.stack(
        [
            ((rows - y) / h) ** 2 + ((columns - x) / w) ** 2 < 1
            for x, y, w, h in rng.uniform([10, 10, 8, 8], [110, 70, 40, 30], (6, 4))
        ]
    )
    shifts = rng.uniform(-0.25, 0.25, (4, 2)) * [120, 80]
    matrix = move_corners((80, 120), shifts)
    ours = Masks.from_dense(dense).warp_perspective(matrix, (80, 120)).to_dense()
    source_to_target = translate(-0.5, -0.5) @ matrix @ translate(0.5, 0.5)
    by_opencv = np.stack(
        [
            cv2.warpPerspective(each.astype(np.uint8), source_to_target, (120, 80), flags=0) > 0
            for each in dense
        ]
    )
    ends = np.array([[0, 0], [120, 0], [120, 80], [0, 80]])
    by_torchvision = tv.perspective(
        torch.from_numpy(dense),
        startpoints=ends.tolist(),
        endpoints=(ends + shifts).tolist(),
        interpolation=InterpolationMode.NEAREST,
    ).numpy()
    for theirs in (by_opencv, by_torchvision):
        assert (ours ^ theirs).sum() < 0.001 * ours.sum()


def test_picture_and_masks_stay_together() -> None:
    # White shapes on black: what is brighter than half must be the mask but for its rim.
    dense = np.zeros((1, 60, 80), bool)
    dense[0, 10:40, 20:60] = True
    dense[0, 20:30, 30:40] = False
    image = (dense[0, :, :, None] * np.uint8(255)).repeat(3, 2)
    matrix = translate(4, 3) @ rotate(30, (40, 30)) @ scale(1.3, 1.3) @ flip_horizontal(80)
    warped = warp_instances(_targets(Masks.from_dense(dense)), matrix, (90, 110))
    assert warped.masks is not None
    bright = warp_image(image, matrix, (90, 110), fill=(0, 0, 0))[:, :, 0] > 127
    difference = bright ^ warped.masks.to_dense()[0]
    assert difference.sum() < 0.01 * bright.sum()
    rows, columns = np.nonzero(warped.masks.to_dense()[0])
    expected = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert warped.boxes.tolist() == [expected]


def test_objects_that_leave_the_picture_are_dropped_and_the_rest_keep_their_fields() -> None:
    masks = Masks.from_boxes([[0, 0, 3, 3], [10, 2, 14, 8], [30, 0, 37, 23]], (23, 37))
    warped = warp_instances(_targets(masks), translate(-9, 0), (23, 20))
    assert warped.labels.tolist() == [1]
    assert warped.is_crowd is not None
    assert warped.is_crowd.tolist() == [False]
    assert warped.boxes.tolist() == [[1, 2, 5, 8]]
    assert warped.class_names == ("0", "1", "2")
    assert warped.image_size == (23, 20)


def test_slivers_at_the_edge_become_crowds_at_any_scale() -> None:
    masks = Masks.from_boxes([[0, 0, 10, 10], [18, 0, 20, 10], [0, 0, 1, 1]], (10, 20))
    targets = replace(_targets(masks), is_crowd=torch.tensor([False, False, True]))
    for factor in (1, 3):
        # The frame ends after the first pixel of ten of the first object.
        matrix = translate(-9 * factor, 0) @ scale(factor, factor)
        size = (10 * factor, 11 * factor)
        for share, expected in (
            (0.0, [False, False]),
            (0.09, [False, False]),
            (0.2, [True, False]),
        ):
            warped = warp_instances(targets, matrix, size, ignore_below=share)
            assert warped.labels.tolist() == [0, 1]
            assert warped.is_crowd is not None
            assert warped.is_crowd.tolist() == expected
    far = move_corners((10, 20), np.array([[5.0, 2], [-5, 2], [0, 0], [0, 0]]))
    warped = warp_instances(targets, far, (10, 20), ignore_below=0.5)
    assert warped.is_crowd is not None
    assert not warped.is_crowd[:2].any()  # smaller, and whole


def test_crowds_are_carried() -> None:
    warped = warp_instances(
        _targets(Masks.from_boxes([[1, 1, 4, 4]], (9, 9))), scale(3, 3), (27, 27)
    )
    assert warped.is_crowd is not None
    assert warped.is_crowd.tolist() == [True]
    assert warped.boxes.tolist() == [[3, 3, 12, 12]]


def test_no_objects_give_no_objects() -> None:
    warped = warp_instances(_targets(Masks.empty((9, 9))), scale(2, 2), (18, 18))
    assert len(warped) == 0
    assert warped.masks is not None
    assert warped.masks.image_size == (18, 18)


def test_objects_without_masks_are_refused() -> None:
    with pytest.raises(ValueError, match="got boxes alone"):
        warp_instances(Instances.empty((9, 9)), np.eye(3), (9, 9))


def test_the_source_is_never_written_to() -> None:
    image = IMAGE.copy()
    image.flags.writeable = False
    for matrix in (np.eye(3), translate(3, 3), flip_horizontal(37)):
        warped = warp_image(image, matrix, IMAGE.shape[:2])
        assert warped.flags.writeable
        assert not np.shares_memory(warped, image)


def test_blank_pictures_have_the_type_and_the_channels_of_another() -> None:
    for like, fill in (
        (np.zeros((1, 1, 3), np.uint8), (1, 2, 3)),
        (np.zeros((1, 1, 1), np.uint16), (40000,)),
        (np.zeros((1, 1, 6), np.float32), (0.5, 1, 2, 3, 4, 5)),
    ):
        canvas = blank((4, 5), fill, like)
        assert canvas.dtype == like.dtype
        np.testing.assert_array_equal(canvas, np.broadcast_to(np.array(fill), (4, 5, len(fill))))
