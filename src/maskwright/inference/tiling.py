"""Where a large picture is cut: a grid of overlapping windows.

Windows lie inside the picture. All have one size, so that every object is seen at one scale, but
where a side of the picture is shorter than a tile. Boxes are xyxy pixels, ends exclusive.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int32, Int64

from maskwright.errors import ConfigError
from maskwright.structures import Size

__all__ = ["Box", "TilePlan", "Tiles", "plan_tiles"]

Box = tuple[int, int, int, int]
"""(x1, y1, x2, y2) in pixels, ends exclusive."""

Tiles = Literal["auto"] | int
"""Side of a tile in pixels, or "auto": that of the pictures the model was trained on."""

_WHOLE_PIXELS, _WHOLE_SIDE = 2.0, 2.5
"""A picture of up to so many times a tile's pixels, and its side, is left whole by "auto": trained
models have seen oblong pictures, and objects at 0.7 times their scale (the recipes' augmentation).
A seam is worse than either."""

_ROOM = 8
"""Pixels of background around an object that the automatic overlap leaves for its outline."""


@dataclass(frozen=True, kw_only=True)
class TilePlan:
    """Overlapping windows that cover a picture, row by row.

    Args:
        image_size: (height, width) of the picture.
        tile_size: (height, width) of every window.
        rows: First pixel row of each row of windows, ascending from 0.
        columns: First pixel column of each column of windows, ascending from 0.
    """

    image_size: Size
    tile_size: Size
    rows: tuple[int, ...]
    columns: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)

    def __iter__(self) -> Iterator[Box]:
        """The windows, row by row from the top, each row from the left."""
        height, width = self.tile_size
        for y in self.rows:
            for x in self.columns:
                yield x, y, x + width, y + height

    @property
    def windows(self) -> Int32[np.ndarray, "t 4"]:
        """All windows, in order."""
        return np.array(list(self), np.int32).reshape(-1, 4)

    @property
    def interiors(self) -> Int32[np.ndarray, "t 4"]:
        """Each window without the pixels along its inner borders, those inside the picture.

        What lies in it was not cut. Along the picture's own border nothing is taken off.
        """
        windows = self.windows
        height, width = self.image_size
        is_inner = windows != np.array([0, 0, width, height])
        interiors: np.ndarray = windows + is_inner * np.array([1, 1, -1, -1], np.int32)
        return interiors.astype(np.int32)

    def deepest(self, points: Float[np.ndarray, "n 2"]) -> Int64[np.ndarray, " n"]:
        """Return for each (x, y) the window whose inner borders are farthest from it.

        If any window holds a box off its inner borders, the deepest one at the box's centre does:
        along either axis it leaves the most room on the tighter side.
        """
        x = np.searchsorted(_middles(self.columns, self.tile_size[1]), points[:, 0], "right")
        y = np.searchsorted(_middles(self.rows, self.tile_size[0]), points[:, 1], "right")
        numbers: np.ndarray = y * len(self.columns) + x
        return numbers


def plan_tiles(
    image_size: Size,
    *,
    tiles: Tiles = "auto",
    overlap: int | None = None,
    picture_side: int | None = None,
    object_side: int | None = None,
) -> TilePlan:
    """Return the windows for a picture; one, the picture itself, where it fits.

    Args:
        image_size: (height, width) of the picture.
        tiles: Side of a tile in pixels; "auto" takes `picture_side` and leaves pictures of up to
            twice as many pixels whole.
        overlap: Pixels that neighbouring windows share, at least; None takes `object_side` and
            room for an outline, up to half a tile, and a quarter of a tile where that is unknown.
            An object that is not larger lies whole in some window.
        picture_side: Side of the pictures that the model was trained on.
        object_side: Side of large objects.

    Raises:
        ConfigError: A tile of fewer than 16 pixels, an overlap that is negative or above half a
            tile, or "auto" without `picture_side`.

    >>> list(plan_tiles((100, 250), tiles=100, overlap=20))
    [(0, 0, 100, 100), (75, 0, 175, 100), (150, 0, 250, 100)]
    """
    side = _tile_side(tiles, picture_side)
    shared = _overlap(overlap, side, object_side)
    if tiles == "auto" and _is_nearly_a_tile(image_size, side):
        side = max(image_size)
    height, width = (min(side, length) for length in image_size)
    return TilePlan(
        image_size=image_size,
        tile_size=(height, width),
        rows=_starts(image_size[0], height, shared),
        columns=_starts(image_size[1], width, shared),
    )


def _is_nearly_a_tile(image_size: Size, side: int) -> bool:
    height, width = image_size
    return height * width <= _WHOLE_PIXELS * side**2 and max(image_size) <= _WHOLE_SIDE * side


def _tile_side(tiles: Tiles, picture_side: int | None) -> int:
    if tiles == "auto":
        if picture_side is None:
            raise ConfigError(
                'tiles="auto" needs a model that knows the size of its pictures: give the side of '
                "a tile in pixels"
            )
        return max(picture_side, 16)
    if isinstance(tiles, bool) or not isinstance(tiles, int) or tiles < 16:
        raise ConfigError(f'tiles must be "auto" or a side of 16 or more pixels, got {tiles!r}')
    return tiles


def _overlap(overlap: int | None, side: int, object_side: int | None) -> int:
    if overlap is None:
        return side // 4 if object_side is None else min(object_side + _ROOM, side // 2)
    if not 0 <= overlap <= side // 2:
        raise ConfigError(
            f"overlap must be from 0 to half a tile ({side // 2} of {side} pixels), got {overlap}"
        )
    return overlap


def _starts(length: int, side: int, overlap: int) -> tuple[int, ...]:
    """First pixels of as few windows as cover `length`, evenly spread over it."""
    if side >= length:
        return (0,)
    count = math.ceil((length - overlap) / (side - overlap))
    return tuple(round(i * (length - side) / (count - 1)) for i in range(count))


def _middles(starts: tuple[int, ...], side: int) -> Float[np.ndarray, " n"]:
    """Middles of what neighbouring windows share."""
    firsts = np.array(starts, np.float64)
    middles: np.ndarray = (firsts[1:] + firsts[:-1] + side) / 2
    return middles
