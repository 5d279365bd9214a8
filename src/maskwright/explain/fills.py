"""What stands in a picture where something is taken away."""

from __future__ import annotations

from typing import Literal, TypeAlias

import cv2
import numpy as np
from jaxtyping import UInt8

__all__ = ["Fill", "filling_of"]

Fill: TypeAlias = Literal["mean", "blur"]
"""The picture's mean colour, or the picture so blurred that only its broad light is left."""

_BLUR = 0.1
"""Standard deviation of the blur by the picture's short side. RISE (Petsiuk et al. 2018) blurs
less, but leaves objects as blobs, which detectors of blobs (nuclei) still find."""


def filling_of(image: UInt8[np.ndarray, "h w 3"], fill: Fill) -> UInt8[np.ndarray, "h w 3"]:
    """Return the picture without what is in it, of which covered parts are taken.

    >>> filling_of(np.array([[[0, 0, 0], [10, 20, 30]]], np.uint8), "mean")[0, 0].tolist()
    [5, 10, 15]
    """
    if fill == "mean":
        mean = np.rint(image.reshape(-1, 3).mean(axis=0)).astype(np.uint8)
        return np.broadcast_to(mean, image.shape).copy()
    sigma = max(1.0, _BLUR * min(image.shape[:2]))
    blurred: np.ndarray = cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
    return blurred
