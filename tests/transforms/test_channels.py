"""Pictures of any number of channels and type go through the transforms channel by channel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from maskwright.transforms import shift_colours, warp_image
from maskwright.transforms.geometry import rotate, scale, translate

_RNG = np.random.default_rng(0)
_MAPS = {
    "resize": (scale(0.5, 0.75), (30, 25)),
    "turn": (translate(3, 2) @ rotate(20, (25, 20)), (40, 50)),
}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 2, 4, 5, 7])
@pytest.mark.parametrize("how", _MAPS)
def test_a_channel_is_warped_as_it_would_be_alone(how: str, channels: int, dtype: Any) -> None:
    image = (250 * _RNG.random((40, 50, channels))).astype(dtype)
    matrix, size = _MAPS[how]
    fill = tuple(range(channels))
    warped = warp_image(image, matrix, size, fill=fill)
    assert warped.shape == (*size, channels)
    assert warped.dtype == dtype
    for channel in range(channels):
        alone = warp_image(image[:, :, channel : channel + 1], matrix, size, fill=(channel,))
        # OpenCV resizes several channels with other instructions: the last digit may differ
        last_digit = 1e-3 if dtype == np.float32 else 1
        np.testing.assert_allclose(
            warped[:, :, channel].astype(float),
            alone[:, :, 0].astype(float),
            rtol=0,
            atol=last_digit,
        )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_brightness_and_contrast_are_about_the_mean_of_each_channel(
    channels: int, dtype: Any
) -> None:
    image = (200 * _RNG.random((20, 30, channels))).astype(dtype)
    shifted = shift_colours(image, brightness=1.2, contrast=0.7, saturation=0.1, hue=0.3)
    values = image.astype(np.float64)
    mean = values.mean(axis=(0, 1))
    expected = 1.2 * (mean + 0.7 * (values - mean))
    np.testing.assert_allclose(shifted, expected, atol=1e-3 if dtype == np.float32 else 0.501)
    assert shifted.dtype == dtype


def test_values_stay_inside_their_type_and_floats_are_not_clipped() -> None:
    image = np.array([[[0], [60_000]]], np.uint16)
    assert shift_colours(image, brightness=2.0).ravel().tolist() == [0, 65_535]
    assert shift_colours(-image.astype(np.float32), brightness=2.0).ravel().tolist() == [
        0,
        -120_000,
    ]
