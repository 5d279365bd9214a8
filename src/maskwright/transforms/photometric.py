"""Changes of colour, composed like the geometric ones: one linear map, one pass over the pixels.

Brightness, contrast, saturation and hue are all affine in RGB (Haeberli, "Matrix Operations for
Image Processing", 1993), so a draw of all four is one (3, 4) matrix and values are clipped once,
at the end. Hue is turned about the grey axis of YIQ, which keeps the luma; torchvision turns it in
HSV, which does not.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float64, Shaped

__all__ = ["colour_matrix", "shift_colours"]

# Luma of ITU-R BT.601, as used by JPEG, Pillow and torchvision.
_LUMA = np.array([0.299, 0.587, 0.114])
# RGB -> YIQ of the FCC's NTSC standard, 1953.
_YIQ = np.array([_LUMA, [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])


def colour_matrix(
    *, brightness: float, contrast: float, saturation: float, hue: float, mean_luma: float
) -> Float64[np.ndarray, "3 4"]:
    """Return the affine map of RGB for one draw of the four changes.

    Args:
        brightness: Factor of all values; 1 changes nothing.
        contrast: Factor of the distance from the picture's mean luma; 1 changes nothing.
        saturation: Factor of the distance from grey; 1 changes nothing, 0 gives grey.
        hue: Turns about the grey axis: 0 changes nothing, 0.5 gives the complement.
        mean_luma: Mean luma of the picture, 0 to 255, before any change.
    """
    to_grey = np.tile(_LUMA, (3, 1))
    # Chroma angles of YIQ run against the colour wheel (red, yellow, green, ...).
    angle = -2 * np.pi * hue
    turn = np.array(
        [[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]]
    )
    hue_matrix = np.linalg.inv(_YIQ) @ turn @ _YIQ
    saturation_matrix = saturation * np.eye(3) + (1 - saturation) * to_grey
    linear = hue_matrix @ saturation_matrix * (brightness * contrast)
    # Saturation and hue leave grey as it is, so the offset passes through them unchanged.
    offset = np.full((3, 1), (1 - contrast) * brightness * mean_luma)
    return np.hstack([linear, offset])


def shift_colours(
    image: Shaped[np.ndarray, "h w c"],
    *,
    brightness: float = 1.0,
    contrast: float = 1.0,
    saturation: float = 1.0,
    hue: float = 0.0,
) -> Shaped[np.ndarray, "h w c"]:
    """Return the picture with its colours changed; values are rounded and clipped once.

    Floats are neither rounded nor clipped. Other than three channels are no colours: they have
    brightness and contrast, about the mean of each channel, and no saturation or hue.

    Args:
        image: RGB of 8 or 16 bits or float32; or any channels.
        brightness: See `colour_matrix`.
        contrast: See `colour_matrix`.
        saturation: See `colour_matrix`.
        hue: See `colour_matrix`.

    >>> shift_colours(np.full((1, 1, 3), 100, np.uint8), brightness=1.5)
    array([[[150, 150, 150]]], dtype=uint8)
    """
    if image.shape[2] != 3:
        return _shift_values(image, brightness, contrast)
    matrix = colour_matrix(
        brightness=brightness,
        contrast=contrast,
        saturation=saturation,
        hue=hue,
        mean_luma=float(np.dot(_LUMA, cv2.mean(image)[:3])),
    )
    shifted: np.ndarray = cv2.transform(image, matrix)
    return shifted


def _shift_values(
    image: Shaped[np.ndarray, "h w c"], brightness: float, contrast: float
) -> Shaped[np.ndarray, "h w c"]:
    mean = image.mean(axis=(0, 1), dtype=np.float64)
    offset = ((1 - contrast) * brightness * mean).astype(np.float32)
    shifted = image * np.float32(brightness * contrast) + offset
    if image.dtype == np.float32:
        return np.asarray(shifted, np.float32)
    top = np.iinfo(image.dtype).max
    limited: np.ndarray = np.rint(np.clip(shifted, 0, top)).astype(image.dtype)
    return limited
