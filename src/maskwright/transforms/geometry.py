"""Affine maps of pictures and masks, composed before anything is resampled.

A map is a (3, 3) float64 matrix that takes homogeneous points (x, y, 1) of the source picture to
the target picture. Points are in pixels with pixel (row i, column j) covering [j, j + 1) x
[i, i + 1), so the centre of the first pixel is (0.5, 0.5) and mirroring a picture of width w is
x -> w - x. Maps compose by `@`, the last one on the left.

OpenCV puts the centre of the first pixel at (0, 0): `warp_image` shifts by half a pixel.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float64, UInt8

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
    image: UInt8[np.ndarray, "h w 3"],
    matrix: Matrix,
    image_size: Size,
    *,
    fill: tuple[int, int, int] = FILL,
) -> UInt8[np.ndarray, "H W 3"]:
    """Resample a picture once, bilinearly, without antialiasing.

    Prediction resizes bilinearly without antialiasing too, so a network meets the same aliasing
    in training. Target pixels whose centre falls outside the source get `fill`; inside, values
    near the border are those of the border pixels, never mixed with `fill`.

    Args:
        image: The source picture.
        matrix: Source to target; invertible.
        image_size: (height, width) of the target.
        fill: RGB outside the source.
    """
    height, width = image_size
    if np.array_equal(matrix, np.eye(3)) and image.shape[:2] == (height, width):
        return image.copy()
    matrix = np.asarray(matrix, np.float64)
    target_to_source = translate(-0.5, -0.5) @ np.linalg.inv(matrix) @ translate(0.5, 0.5)
    warped: np.ndarray = cv2.warpAffine(
        image,
        target_to_source[:2],
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    if not _covers(matrix, image.shape[:2], image_size):
        warped[_is_outside(matrix, image.shape[:2], image_size)] = fill
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


def _covers(matrix: Matrix, source_size: Size, target_size: Size) -> bool:
    """Say whether every target pixel's centre falls inside the source (a corner test)."""
    height, width = target_size
    x, y = np.meshgrid([0.5, width - 0.5], [0.5, height - 0.5])
    return not _outside(matrix, source_size, x, y).any()


def _is_outside(matrix: Matrix, source_size: Size, target_size: Size) -> Bool[np.ndarray, "H W"]:
    height, width = target_size
    x = np.arange(width)[None, :] + 0.5
    y = np.arange(height)[:, None] + 0.5
    return _outside(matrix, source_size, x, y)


def _outside(matrix: Matrix, source_size: Size, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    inverse = np.linalg.inv(matrix)
    u = inverse[0, 0] * x + inverse[0, 1] * y + inverse[0, 2]
    v = inverse[1, 0] * x + inverse[1, 1] * y + inverse[1, 2]
    outside: np.ndarray = (u < 0) | (v < 0) | (u >= source_size[1]) | (v >= source_size[0])
    return outside
