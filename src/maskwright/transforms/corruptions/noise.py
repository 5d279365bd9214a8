"""Noise, independent by pixel and channel. Nothing here has a length, so nothing is scaled."""

from __future__ import annotations

import numpy as np

from maskwright.transforms.corruptions.corruption import Pixels

__all__ = ["gaussian_noise", "impulse_noise", "shot_noise"]


def gaussian_noise(
    pixels: Pixels, deviation: float, _scale: float, rng: np.random.Generator
) -> Pixels:
    """Add normal numbers of this standard deviation, as a share of white: a sensor's own noise."""
    noise = np.float32(deviation) * rng.standard_normal(pixels.shape, dtype=np.float32)
    noisy: Pixels = pixels + noise
    return noisy


def shot_noise(pixels: Pixels, photons: float, _scale: float, rng: np.random.Generator) -> Pixels:
    """Count photons, so many for white on average: little light."""
    counts = rng.poisson(np.clip(pixels, 0, 1).astype(np.float64) * photons)
    noisy: Pixels = (counts / photons).astype(np.float32)
    return noisy


def impulse_noise(pixels: Pixels, share: float, _scale: float, rng: np.random.Generator) -> Pixels:
    """Make this share of the values black or white, by equal chances: broken cells, lost bits."""
    chance = rng.random(pixels.shape, dtype=np.float32)
    noisy: Pixels = np.where(chance < share / 2, np.float32(0), pixels)
    return np.where(chance >= 1 - share / 2, np.float32(1), noisy)
