"""What light does to pictures: exposure, and stray light or fog that lies over them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import cv2
import numpy as np
from jaxtyping import Float32, Shaped
from pydantic import Field

from maskwright.transforms.options import Positive, Probability, Share, check_options

__all__ = ["Exposure", "Veil"]

_Offset = Annotated[float, Field(ge=-1.0, le=1.0)]
_GRIDS = (2, 9)
"""Fewest cells of a cloud along a side, and one more than the most."""


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """All values bent and shifted alike: too long or short an exposure, another black level.

    A value v of the range 0 to 1 becomes v ** gamma + offset. Brightness of `Augmentation`
    multiplies, which leaves black what it was; this does not.

    Args:
        probability: How often.
        offset: Range of what is added, in parts of the range of values.
        gamma: Range of the exponent, drawn uniformly in its logarithm; above 1 darkens.
    """

    probability: Probability = 0.0
    offset: tuple[_Offset, _Offset] = (-0.25, 0.25)
    gamma: tuple[Positive, Positive] = (0.6, 1.6)

    def __post_init__(self) -> None:
        check_options(self, ranges=("offset", "gamma"))

    def apply(
        self, image: Shaped[np.ndarray, "h w c"], rng: np.random.Generator
    ) -> Shaped[np.ndarray, "h w c"]:
        """Return the picture at another exposure, clipped to its range of values."""
        offset = rng.uniform(*self.offset)
        gamma = np.exp(rng.uniform(*np.log(self.gamma)))
        if image.dtype == np.uint8:
            levels = np.linspace(0, 1, 256) ** gamma + offset
            table = np.rint(255 * levels.clip(0, 1)).astype(np.uint8)
            changed: np.ndarray = cv2.LUT(np.ascontiguousarray(image), table)
            return changed.reshape(image.shape)
        low, span = _range(image)
        values = ((image.astype(np.float32) - low) / span) ** np.float32(gamma)
        return _as_stored((values + np.float32(offset)).clip(0, 1) * span + low, image)


@dataclass(frozen=True, kw_only=True)
class Veil:
    """A light laid over the picture: fog, haze, stray light, dirt on a lens, an open iris.

    A value v becomes v + s (light - v), so contrast falls as the veil gets thicker. Half of all
    veils are even, half are clouds, whose strength s varies smoothly from nothing to all of it.

    Args:
        probability: How often.
        strength: Range of s, 0 to 1.
        light: Range of the veil's value, 0 black to 1 white; the same for all channels.
    """

    probability: Probability = 0.0
    strength: tuple[Share, Share] = (0.1, 0.6)
    light: tuple[Share, Share] = (0.4, 1.0)

    def __post_init__(self) -> None:
        check_options(self, ranges=("strength", "light"))

    def apply(
        self, image: Shaped[np.ndarray, "h w c"], rng: np.random.Generator
    ) -> Shaped[np.ndarray, "h w c"]:
        """Return the picture behind one veil."""
        light, strength = rng.uniform(*self.light), rng.uniform(*self.strength)
        low, span = (0.0, 255.0) if image.dtype == np.uint8 else _range(image)
        if rng.random() < 0.5:
            thickness: Float32[np.ndarray, "h w 1"] | float = strength
        else:
            thickness = np.float32(strength) * _clouds(image.shape[:2], rng)[..., None]
        values = image.astype(np.float32)
        return _as_stored(values + thickness * (np.float32(low + light * span) - values), image)


def _clouds(size: tuple[int, int], rng: np.random.Generator) -> Float32[np.ndarray, "h w"]:
    """A smooth field of 0 to 1."""
    grid = rng.random(rng.integers(*_GRIDS, size=2)).astype(np.float32)
    field: np.ndarray = cv2.resize(grid, size[::-1], interpolation=cv2.INTER_CUBIC)
    return field.clip(0, 1)


def _range(image: Shaped[np.ndarray, "h w c"]) -> tuple[float, float]:
    """The lowest value and how far above it the highest lies, for values that are not bytes."""
    low, high = float(image.min()), float(image.max())
    return low, (high - low) or 1.0


def _as_stored(
    values: Float32[np.ndarray, "h w c"], image: Shaped[np.ndarray, "h w c"]
) -> Shaped[np.ndarray, "h w c"]:
    if image.dtype.kind == "f":
        return values.astype(image.dtype)
    limits = np.iinfo(image.dtype)
    stored: np.ndarray = np.rint(values).clip(limits.min, limits.max).astype(image.dtype)
    return stored
