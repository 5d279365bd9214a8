"""Pictures of any format as RGB of 8 bits, to be looked at: not for measuring."""

from __future__ import annotations

import numpy as np
from jaxtyping import Shaped, UInt8

from maskwright.errors import ImageError

__all__ = ["displayed"]

_LOW, _HIGH = 0.1, 99.9  # percentiles: a few hot or dead pixels do not decide the contrast
_SAMPLES = 1_000_000


def displayed(
    image: Shaped[np.ndarray, "h w c"] | Shaped[np.ndarray, "h w"],
) -> UInt8[np.ndarray, "h w 3"]:
    """Return a picture as RGB of 8 bits.

    8 bits of grey or RGB stay as they are. Other values are stretched, each channel from its 0.1st
    to its 99.9th percentile; a constant channel is black. One channel is grey, two are red and
    green, of more than three the first three are shown.

    Raises:
        ImageError: Not (h, w, c) or (h, w), or values that are not finite numbers.

    >>> displayed(np.array([[0, 30_000, 60_000]], np.uint16))[0, :, 0].tolist()
    [0, 128, 255]
    """
    if image.ndim not in (2, 3) or image.dtype.kind not in "uif":
        raise ImageError(
            f"a picture to draw on must be (h, w, c) or (h, w) of numbers, "
            f"got {image.shape} {image.dtype}"
        )
    channels = image[:, :, None] if image.ndim == 2 else image[:, :, :3]
    if channels.shape[2] == 2:
        channels = np.concatenate([channels, np.zeros_like(channels[:, :, :1])], axis=2)
    if channels.dtype != np.uint8:
        channels = np.dstack([_stretched(channels[:, :, c]) for c in range(channels.shape[2])])
    return np.repeat(channels, 3, axis=2) if channels.shape[2] == 1 else channels


def _stretched(channel: Shaped[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    some = channel.reshape(-1)[:: max(1, channel.size // _SAMPLES)]
    low, high = np.percentile(some, [_LOW, _HIGH]) if some.size else (0.0, 1.0)
    if not np.isfinite([low, high]).all():
        raise ImageError("a picture to draw on holds values that are not finite")
    if high <= low:
        return np.zeros(channel.shape, np.uint8)
    share = (channel.astype(np.float32) - np.float32(low)) / np.float32(high - low)
    stretched: np.ndarray = np.rint(255 * np.clip(share, 0, 1)).astype(np.uint8)
    return stretched
