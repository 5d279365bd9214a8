from __future__ import annotations

import numpy as np
import pytest

from maskwright.draw import class_overlay, distinct_colours
from maskwright.errors import ImageError

_NAMES = ("road", "tree", "sky")


def _scene() -> tuple[np.ndarray, np.ndarray]:
    image = np.random.default_rng(0).integers(0, 256, (60, 200, 3), dtype=np.uint8)
    class_map = np.zeros((60, 200), np.int32)
    class_map[40:] = 1
    class_map[:20, 50:150] = 3
    return image, class_map


def test_the_background_keeps_its_pixels_and_classes_take_on_their_colours() -> None:
    image, class_map = _scene()
    drawn = class_overlay(image, class_map, _NAMES, opacity=0.5, legend=False)
    assert drawn.shape == image.shape
    np.testing.assert_array_equal(drawn[class_map == 0], image[class_map == 0])
    colours = distinct_colours(3)
    inside = np.s_[41:59, 1:199]
    expected = (image[inside].astype(float) + colours[0]) / 2
    assert np.abs(drawn[inside].astype(float) - expected).max() <= 1
    assert (drawn[40] == colours[0]).all(), "the outline is solid"
    assert (drawn[10, 50] == colours[2]).all()


def test_the_legend_stands_below_and_names_what_is_there_by_its_colour() -> None:
    image, class_map = _scene()
    plain = class_overlay(image, class_map, _NAMES, legend=False)
    drawn = class_overlay(image, class_map, _NAMES)
    assert drawn.shape[1] >= 200
    np.testing.assert_array_equal(drawn[:60, :200], plain)
    strip = drawn[60:].reshape(-1, 3)
    present = [bool((strip == colour).all(axis=1).any()) for colour in distinct_colours(3)]
    assert present == [True, False, True]


def test_a_narrow_picture_is_given_a_legend_wide_enough_to_read() -> None:
    image, class_map = np.zeros((20, 8, 3), np.uint8), np.ones((20, 8), np.int32)
    drawn = class_overlay(image, class_map, ("a rather long name",))
    assert drawn.shape[1] > 100
    assert (drawn[:20, 8:] == 255).all()
    empty = class_overlay(image, np.zeros((20, 8), np.int32), ("a rather long name",))
    np.testing.assert_array_equal(empty[:20, :8], image)


def test_pictures_that_do_not_fit_are_refused() -> None:
    image, class_map = _scene()
    with pytest.raises(ImageError, match=r"of \(60, 200\).*this one is \(60, 100\)"):
        class_overlay(image[:, :100], class_map, _NAMES)
    with pytest.raises(ImageError, match="complex128"):
        class_overlay(image.astype(complex), class_map, _NAMES)
