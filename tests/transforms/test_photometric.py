from __future__ import annotations

import colorsys

import numpy as np
import pytest
import torch

from maskwright.transforms import shift_colours
from maskwright.transforms.photometric import colour_matrix

# Values far from 0 and 255, so that nothing is clipped on the way.
IMAGE = np.random.default_rng(0).integers(80, 150, (20, 30, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("name", "values"),
    [("brightness", (0.6, 1.4)), ("contrast", (0.5, 1.5)), ("saturation", (0.0, 0.5, 1.5))],
)
def test_single_changes_are_torchvisions(name: str, values: tuple[float, ...]) -> None:
    from torchvision.transforms.v2 import functional

    pixels = torch.from_numpy(IMAGE).permute(2, 0, 1)
    for value in values:
        expected = getattr(functional, f"adjust_{name}")(pixels, value).permute(1, 2, 0).numpy()
        difference = shift_colours(IMAGE, **{name: value}) - expected.astype(np.float64)
        assert np.abs(difference).max() <= 2  # torchvision cuts fractions, twice


def test_neutral_values_change_nothing() -> None:
    np.testing.assert_array_equal(shift_colours(IMAGE), IMAGE)


def test_a_composition_is_the_changes_one_after_the_other() -> None:
    changes = {"brightness": 0.8, "contrast": 1.2, "saturation": 1.3, "hue": 0.1}
    expected = IMAGE.astype(np.float64)
    neutral = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.0}
    for name, value in changes.items():
        mean_luma = float((expected @ [0.299, 0.587, 0.114]).mean())
        matrix = colour_matrix(**(neutral | {name: value}), mean_luma=mean_luma)
        expected = expected @ matrix[:, :3].T + matrix[:, 3]
    assert (
        np.abs(shift_colours(IMAGE, **changes) - expected).max() <= 0.9
    )  # OpenCV rounds the matrix to 10 bits


def test_hue_keeps_luma_and_grey_and_comes_round() -> None:
    luma = np.array([0.299, 0.587, 0.114])
    turned = shift_colours(IMAGE, hue=0.3)
    assert np.abs((turned - IMAGE.astype(float)) @ luma).max() < 0.6
    grey = np.full((2, 2, 3), 90, np.uint8)
    assert np.abs(shift_colours(grey, hue=0.4).astype(int) - 90).max() <= 1
    np.testing.assert_array_equal(shift_colours(IMAGE, hue=1.0), IMAGE)


def test_hue_turns_the_way_of_the_colour_wheel() -> None:
    red = np.array([[[150, 100, 100]]], np.uint8)
    for hue in (0.1, 0.2, 1 / 3, 0.5):
        turned = shift_colours(red, hue=hue)[0, 0] / 255
        assert abs(colorsys.rgb_to_hsv(*turned)[0] - hue) < 0.08


def test_values_are_clipped_not_wrapped() -> None:
    bright = np.full((1, 1, 3), 200, np.uint8)
    assert (shift_colours(bright, brightness=2.0) == 255).all()
    assert (shift_colours(bright, brightness=0.0) == 0).all()
