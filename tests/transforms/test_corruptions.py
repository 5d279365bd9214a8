"""Corruptions against definitions written here, and laws that all of them keep."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from skimage.data import astronaut

from maskwright.errors import ConfigError, ImageError
from maskwright.transforms.corruptions import CORRUPTIONS, STRENGTHS, corrupt, corruption_names
from maskwright.transforms.corruptions.blur import disc_kernel, motion_kernel

GREY = np.full((224, 240, 3), 120, np.uint8)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """A photograph of ImageNet-C's size."""
    image = Image.fromarray(astronaut()).resize((224, 224), Image.Resampling.BILINEAR)
    return np.asarray(image)


def _error(image: np.ndarray, damaged: np.ndarray) -> float:
    return float(((damaged.astype(float) - image) ** 2).mean())


@pytest.mark.parametrize("strength", STRENGTHS)
def test_gaussian_noise_has_the_deviation_of_imagenet_c(strength: int) -> None:
    deviation = [0.08, 0.12, 0.18, 0.26, 0.38][strength - 1]
    wide = np.full((224, 240, 3), 32768, np.uint16)  # fewer values meet black and white
    noise = corrupt(wide, "gaussian-noise", strength).astype(float) - wide
    inside = np.abs(noise) < 32000
    normal = np.random.default_rng(1).normal(0, deviation * 65535, 10**6)
    expected = normal[np.abs(normal) < 32000].std()
    assert noise[inside].std() == pytest.approx(expected, rel=0.01)
    assert abs(noise[inside].mean()) < 5 * expected / np.sqrt(inside.sum())


@pytest.mark.parametrize("strength", STRENGTHS)
def test_shot_noise_has_the_variance_of_counted_photons(strength: int) -> None:
    photons = [60, 25, 12, 5, 3][strength - 1]
    dark = np.full((224, 240, 3), 40, np.uint8)
    noise = corrupt(dark, "shot-noise", strength) / 255
    value = 40 / 255
    rng = np.random.default_rng(3)
    expected = np.clip(rng.poisson(value * photons, 200_000) / photons, 0, 1)
    assert noise.mean() == pytest.approx(expected.mean(), rel=0.02)
    assert noise.var() == pytest.approx(expected.var(), rel=0.03)


@pytest.mark.parametrize("strength", STRENGTHS)
def test_impulse_noise_makes_its_share_black_and_white_alike(strength: int) -> None:
    share = [0.03, 0.06, 0.09, 0.17, 0.27][strength - 1]
    noisy = corrupt(GREY, "impulse-noise", strength)
    assert set(np.unique(noisy)) == {0, 120, 255}
    assert (noisy == 0).mean() == pytest.approx(share / 2, rel=0.05)
    assert (noisy == 255).mean() == pytest.approx(share / 2, rel=0.05)


@pytest.mark.parametrize("strength", STRENGTHS)
def test_gaussian_blur_is_that_of_scipy(photo: np.ndarray, strength: int) -> None:
    sigma = [1, 2, 3, 4, 6][strength - 1]
    expected = ndimage.gaussian_filter(
        photo.astype(float), (sigma, sigma, 0), mode="nearest", truncate=4.0
    )
    assert np.abs(corrupt(photo, "gaussian-blur", strength) - expected).max() < 1.0


def test_lengths_grow_with_the_picture_unless_pixels_are_asked_for() -> None:
    point = np.zeros((448, 600, 3), np.uint8)
    point[200:240, 300:340] = 255
    for reference, sigma in ((224, 6.0), (None, 3.0)):
        expected = ndimage.gaussian_filter(point.astype(float), (sigma, sigma, 0), truncate=4.0)
        blurred = corrupt(point, "gaussian-blur", 3, reference_side=reference)
        assert np.abs(blurred - expected).max() < 1.0


def _moments(kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of (x, y) from the middle."""
    half = len(kernel) // 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    places = np.stack([x.ravel(), y.ravel()])
    mean = places @ kernel.ravel()
    apart = places - mean[:, None]
    return mean, (apart * kernel.ravel()) @ apart.T


@pytest.mark.parametrize("radius", [0.4, 3, 4.7, 10])
def test_the_kernel_of_defocus_is_a_disc(radius: float) -> None:
    kernel = disc_kernel(radius)
    assert kernel.sum() == pytest.approx(1)
    mean, covariance = _moments(kernel)
    assert np.abs(mean).max() < 1e-9
    if radius >= 3:  # variance of a disc r^2 / 4, and a pixel's own 1 / 12
        assert np.diag(covariance) == pytest.approx([radius**2 / 4 + 1 / 12] * 2, rel=0.02)
        assert kernel.max() == pytest.approx(1 / (np.pi * radius**2), rel=0.02)


@pytest.mark.parametrize(("length", "deviation", "angle"), [(20, 3, 0), (30, 8, 30), (40, 15, -45)])
def test_the_kernel_of_motion_is_half_a_gaussian_along_its_angle_and_stays_in_place(
    length: float, deviation: float, angle: float
) -> None:
    kernel = motion_kernel(length, deviation, angle)
    assert kernel.sum() == pytest.approx(1)
    assert kernel.min() >= 0
    mean, covariance = _moments(kernel)
    assert np.abs(mean).max() < 1e-6
    way = np.linspace(0, length, 20_001)
    weights = np.exp(-0.5 * (way / deviation) ** 2)
    expected = np.cov(way, aweights=weights, ddof=0)
    direction = np.array([np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))])
    across = np.array([-direction[1], direction[0]])
    assert direction @ covariance @ direction == pytest.approx(expected, abs=0.6)
    assert across @ covariance @ across < 0.4  # of a line that is one pixel wide


@pytest.mark.parametrize("name", ["gaussian-blur", "defocus-blur", "motion-blur", "zoom-blur"])
def test_blur_leaves_objects_where_they_are(name: str) -> None:
    image = np.zeros((224, 224, 3), np.uint8)
    image[140:170, 150:180] = 240
    for strength in STRENGTHS:
        blurred = corrupt(image, name, strength, picture="here").astype(float).sum(axis=2)
        y, x = ndimage.center_of_mass(blurred)
        assert abs(y - 154.5) < 1.0
        assert abs(x - 164.5) < 1.0


def test_zoom_blur_is_the_mean_of_enlargements(photo: np.ndarray) -> None:
    factors = np.append(np.arange(1.0, 1.105, 0.01), 1.0)
    factors /= factors.mean()
    expected = np.mean(
        [
            ndimage.affine_transform(
                photo.astype(float),
                np.diag([1 / f, 1 / f, 1]),
                offset=[111.5 * (1 - 1 / f), 111.5 * (1 - 1 / f), 0],
                order=1,
                mode="nearest",
            )
            for f in factors
        ],
        axis=0,
    )
    # cv2 interpolates in 32nds of a pixel.
    assert np.abs(corrupt(photo, "zoom-blur", 1) - expected).mean() < 0.5


@pytest.mark.parametrize("strength", STRENGTHS)
def test_brightness_and_darkness_move_the_largest_colour_and_keep_hue(
    photo: np.ndarray, strength: int
) -> None:
    change = 0.1 * strength
    for name, sign in (("brightness", 1), ("darkness", -1)):
        changed = corrupt(photo, name, strength).astype(float)
        expected = np.clip(photo.max(axis=2) / 255 + sign * change, 0, 1) * 255
        assert np.abs(changed.max(axis=2) - expected).max() <= 1.0
        before, after = photo.min(axis=2) / np.maximum(photo.max(axis=2), 1), changed.min(axis=2)
        lit = (expected > 60) & (photo.max(axis=2) > 0)  # black has no hue to keep
        np.testing.assert_allclose((after / np.maximum(expected, 1))[lit], before[lit], atol=0.02)


@pytest.mark.parametrize("strength", STRENGTHS)
def test_contrast_keeps_each_colours_mean_and_shrinks_the_distance(
    photo: np.ndarray, strength: int
) -> None:
    factor = [0.4, 0.3, 0.2, 0.1, 0.05][strength - 1]
    means = photo.mean(axis=(0, 1))
    expected = (photo - means) * factor + means
    assert np.abs(corrupt(photo, "contrast", strength) - expected).max() <= 0.51


@pytest.mark.parametrize("strength", STRENGTHS)
def test_jpeg_is_that_of_pillow_at_the_same_quality(photo: np.ndarray, strength: int) -> None:
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "JPEG", quality=[25, 18, 15, 10, 7][strength - 1])
    expected = np.asarray(Image.open(file)).astype(float)
    ours = corrupt(photo, "jpeg", strength)
    # Encoders round differently; the damage itself is several times as large.
    assert _error(ours, expected) < 0.1 * _error(photo, expected)


@pytest.mark.parametrize("strength", STRENGTHS)
def test_pixelated_pictures_are_those_of_pillows_box_filter(
    photo: np.ndarray, strength: int
) -> None:
    side = int(224 * [0.6, 0.5, 0.4, 0.3, 0.25][strength - 1])
    small = Image.fromarray(photo).resize((side, side), Image.Resampling.BOX)
    expected = np.asarray(small.resize((224, 224), Image.Resampling.BOX)).astype(float)
    # Pillow takes pixels whole where squares do not divide the picture, cv2 takes their parts.
    bound = 0.51 if 224 % side == 0 else 8.0
    assert np.abs(corrupt(photo, "pixelate", strength) - expected).mean() < bound


@pytest.mark.parametrize("strength", STRENGTHS)
def test_fog_of_a_flat_picture_reaches_from_its_own_light_down_to_the_part_that_is_left(
    strength: int,
) -> None:
    thickness, value = [1.5, 2.0, 2.5, 2.5, 3.0][strength - 1], 120 / 255
    foggy = corrupt(GREY, "fog", strength)
    assert foggy.max() == 120
    assert foggy.min() == pytest.approx(255 * value * value / (value + thickness), abs=0.51)


@pytest.mark.parametrize("strength", STRENGTHS)
def test_frost_has_the_shares_of_picture_and_ice(strength: int) -> None:
    kept, ice = [(1.0, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)][strength - 1]
    black = np.zeros((224, 240, 3), np.uint8)
    pattern = corrupt(black, "frost", 1).astype(float) / 0.4
    np.testing.assert_allclose(corrupt(black, "frost", strength), ice * pattern, atol=1.5)
    flat = np.full_like(black, 60)
    difference = corrupt(flat, "frost", strength).astype(float) - corrupt(black, "frost", strength)
    unclipped = corrupt(flat, "frost", strength) < 255
    np.testing.assert_allclose(difference[unclipped], kept * 60, atol=1.01)


def test_weather_hides_more_at_strength_5_than_at_1(photo: np.ndarray) -> None:
    for name in ("snow", "frost", "fog", "rain"):
        mild, heavy = (
            np.mean(
                [
                    np.corrcoef(photo.ravel(), corrupt(photo, name, s, picture=p).ravel())[0, 1]
                    for p in "abc"
                ]
            )
            for s in (1, 5)
        )
        assert heavy < mild - 0.05


_NOT_BY_ERROR = ("fog", "frost")
"""ImageNet-C's stronger levels of these take light away as well: what they hide is tested above."""


@pytest.mark.parametrize("name", [name for name in CORRUPTIONS if name not in _NOT_BY_ERROR])
def test_each_strength_damages_more_than_the_one_before(photo: np.ndarray, name: str) -> None:
    errors = [_error(photo, corrupt(photo, name, strength)) for strength in STRENGTHS]
    assert errors == sorted(errors)
    assert len(set(errors)) == len(errors)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_shape_and_type_stay_and_the_picture_itself_is_not_touched(name: str) -> None:
    rng = np.random.default_rng(0)
    for size in ((1, 1), (7, 5), (90, 300)):
        image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        before = image.copy()
        damaged = corrupt(image, name, 5)
        assert damaged.shape == image.shape
        assert damaged.dtype == np.uint8
        np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("name", [name for name in CORRUPTIONS if name != "jpeg"])
def test_sixteen_bits_are_damaged_as_eight_are(photo: np.ndarray, name: str) -> None:
    wide = photo.astype(np.uint16) * 257
    damaged = corrupt(wide, name, 3, picture="a")
    assert damaged.dtype == np.uint16
    narrow = corrupt(photo, name, 3, picture="a").astype(float)
    assert np.abs(damaged / 257 - narrow).mean() < 1.0


@pytest.mark.parametrize("name", ["gaussian-noise", "snow", "motion-blur", "fog", "rain"])
def test_picture_and_seed_decide_and_nothing_else(photo: np.ndarray, name: str) -> None:
    one = corrupt(photo, name, 2, picture="a.png", seed=1)
    corrupt(photo, name, 4, picture="b.png")
    np.testing.assert_array_equal(one, corrupt(photo, name, 2, picture="a.png", seed=1))
    assert not np.array_equal(one, corrupt(photo, name, 2, picture="b.png", seed=1))
    assert not np.array_equal(one, corrupt(photo, name, 2, picture="a.png", seed=2))


def test_unknown_names_strengths_and_pictures_are_refused() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'fog'"):
        corrupt(GREY, "fogg", 1)
    with pytest.raises(ConfigError, match="from 1 to 5, got 6"):
        corrupt(GREY, "fog", 6)
    with pytest.raises(ImageError, match=r"\(h, w, 3\) uint8 or uint16, got \(224, 240\)"):
        corrupt(GREY[:, :, 0], "fog", 1)
    with pytest.raises(ImageError, match="8 bits a colour, got uint16"):
        corrupt(GREY.astype(np.uint16), "jpeg", 1)
    assert len(set(corruption_names())) == len(corruption_names()) == 18
