"""What lies between the camera and the scene: fog, snow, rain, frost on the pane.

Patterns are drawn anew for every picture. Their grain is scaled with the picture.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float32

from maskwright.transforms.corruptions.blur import motion_blur
from maskwright.transforms.corruptions.corruption import Pixels

__all__ = ["fog", "frost", "plasma", "rain", "snow"]

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def fog(
    pixels: Pixels, level: tuple[float, float], scale: float, rng: np.random.Generator
) -> Pixels:
    """Add clouds and scale back to the brightest value that was there.

    Args:
        pixels: The picture.
        level: How thick the clouds are, and how fast their finer parts fade (see `plasma`).
        scale: Of the clouds.
        rng: Draws the clouds.
    """
    thickness, decay = level
    brightest = np.float32(pixels.max())
    clouds = plasma(pixels.shape[:2], decay, scale, rng)[:, :, None]
    return (pixels + np.float32(thickness) * clouds) * (
        brightest / (brightest + np.float32(thickness))
    )


def snow(
    pixels: Pixels, level: tuple[float, ...], scale: float, rng: np.random.Generator
) -> Pixels:
    """Let flakes fall before a whitened picture.

    Args:
        pixels: The picture.
        level: Mean and deviation of the flakes' noise, its enlargement, the threshold below which
            there is none, half length and deviation of their fall (see `motion_blur`), and the
            share of the picture that is not whitened.
        scale: Of the flakes.
        rng: Draws the flakes and the direction of their fall.
    """
    mean, deviation, enlargement, threshold, half, fade, kept = level
    size = pixels.shape[:2]
    seed = rng.integers(2**32)
    noise = np.random.default_rng(seed).standard_normal(
        _coarse(size, enlargement * scale), dtype=np.float32
    )
    flakes = _enlarged(np.float32(mean) + np.float32(deviation) * noise, size)
    flakes = np.clip(np.where(flakes < threshold, np.float32(0), flakes), 0, 1)
    falling = motion_blur(flakes, (half, fade), scale, rng, angles=(45.0, 135.0))[:, :, None]
    grey = (pixels @ _LUMA)[:, :, None]
    whitened = np.maximum(pixels, grey * 1.5 + 0.5)
    mixed = np.float32(kept) * pixels + np.float32(1 - kept) * whitened
    snowy: Pixels = mixed + falling + falling[::-1, ::-1]
    return snowy


def frost(
    pixels: Pixels, level: tuple[float, float], scale: float, rng: np.random.Generator
) -> Pixels:
    """Lay ice over a dimmed picture.

    ImageNet-C takes photographs of frosted panes. This is made up: a bluish veil with bright
    ridges, where two clouds of `plasma` are near their middle. Shares of picture and ice are
    ImageNet-C's.

    Args:
        pixels: The picture.
        level: Shares of the picture and of the ice.
        scale: Of the ice.
        rng: Draws the ice.
    """
    picture_share, ice_share = level
    size = pixels.shape[:2]
    veil, ridged = plasma(size, 2.0, scale, rng), plasma(size, 1.6, scale, rng)
    ridges = (1 - np.abs(2 * ridged - 1)) ** 4
    ice = (0.35 * veil + 0.65 * ridges)[:, :, None] * np.array([0.9, 0.97, 1.0], np.float32)
    frosted: Pixels = np.float32(picture_share) * pixels + np.float32(ice_share) * ice
    return frosted


def rain(
    pixels: Pixels, level: tuple[float, float], scale: float, rng: np.random.Generator
) -> Pixels:
    """Draw bright streaks before a dimmed picture. Not of ImageNet-C, which has no rain.

    Args:
        pixels: The picture.
        level: Part of the picture where a drop begins, and how bright the rest still is.
        scale: Of the streaks, which are 20 pixels long and one wide.
        rng: Draws the drops and their direction, within 15 degrees of straight down.
    """
    density, light = level
    size = pixels.shape[:2]
    angles = (75.0, 105.0)
    chance = rng.random(_coarse(size, scale), dtype=np.float32)
    drops = _enlarged((chance < density).astype(np.float32), size)
    streaks = motion_blur(drops, (10.0, 10.0), scale, rng, angles=angles)
    bright = np.minimum(streaks * np.float32(8 * scale), 1)[:, :, None]
    return np.float32(light) * pixels * (1 - 0.6 * bright) + 0.6 * bright


def plasma(
    size: tuple[int, int], decay: float, scale: float, rng: np.random.Generator
) -> Float32[np.ndarray, "h w"]:
    """Return clouds from 0 to 1: uniform noise at every grain from the picture's to a pixel's.

    Each grain is half the one before and its amplitude is divided by `decay`, as in the diamond
    and square method that ImageNet-C uses; here the grains are summed.
    """
    grain = 256 * scale  # ImageNet-C's map for pictures of 224 pixels
    clouds = np.zeros(size, np.float32)
    amplitude = 1.0
    while grain >= max(scale, 1):
        noise = rng.uniform(-1, 1, _coarse(size, grain, more=1)).astype(np.float32)
        clouds += np.float32(amplitude) * _enlarged(noise, size)
        amplitude /= decay
        grain /= 2
    clouds -= clouds.min()
    clouds /= max(float(clouds.max()), 1e-6)
    return clouds


def _coarse(size: tuple[int, int], grain: float, *, more: int = 0) -> tuple[int, int]:
    """Cells of this size, at least one, that cover a picture."""
    height, width = (int(np.ceil(side / max(grain, 1.0))) + more for side in size)
    return height, width


def _enlarged(
    values: Float32[np.ndarray, "a b"], size: tuple[int, int]
) -> Float32[np.ndarray, "h w"]:
    enlarged: np.ndarray = cv2.resize(values, size[::-1], interpolation=cv2.INTER_LINEAR)
    return enlarged
