"""What files and small pictures lose."""

from __future__ import annotations

import cv2
import numpy as np

from maskwright.errors import ImageError
from maskwright.transforms.corruptions.corruption import Pixels

__all__ = ["jpeg", "pixelate"]


def jpeg(pixels: Pixels, quality: int, _scale: float, _rng: np.random.Generator) -> Pixels:
    """Write to JPEG of this quality and read it again. Blocks stay 8 pixels at any size.

    Raises:
        ImageError: The picture is larger than JPEG can hold (65,535 pixels a side).
    """
    levels = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    is_written, data = cv2.imencode(
        ".jpg", cv2.cvtColor(levels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    if not is_written:
        raise ImageError(f"a picture of {pixels.shape[:2]} (height, width) is too large for JPEG")
    read = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
    assert read is not None
    return read.astype(np.float32) / np.float32(255)


def pixelate(pixels: Pixels, share: float, scale: float, _rng: np.random.Generator) -> Pixels:
    """Average down to this share of the sides and enlarge again without smoothing.

    Squares of ImageNet-C's pictures are 1 / share pixels; they grow with `scale`.
    """
    height, width = pixels.shape[:2]
    shrunk = min(share / scale, 1.0)
    small = (max(1, int(width * shrunk)), max(1, int(height * shrunk)))
    averaged = cv2.resize(pixels, small, interpolation=cv2.INTER_AREA)
    enlarged: Pixels = cv2.resize(averaged, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    return enlarged
