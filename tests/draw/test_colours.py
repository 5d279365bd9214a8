from __future__ import annotations

import numpy as np
from skimage.color import deltaE_ciede2000, rgb2lab

from maskwright.draw.colours import distinct_colours, ink_on


def test_the_first_colours_do_not_depend_on_how_many_are_asked_for() -> None:
    np.testing.assert_array_equal(distinct_colours(100)[:7], distinct_colours(7))


def test_no_objects_need_no_colours() -> None:
    assert distinct_colours(0).shape == (0, 3)


def test_colours_that_follow_each_other_look_different() -> None:
    lab = rgb2lab(distinct_colours(200)[None] / 255.0)[0]
    assert deltaE_ciede2000(lab[1:], lab[:-1]).min() > 25  # about 2 is just noticeable
    assert deltaE_ciede2000(lab[2:], lab[:-2]).min() > 15


def test_eight_colours_are_all_far_apart() -> None:
    lab = rgb2lab(distinct_colours(8)[None] / 255.0)[0]
    apart = deltaE_ciede2000(lab[:, None], lab[None])
    assert apart[~np.eye(8, dtype=bool)].min() > 12


def test_ink_has_the_contrast_that_wcag_wants_of_text() -> None:
    for colour in distinct_colours(100):
        ink, plate = (_luminance(np.array(c)) for c in (ink_on(colour), colour))
        contrast = (max(ink, plate) + 0.05) / (min(ink, plate) + 0.05)
        assert contrast >= 4.5


def _luminance(colour: np.ndarray) -> float:
    share = colour / 255.0
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])
