"""What a method says of the pixels, and where it lies: in the mask, around it, elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import cv2
import numpy as np
from jaxtyping import Bool, Float32

from maskwright.masks import Masks

__all__ = ["Attribution", "Method", "Shares", "heat_of", "shares_of"]

Method: TypeAlias = Literal["gradients", "occlusion"]

_RING = 0.5
"""Width of an object's surroundings by the side of a square of its area."""
_SMOOTHING = 0.08
"""Standard deviation of the heat map's blur by the same side."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Attribution:
    """What each pixel of a picture adds to how much of an object is seen.

    Args:
        density: (h, w) float32, frame of the picture; above 0 where a pixel speaks for the
            object, below 0 where against it.
        method: How it was found.
        value: How much of the object is seen on the picture, 0 to 1.
        covered_value: And on the picture with all of it covered.
        gap: Of gradients, the sum of the density in the network's frame less the difference of
            the two values: the error of the integration. None of occlusion, where patches are
            covered one by one and need not add up.
    """

    density: Float32[np.ndarray, "h w"]
    method: Method
    value: float
    covered_value: float
    gap: float | None = None


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Where what speaks for an object lies; the three add up to 1, or are 0 if there is nothing.

    Args:
        inside: In its mask (or box, where there is no mask).
        around: In a ring about it, half as wide as a square of its area.
        elsewhere: In the rest of the picture.
        is_peak_inside: Whether the hottest pixel is in the mask (Zhang et al. 2016, "pointing
            game").
    """

    inside: float
    around: float
    elsewhere: float
    is_peak_inside: bool


def heat_of(density: Float32[np.ndarray, "h w"], area: float) -> Float32[np.ndarray, "h w"]:
    """Return what speaks for an object, smoothed by the object's size and scaled to 0..1.

    Gradients differ from pixel to pixel more than eyes, or patches that are covered, can follow.
    A map without anything above 0 is 0.

    Args:
        density: See `Attribution`.
        area: Of the object, in pixels.
    """
    sigma = max(1.0, _SMOOTHING * float(np.sqrt(area)))
    heat = np.maximum(cv2.GaussianBlur(density, (0, 0), sigma), 0)
    most = float(heat.max(initial=0.0))
    scaled: np.ndarray = (heat / most if most > 0 else heat).astype(np.float32)
    return scaled


def shares_of(density: Float32[np.ndarray, "h w"], mask: Masks) -> Shares:
    """Return where the positive part of a density lies.

    Args:
        density: See `Attribution`.
        mask: The object's, alone.
    """
    inside = mask.to_dense()[0]
    around = _grown(inside, _RING * float(np.sqrt(inside.sum()))) & ~inside
    positive = np.maximum(density, 0).astype(np.float64)
    total = positive.sum()
    if total <= 0:
        return Shares(inside=0.0, around=0.0, elsewhere=0.0, is_peak_inside=False)
    shares = [float(positive[region].sum() / total) for region in (inside, around)]
    heat = heat_of(density, float(inside.sum()))
    return Shares(
        inside=shares[0],
        around=shares[1],
        elsewhere=max(0.0, 1.0 - sum(shares)),
        is_peak_inside=bool(inside.flat[int(heat.argmax())]),
    )


def _grown(region: Bool[np.ndarray, "h w"], radius: float) -> Bool[np.ndarray, "h w"]:
    """Return the pixels no farther than `radius` from the region."""
    if not region.any():
        return region
    distance = cv2.distanceTransform((~region).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    grown: np.ndarray = distance <= max(1.0, radius)
    return grown
