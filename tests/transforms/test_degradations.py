from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from maskwright.errors import ConfigError
from maskwright.transforms import JPEG, Blur, Noise

GREY = np.full((200, 300, 3), 120, np.uint8)
PICTURE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def test_noise_has_the_deviation_that_was_drawn_and_no_pattern() -> None:
    for sigma in (3.0, 20.0):
        noise = Noise(probability=1, sigma=(sigma, sigma)).apply(GREY, np.random.default_rng(0))
        error = noise.astype(float) - GREY
        assert error.std() == pytest.approx(sigma, rel=0.02)
        assert abs(error.mean()) < 5 * sigma / np.sqrt(error.size)
        for shift in ((0, 1, 0), (1, 0, 0), (0, 0, 1)):
            moved = np.roll(error, shift, axis=(0, 1, 2))
            assert abs((error * moved).mean()) < 0.02 * sigma**2


def test_noise_of_bytes_is_clipped_and_follows_the_range_of_other_values() -> None:
    white = np.full((50, 50, 3), 255, np.uint8)
    noisy = Noise(probability=1, sigma=(20, 20)).apply(white, np.random.default_rng(0))
    assert noisy.min() > 180
    assert (noisy == 255).mean() > 0.4
    ramp = np.linspace(0, 4080, 200 * 300 * 4).reshape(200, 300, 4)
    for values in (np.uint16, np.float32):
        picture = ramp.astype(values)
        noisy = Noise(probability=1, sigma=(2, 2)).apply(picture, np.random.default_rng(0))
        assert noisy.dtype == values
        middle = (ramp > 500) & (ramp < 3500)
        error = noisy.astype(float) - picture
        assert error[middle].std() == pytest.approx(2 * 4080 / 255, rel=0.02)


@pytest.mark.parametrize("sigma", [0.4, 1.3, 3.0])
def test_blur_is_the_gaussian_of_scipy(sigma: float) -> None:
    blurred = Blur(probability=1, sigma=(sigma, sigma)).apply(PICTURE, np.random.default_rng(0))
    expected = ndimage.gaussian_filter(
        PICTURE.astype(float),
        (sigma, sigma, 0),
        mode="nearest",
        truncate=np.ceil(3 * sigma) / sigma,
    )
    assert np.abs(blurred - expected).max() < 2.0


def test_jpeg_errs_more_the_lower_the_quality_and_keeps_colours() -> None:
    smooth = ndimage.gaussian_filter(PICTURE.astype(float), (3, 3, 0)).astype(np.uint8)
    smooth[:, :, 0] = 200  # red stays red
    errors = []
    for quality in (95, 50, 10):
        read = JPEG(probability=1, quality=(quality, quality)).apply(
            smooth, np.random.default_rng(0)
        )
        errors.append(np.abs(read.astype(float) - smooth).mean())
        assert read[:, :, 0].mean() == pytest.approx(200, abs=4)
    assert errors == sorted(errors)
    assert errors[0] < 2
    for other in (smooth.astype(np.uint16), smooth[:, :, :1]):
        assert JPEG(probability=1).apply(other, np.random.default_rng(0)) is other


def test_sources_are_never_written_to_and_seeds_decide() -> None:
    picture = PICTURE.copy()
    picture.flags.writeable = False
    for change in (Blur(probability=1), Noise(probability=1), JPEG(probability=1)):
        one, again, other = (change.apply(picture, np.random.default_rng(s)) for s in (1, 1, 2))
        np.testing.assert_array_equal(one, again)
        assert (one != other).any()
        assert one.shape == picture.shape


def test_senseless_strengths_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"Blur.sigma must be \(low, high\)"):
        Blur(sigma=(2.0, 1.0))
    with pytest.raises(ConfigError, match=r"JPEG.quality: .* less than or equal to 100"):
        JPEG(quality=(50, 101))
    with pytest.raises(ConfigError, match=r"Noise.probability: .* less than or equal to 1"):
        Noise(probability=1.5)
