"""Exposure and veils against their formulas in float64."""

from __future__ import annotations

import numpy as np
import pytest

from maskwright.errors import ConfigError
from maskwright.transforms import Augmentation, Exposure, Veil

PICTURE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize(("offset", "gamma"), [(0.3, 1.0), (-0.2, 1.0), (0.0, 2.0), (0.1, 0.5)])
def test_exposure_is_a_power_and_a_shift(offset: float, gamma: float) -> None:
    change = Exposure(probability=1, offset=(offset, offset), gamma=(gamma, gamma))
    wanted = ((PICTURE / 255) ** gamma + offset).clip(0, 1)
    changed = change.apply(PICTURE, _rng())
    assert changed.dtype == np.uint8
    np.testing.assert_allclose(changed, 255 * wanted, atol=0.5 + 1e-6)
    floats = (PICTURE / 255).astype(np.float32)
    np.testing.assert_allclose(change.apply(floats, _rng()), wanted, atol=1e-5)
    deep = PICTURE.astype(np.uint16) * 257
    np.testing.assert_allclose(change.apply(deep, _rng()), 65535 * wanted, atol=1.0)


def test_black_is_lifted() -> None:
    black = np.zeros((8, 8, 1), np.uint8)
    lifted = Exposure(probability=1, offset=(0.2, 0.2)).apply(black, _rng())
    assert lifted.shape == (8, 8, 1)
    assert (lifted == 51).all()


def test_an_even_veil_goes_towards_its_light() -> None:
    veil = Veil(probability=1, strength=(0.5, 0.5), light=(1.0, 1.0))
    wanted = (PICTURE + 255.0) / 2
    found = [veil.apply(PICTURE, np.random.default_rng(seed)) for seed in range(12)]
    even = [np.abs(one - wanted).max() <= 0.5 for one in found]
    assert 2 <= sum(even) <= 10, "about half are clouds"


def test_clouds_are_smooth_and_stay_between_the_picture_and_the_light() -> None:
    veil = Veil(probability=1, strength=(1.0, 1.0), light=(1.0, 1.0))
    grey = np.full((120, 200, 3), 50, np.uint8)
    for seed in range(20):
        found = veil.apply(grey, np.random.default_rng(seed)).astype(int)
        assert found.min() >= 50
        if found.min() == 255:
            continue  # an even one
        assert found.max() - found.min() > 20
        assert np.abs(np.diff(found, axis=0)).max() < 40
        assert np.abs(np.diff(found, axis=1)).max() < 40


@pytest.mark.parametrize("change", [Exposure(probability=1), Veil(probability=1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_kinds_of_values_and_the_picture_itself_are_kept(
    change: Exposure | Veil, dtype: type
) -> None:
    picture = PICTURE[..., :1].astype(dtype)
    before = picture.copy()
    changed = change.apply(picture, _rng())
    assert (changed.dtype, changed.shape) == (picture.dtype, picture.shape)
    assert np.array_equal(picture, before)
    assert not np.array_equal(changed, before)
    flat = np.full((4, 4, 2), 7, dtype)
    assert np.isfinite(change.apply(flat, _rng()).astype(float)).all()


def test_options_outside_their_range_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"Exposure\.offset"):
        Exposure(offset=(-2.0, 0.0))
    with pytest.raises(ConfigError, match=r"Exposure\.gamma"):
        Exposure(gamma=(0.0, 1.0))
    with pytest.raises(ConfigError, match=r"Veil\.strength must be \(low, high\)"):
        Veil(strength=(0.6, 0.1))
    with pytest.raises(ConfigError, match=r"Veil\.light"):
        Augmentation(veil=Veil(light=(0.5, 1.5)))
