"""Heat maps over pictures: what a model looks at, with the outline of the object in question."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from maskwright.masks import Masks

__all__ = ["heat_overlay"]

_OUTLINE = (0, 230, 255)  # cyan: the one hue that the heat's colours (black, red, yellow) lack
_FADED = 0.55  # of the picture's brightness, so that heat stands out on bright pictures
_MOST_OPAQUE = 0.85


def heat_overlay(
    image: UInt8[np.ndarray, "h w 3"],
    heat: Float32[np.ndarray, "h w"],
    masks: Masks,
    *,
    window: tuple[int, int, int, int] | None = None,
    side: int | None = None,
) -> UInt8[np.ndarray, "_ _ 3"]:
    """Return the picture in grey with the heat on it and objects outlined.

    Args:
        image: The picture, RGB.
        heat: 0 where the picture stays to be seen, to 1 (hottest); a map without heat leaves the
            grey picture.
        masks: Objects to outline, in its frame.
        window: left, top, right, bottom of the part to show; None for all.
        side: Longer side of the result in pixels; None keeps the picture's pixels.
    """
    height, width = image.shape[:2]
    left, top, right, bottom = window or (0, 0, width, height)
    part = np.ascontiguousarray(image[top:bottom, left:right])
    scale = 1.0 if side is None else side / max(part.shape[:2])
    size = (max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    grey = cv2.cvtColor(cv2.resize(part, size, interpolation=method), cv2.COLOR_RGB2GRAY)
    warm = cv2.resize(heat[top:bottom, left:right], size, interpolation=cv2.INTER_LINEAR)
    levels = np.rint(255 * np.clip(warm, 0, 1)).astype(np.uint8)
    colours = cv2.applyColorMap(levels, cv2.COLORMAP_HOT)[..., ::-1]
    # the square root shows what is half as hot as more than a shade
    opacity = (_MOST_OPAQUE * np.sqrt(levels / 255.0))[..., None]
    canvas = (1 - opacity) * (_FADED * grey[..., None]) + opacity * colours
    drawn = np.ascontiguousarray(np.rint(canvas).astype(np.uint8))
    _outline(drawn, masks.crop((left, top, right, bottom)))
    return drawn


def _outline(canvas: UInt8[np.ndarray, "h w 3"], masks: Masks) -> None:
    """Draw the borders of the masks, scaled to the canvas."""
    thickness = max(1, round(min(canvas.shape[:2]) / 500))
    for k in range(len(masks)):
        bitmap, (x, y) = masks.bitmap(k)
        if not bitmap.size:
            continue
        whole = np.zeros(masks.image_size, np.uint8)
        whole[y : y + bitmap.shape[0], x : x + bitmap.shape[1]] = bitmap
        shown = cv2.resize(whole, canvas.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        rings, _ = cv2.findContours(shown, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(canvas, rings, -1, _OUTLINE, thickness, cv2.LINE_AA)
