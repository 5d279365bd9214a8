"""The random numbers of one augmented picture, drawn alike whatever the options are.

So turning one option on or widening its range leaves what the others do as it was, which is what
one wants when two settings are compared.
"""

from __future__ import annotations

from typing import final

import numpy as np
from jaxtyping import Float64

__all__ = ["Chances"]

_NAMED = (
    "quarter_turn",
    "rotation",
    "scale",
    "translation",
    "perspective",
    "colour",
    "blur",
    "noise",
    "jpeg",
    "cut_out",
    "mosaic",
    "copy_paste",
    "mix_up",
    "exposure",
    "veil",
)
"""Whether and how each of these happens has numbers of its own; new names go to the end."""


@final
class Chances:
    """Draws everything at once from the generator of a picture.

    Args:
        rng: Where randomness comes from; always moved on by the same amount.
    """

    geometry: Float64[np.ndarray, " 8"]
    """Uniform in [0, 1): flips, turn, factor, shift (x, y), window (x, y)."""

    colours: Float64[np.ndarray, " 4"]
    """Uniform in [-1, 1): brightness, contrast, saturation, hue."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.geometry = rng.random(8)
        self.colours = 2 * rng.random(4) - 1
        words = rng.integers(2**63, size=(len(_NAMED), 2))
        self._gates = dict(zip(_NAMED, (words[:, 0] / 2**63).tolist(), strict=True))
        self._seeds = dict(zip(_NAMED, words[:, 1].tolist(), strict=True))

    def happens(self, name: str, probability: float) -> bool:
        """Whether what has this probability happens to this picture."""
        return bool(self._gates[name] < probability)

    def generator(self, name: str) -> np.random.Generator:
        """The generator for how it happens."""
        return np.random.default_rng(self._seeds[name])
