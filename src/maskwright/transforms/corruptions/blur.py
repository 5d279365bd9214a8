"""Blur: out of focus, moved, zoomed. At the border the outermost pixels go on outwards."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float32, Float64

from maskwright.transforms.corruptions.corruption import Pixels

__all__ = [
    "defocus_blur",
    "disc_kernel",
    "gaussian_blur",
    "motion_blur",
    "motion_kernel",
    "zoom_blur",
]

_PARTS = 8
"""A pixel of a disc is this many samples a side; a moving point makes so many stops a pixel."""


def gaussian_blur(
    pixels: Pixels, deviation: float, scale: float, _rng: np.random.Generator
) -> Pixels:
    """Blur by a Gaussian of this standard deviation in pixels, cut at four deviations."""
    sigma = deviation * scale
    side = 2 * max(1, round(4 * sigma)) + 1
    return _float32(cv2.GaussianBlur(pixels, (side, side), sigma, borderType=cv2.BORDER_REPLICATE))


def defocus_blur(pixels: Pixels, radius: float, scale: float, _rng: np.random.Generator) -> Pixels:
    """Spread every point over a disc of this radius in pixels: a lens out of focus.

    The rim's pixels count by how much of them lies in the disc; ImageNet-C takes them whole and
    smooths the disc by a narrow Gaussian against the steps.
    """
    return _convolve(pixels, disc_kernel(radius * scale))


def motion_blur(
    pixels: Pixels,
    level: tuple[float, float],
    scale: float,
    rng: np.random.Generator,
    *,
    angles: tuple[float, float] = (-45.0, 45.0),
) -> Pixels:
    """Move every point along a line as ImageMagick does; see `motion_kernel`.

    Args:
        pixels: The picture.
        level: Half the length of the way, and the standard deviation of its weights, in pixels.
        scale: Of both.
        rng: Draws the direction.
        angles: Range of the direction, in degrees.
    """
    half, deviation = level
    angle = rng.uniform(*angles)
    return _convolve(pixels, motion_kernel(2 * half * scale, deviation * scale, angle))


def zoom_blur(
    pixels: Pixels, level: tuple[float, float], _scale: float, _rng: np.random.Generator
) -> Pixels:
    """Average enlargements about the centre: a camera that moves towards the scene.

    ImageNet-C enlarges by 1 to `largest`, on average by more than 1, which carries objects away
    from their masks by up to a twelfth of the picture. So enlargements are divided by their mean
    here: the blur is the same, and objects stay, on average, where the truth has them.

    Args:
        pixels: The picture.
        level: The largest enlargement, and the step from one to the next.
        _scale: Not needed: an enlargement is no length.
        _rng: Not needed.
    """
    largest, step = level
    factors = np.arange(1.0, largest + step / 2, step)
    factors = np.append(factors, 1.0)  # the picture itself counts once more
    height, width = pixels.shape[:2]
    centre = np.array([width - 1, height - 1]) / 2
    total = np.zeros(pixels.shape, np.float32)
    for factor in factors / factors.mean():
        shift = centre * (1 - factor)
        matrix = np.array([[factor, 0, shift[0]], [0, factor, shift[1]]])
        total += cv2.warpAffine(
            pixels, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
    return total / np.float32(len(factors))


def disc_kernel(radius: float) -> Float64[np.ndarray, "k k"]:
    """Return an evenly filled disc of this radius in pixels, sum 1; the side is odd."""
    half = int(np.ceil(radius))
    side = 2 * half + 1
    places = (np.arange(side * _PARTS) + 0.5) / _PARTS - side / 2
    inside = np.hypot(places[:, None], places[None, :]) <= radius
    covered = inside.reshape(side, _PARTS, side, _PARTS).mean(axis=(1, 3))
    if not covered.any():
        covered[half, half] = 1.0
    kernel: np.ndarray = covered / covered.sum()
    return kernel


def motion_kernel(length: float, deviation: float, angle: float) -> Float64[np.ndarray, "k k"]:
    """Return the trace of a point that fades while it moves, sum 1; the side is odd.

    Weights fall as one half of a Gaussian. The trace is moved so that its mean lies in the middle:
    ImageNet-C's begins there, which carries objects away from their masks.

    Args:
        length: Of the way, in pixels.
        deviation: Of the Gaussian, in pixels.
        angle: Of the way, in degrees.
    """
    stops = np.arange(0.0, max(length, 0.0) + 0.5 / _PARTS, 1 / _PARTS)
    weights = np.exp(-0.5 * (stops / deviation) ** 2)
    weights /= weights.sum()
    along = stops - weights @ stops
    direction = np.deg2rad(angle)
    x, y = along * np.cos(direction), along * np.sin(direction)
    half = int(np.ceil(np.abs(along).max())) + 1
    kernel = np.zeros((2 * half + 1, 2 * half + 1))
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    for dx in (0, 1):
        for dy in (0, 1):
            share = np.abs(1 - dx - (x - left)) * np.abs(1 - dy - (y - top))
            np.add.at(kernel, (top + dy + half, left + dx + half), weights * share)
    return kernel


def _convolve(pixels: np.ndarray, kernel: Float64[np.ndarray, "k k"]) -> Float32[np.ndarray, ...]:
    """Spread every point by the kernel; cv2 correlates, so the kernel is turned by a half."""
    turned = np.ascontiguousarray(kernel[::-1, ::-1])
    return _float32(cv2.filter2D(pixels, -1, turned, borderType=cv2.BORDER_REPLICATE))


def _float32(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32, copy=False)
