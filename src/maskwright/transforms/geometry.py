"""Affine maps of pictures and masks, composed before anything is resampled.

A map is a (3, 3) float64 matrix that takes homogeneous points (x, y, 1) of the source picture to
the target picture. Points are in pixels with pixel (row i, column j) covering [j, j + 1) x
[i, i + 1), so the centre of the first pixel is (0.5, 0.5) and mirroring a picture of width w is
x -> w - x. Maps compose by `@`, the last one on the left.

OpenCV puts the centre of the first pixel at (0, 0): `warp_image` shifts by half a pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import torch
from jaxtyping import Float64, Int64, Shaped

from maskwright.structures import Instances, Size

__all__ = [
    "FILL",
    "flip_horizontal",
    "flip_vertical",
    "rotate",
    "scale",
    "translate",
    "warp_image",
    "warp_instances",
]

Matrix = Float64[np.ndarray, "3 3"]

FILL = (124, 116, 104)
"""Colour (RGB) of what lies outside the source: the mean of ImageNet, so 0 once normalised."""


def translate(x: float, y: float) -> Matrix:
    """Move right by `x` and down by `y` pixels."""
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], np.float64)


def scale(x: float, y: float) -> Matrix:
    """Stretch about the top left corner."""
    return np.diag([x, y, 1.0])


def flip_horizontal(width: int) -> Matrix:
    """Swap left and right of a picture of this width."""
    return np.array([[-1, 0, width], [0, 1, 0], [0, 0, 1]], np.float64)


def flip_vertical(height: int) -> Matrix:
    """Swap top and bottom of a picture of this height."""
    return np.array([[1, 0, 0], [0, -1, height], [0, 0, 1]], np.float64)


def rotate(degrees: float, centre: tuple[float, float]) -> Matrix:
    """Turn counter-clockwise, as seen on the screen, about the point (x, y)."""
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    turn = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]], np.float64)
    about: np.ndarray = translate(*centre) @ turn @ translate(-centre[0], -centre[1])
    return about


def warp_image(
    image: Shaped[np.ndarray, "h w c"],
    matrix: Matrix,
    image_size: Size,
    *,
    fill: Sequence[float] = FILL,
) -> Shaped[np.ndarray, "H W c"]:
    """Resample a picture once, bilinearly, without antialiasing.

    Prediction resizes bilinearly without antialiasing too, so a network meets the same aliasing
    in training. Target pixels whose centre falls outside the source get `fill`; inside, values
    near the border are those of the border pixels, never mixed with `fill`.

    Args:
        image: The source picture; uint8, uint16 or float32.
        matrix: Source to target; invertible.
        image_size: (height, width) of the target.
        fill: Values outside the source, one per channel.
    """
    height, width = image_size
    if (whole := _resize_whole(image, matrix, image_size)) is not None:
        return whole
    target_to_source = translate(-0.5, -0.5) @ np.linalg.inv(matrix) @ translate(0.5, 0.5)
    parts = [
        cv2.warpAffine(
            part,
            target_to_source[:2],
            (width, height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        ).reshape(height, width, part.shape[2])
        for part in _threes(image)
    ]
    warped: np.ndarray = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)
    starts, stops = _inside(matrix, image.shape[:2], image_size)
    if starts.any() or (stops < width).any():
        for row, start, stop in zip(warped, starts.tolist(), stops.tolist(), strict=True):
            row[:start] = fill
            row[stop:] = fill
    return warped


def warp_instances(targets: Instances, matrix: Matrix, image_size: Size) -> Instances:
    """Carry true objects along with their picture.

    Masks are resampled by the nearest pixel centre, boxes are read off them, and objects of
    which no pixel is left are dropped. Crowds are carried like any object.

    Args:
        targets: Objects with masks, in the source's frame.
        matrix: Source to target.
        image_size: (height, width) of the target.

    Raises:
        ValueError: The objects have no masks.
    """
    if targets.masks is None:
        raise ValueError("objects must have masks to be warped, got boxes alone")
    masks = targets.masks.warp_affine(matrix[:2], image_size)
    kept = np.flatnonzero(masks.area > 0)
    if len(kept) < len(masks):
        masks = masks[kept]
    order = torch.from_numpy(kept)
    return replace(
        targets,
        image_size=image_size,
        boxes=torch.from_numpy(masks.boxes),
        labels=targets.labels[order],
        scores=None if targets.scores is None else targets.scores[order],
        masks=masks,
        is_crowd=None if targets.is_crowd is None else targets.is_crowd[order],
    )


def _threes(image: Shaped[np.ndarray, "h w c"]) -> list[np.ndarray]:
    """Return the picture in parts of three channels or one.

    OpenCV 5 warps 1, 3 and 4 channels exactly and others by a coarse table (4 grey levels off).
    """
    channels = image.shape[2]
    if channels in (1, 3):
        return [image]
    whole = channels // 3 * 3
    threes = [image[:, :, c : c + 3] for c in range(0, whole, 3)]
    singles = [image[:, :, c : c + 1] for c in range(whole, channels)]
    return [np.ascontiguousarray(part) for part in threes + singles]


def _resize_whole(
    image: Shaped[np.ndarray, "h w c"], matrix: Matrix, image_size: Size
) -> Shaped[np.ndarray, "H W c"] | None:
    """Take the quicker way (3 times, measured) where the picture just fills the target.

    It may differ from the other way by one grey level. None where the map is another one.
    """
    height, width = image.shape[:2]
    corners = matrix[:2] @ np.array([[0, width], [0, height], [1, 1]])
    x1, y1, x2, y2 = corners.T.ravel()
    is_whole = np.allclose(np.sort([[x1, x2], [y1, y2]]), [[0, image_size[1]], [0, image_size[0]]])
    if matrix[0, 1] or matrix[1, 0] or not is_whole:
        return None
    resized: np.ndarray = image
    if (height, width) != image_size:
        resized = cv2.resize(image, image_size[::-1], interpolation=cv2.INTER_LINEAR)
    # -1 for both axes, 1 for left and right, 0 for top and bottom.
    flips = {(True, True): -1, (True, False): 1, (False, True): 0}.get((x1 > x2, y1 > y2))
    if flips is not None:
        resized = cv2.flip(resized, flips)
    if resized is image:
        return image.copy()
    return resized.reshape(*image_size, image.shape[2])  # OpenCV drops a single channel


def _inside(
    matrix: Matrix, source_size: Size, target_size: Size
) -> tuple[Int64[np.ndarray, " H"], Int64[np.ndarray, " H"]]:
    """Return for each target row the columns [start, stop) with centres inside the source."""
    inverse = np.linalg.inv(matrix)
    y = np.arange(target_size[0]) + 0.5
    low, high = np.full(len(y), -np.inf), np.full(len(y), np.inf)
    for (slope, across, offset), extent in zip(inverse[:2], source_size[::-1], strict=True):
        # 0 <= slope * x + rest < extent
        rest = across * y + offset
        if abs(slope) < 1e-12:
            low[(rest < 0) | (rest >= extent)] = np.inf
            continue
        bounds = np.sort(np.stack([-rest / slope, (extent - rest) / slope]), axis=0)
        low, high = np.maximum(low, bounds[0]), np.minimum(high, bounds[1])
    # A billionth of a pixel, so that rounding does not cut the border of an exact fit.
    starts = np.clip(np.ceil(low - 0.5 - 1e-9), 0, target_size[1])
    stops = np.clip(np.ceil(high - 0.5 - 1e-9), starts, target_size[1])
    return starts.astype(np.int64), stops.astype(np.int64)
