"""Colours that tell many objects apart, on any picture."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8

__all__ = ["distinct_colours", "ink_on"]

# Turning by the golden section leaves the largest gaps between hues however many are taken.
_GOLDEN_TURN = (np.sqrt(5) - 1) / 2
# Lightness alternates as well: neighbours in the order stay apart for people who see few hues.
_LIGHTNESS = np.array([0.70, 0.60, 0.80])
_CHROMA = 0.19
_FIRST_HUE = 0.12  # a turn: orange, then blue, green, pink ...


def distinct_colours(count: int) -> UInt8[np.ndarray, "n 3"]:
    """Return `count` RGB colours; the first k are the same for every count.

    Hues turn by the golden section in OKLCH, where equal steps look equal (B. Ottosson, "A
    perceptual color space for image processing", 2020), while lightness cycles through three
    levels; chroma is reduced only where a screen cannot show it.

    >>> distinct_colours(2).shape, distinct_colours(0).shape
    ((2, 3), (0, 3))
    """
    order = np.arange(count)
    hue = 2 * np.pi * ((_FIRST_HUE + order * _GOLDEN_TURN) % 1.0)
    lightness = _LIGHTNESS[order % len(_LIGHTNESS)]
    linear = _oklch_to_linear_rgb(lightness, np.full(count, _CHROMA), hue)
    # The largest of twenty shares of the chroma that is still inside the screen's gamut.
    for share in np.linspace(0.95, 0.0, 20):
        outside = np.any((linear < 0) | (linear > 1), axis=1)
        paler = _oklch_to_linear_rgb(lightness, np.full(count, _CHROMA * share), hue)
        linear = np.where(outside[:, None], paler, linear)
    colours: np.ndarray = np.rint(255 * _gamma(np.clip(linear, 0, 1))).astype(np.uint8)
    return colours


def ink_on(colour: UInt8[np.ndarray, " 3"]) -> tuple[int, int, int]:
    """Return black or white, whichever reads better on `colour` (WCAG 2 contrast, 1.4.3).

    >>> ink_on(np.array([255, 230, 0], np.uint8)), ink_on(np.array([40, 30, 120], np.uint8))
    ((0, 0, 0), (255, 255, 255))
    """
    share = colour / 255.0
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    luminance = linear @ np.array([0.2126, 0.7152, 0.0722])
    # Equal contrast to black and to white: (L + 0.05) / 0.05 = 1.05 / (L + 0.05).
    return (0, 0, 0) if luminance > np.sqrt(1.05 * 0.05) - 0.05 else (255, 255, 255)


def _oklch_to_linear_rgb(
    lightness: Float[np.ndarray, " n"],
    chroma: Float[np.ndarray, " n"],
    hue: Float[np.ndarray, " n"],
) -> Float[np.ndarray, "n 3"]:
    """OKLCH to linear sRGB with Ottosson's matrices; outside [0, 1] where not displayable."""
    lab = np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], axis=1)
    to_cones = np.array(
        [
            [1.0, 0.3963377774, 0.2158037573],
            [1.0, -0.1055613458, -0.0638541728],
            [1.0, -0.0894841775, -1.2914855480],
        ]
    )
    to_rgb = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    linear: np.ndarray = ((lab @ to_cones.T) ** 3) @ to_rgb.T
    return linear


def _gamma(linear: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """The sRGB transfer curve (IEC 61966-2-1)."""
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
