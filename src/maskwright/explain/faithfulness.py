"""Is a saliency map right? Delete and insert what it points at, and see what the model says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, Float64, UInt8

__all__ = ["Faithfulness", "measure_faithfulness"]


@dataclass(frozen=True, kw_only=True)
class Faithfulness:
    """Areas under the curves of deletion and insertion, RISE (Petsiuk et al. 2018, section 4.1).

    By the score of the whole picture, so 1 is where nothing was lost, and beyond 1 where the
    object is found better on part of its surroundings. A faithful map has a low deletion and a
    high insertion, next to those of an order by chance.

    Args:
        deletion: Mean score while pixels go, the hottest first.
        insertion: Mean score while pixels come, the hottest first.
        chance_deletion: The same in a smooth order by chance.
        chance_insertion: Likewise.
    """

    deletion: float
    insertion: float
    chance_deletion: float
    chance_insertion: float


def measure_faithfulness(
    score: Callable[[Iterator[UInt8[np.ndarray, "h w 3"]]], Float64[np.ndarray, " n"]],
    image: UInt8[np.ndarray, "h w 3"],
    filling: UInt8[np.ndarray, "h w 3"],
    heat: Float32[np.ndarray, "h w"],
    window: tuple[int, int, int, int],
    *,
    num_steps: int = 12,
    seed: int = 0,
) -> Faithfulness | None:
    """Return how well a map says what the model needs; None if it sees nothing as it is.

    Deviations from RISE: pixels go and come inside a window about the object, since of a large
    picture an object is less than a step; both start from one filling.

    Args:
        score: Of copies of the picture.
        image: The picture.
        filling: What stands where a pixel is not.
        heat: The map, the hottest pixels first.
        window: left, top, right, bottom in pixels.
        num_steps: Steps of equally many pixels.
        seed: Of the order by chance.
    """
    left, top, right, bottom = window
    part = heat[top:bottom, left:right]
    noise = np.random.default_rng(seed).random(part.shape)
    # blurred, so that chance takes whole patches as a map does: single pixels break edges
    by_chance = cv2.GaussianBlur(noise, (0, 0), max(1.0, 0.05 * max(part.shape)))
    copies = _Copies(image, filling, window)
    whole = float(score(iter([image]))[0])
    if whole <= 0:
        return None
    areas = []
    for order in (part, by_chance):
        ranks = np.argsort(-order.ravel(), kind="stable")
        for inserts in (False, True):
            curve = score(copies.steps(ranks, num_steps, inserts=inserts)) / whole
            areas.append(float(np.trapezoid(curve, dx=1 / num_steps)))
    return Faithfulness(
        deletion=areas[0],
        insertion=areas[1],
        chance_deletion=areas[2],
        chance_insertion=areas[3],
    )


@dataclass(frozen=True)
class _Copies:
    image: UInt8[np.ndarray, "h w 3"]
    filling: UInt8[np.ndarray, "h w 3"]
    window: tuple[int, int, int, int]

    def steps(
        self, ranks: np.ndarray, num_steps: int, *, inserts: bool
    ) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        """Yield the copies from none to all pixels of the window gone, or come."""
        left, top, right, bottom = self.window
        old, new = (self.filling, self.image) if inserts else (self.image, self.filling)
        for step in range(num_steps + 1):
            chosen = ranks[: len(ranks) * step // num_steps]
            copy = self.image.copy()
            pixels = old[top:bottom, left:right].reshape(-1, 3).copy()
            pixels[chosen] = new[top:bottom, left:right].reshape(-1, 3)[chosen]
            copy[top:bottom, left:right] = pixels.reshape(bottom - top, right - left, 3)
            yield copy
