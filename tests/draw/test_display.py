"""Pictures of any format can be looked at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from maskwright.data import ArrayWindows
from maskwright.draw import displayed, overlay_of_windows, save_overlay
from maskwright.draw.shrinking import shrink_picture
from maskwright.structures import Instances

_RNG = np.random.default_rng(0)


def test_eight_bits_of_grey_or_rgb_are_shown_as_they_are() -> None:
    rgb = _RNG.integers(0, 256, (5, 6, 3), dtype=np.uint8)
    np.testing.assert_array_equal(displayed(rgb), rgb)
    np.testing.assert_array_equal(displayed(rgb[:, :, 0]), rgb[:, :, :1].repeat(3, 2))


@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.float64])
def test_other_values_are_stretched_between_percentiles_channel_by_channel(dtype: type) -> None:
    image = np.stack([_RNG.permutation(10_000), 5 * _RNG.permutation(10_000)], -1).astype(dtype)
    shown = displayed(image.reshape(100, 100, 2))
    for channel in (0, 1):
        values = image[:, channel].astype(np.float64)
        low, high = np.percentile(values, [0.1, 99.9])
        expected = np.clip((values - low) / (high - low), 0, 1) * 255
        np.testing.assert_allclose(shown[..., channel].ravel(), expected, atol=0.51)
    assert not shown[..., 2].any()


def test_a_hot_pixel_does_not_darken_the_rest_and_constants_are_black() -> None:
    image = np.tile(np.arange(2000, dtype=np.uint16), (5, 1))
    image[0, 0] = 65_535
    assert displayed(image)[2, 1990, 0] > 240
    assert not displayed(np.full((4, 4, 1), 7, np.uint16)).any()


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_large_pictures_of_any_format_are_made_smaller(channels: int) -> None:
    image = _RNG.integers(0, 60_000, (21, 33, channels)).astype(np.uint16)
    small = shrink_picture(ArrayWindows(image), 3)
    assert small.dtype == np.uint16
    expected = image.reshape(7, 3, 11, 3, channels).mean(axis=(1, 3))[..., :3]
    np.testing.assert_allclose(small, expected, atol=0.51)
    drawn = overlay_of_windows(ArrayWindows(image), Instances.empty((21, 33)))
    assert drawn.shape == (21, 33, 3)


def test_an_overlay_reads_its_stack_again_as_it_is_stored(tmp_path: Path) -> None:
    stack = _RNG.random((5, 20, 30)).astype(np.float32)
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack")
    found = Instances.empty((20, 30), source=tmp_path / "a.tif")
    save_overlay(tmp_path / "a.png", found)
    from PIL import Image

    expected = displayed(np.moveaxis(stack, 0, -1))
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), expected)
