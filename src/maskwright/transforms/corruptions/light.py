"""Light: too bright, too dark, too flat."""

from __future__ import annotations

import cv2
import numpy as np

from maskwright.transforms.corruptions.corruption import Pixels

__all__ = ["contrast", "lightness"]


def lightness(pixels: Pixels, change: float, _scale: float, _rng: np.random.Generator) -> Pixels:
    """Add to the value of HSV, which is the largest of the three colours; below 0 darkens."""
    hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV)
    hsv[:, :, 2] = np.clip(hsv[:, :, 2] + np.float32(change), 0, 1)
    changed: Pixels = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    return changed


def contrast(pixels: Pixels, factor: float, _scale: float, _rng: np.random.Generator) -> Pixels:
    """Multiply the distance from each colour's mean over the picture."""
    means = pixels.mean(axis=(0, 1), keepdims=True)
    flattened: Pixels = (pixels - means) * np.float32(factor) + means
    return flattened
