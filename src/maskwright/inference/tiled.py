"""One large picture through a network, tile by tile."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from maskwright.data import ArrayWindows, PictureWindows, open_windows
from maskwright.inference.joining import TileJoiner
from maskwright.inference.pictures import Picture, PictureSource, as_picture
from maskwright.inference.tiling import TilePlan
from maskwright.structures import Instances

__all__ = ["find_in_tiles", "windows_of"]


def find_in_tiles(
    run: Callable[[Iterable[Picture]], Iterator[Instances]],
    windows: PictureWindows,
    plan: TilePlan,
    *,
    on_tile: Callable[[], None] | None = None,
) -> Instances:
    """Find the objects of a picture, holding the pixels of the tiles in flight only.

    Args:
        run: Finds the objects of each of a stream of pictures, in order.
        windows: The picture.
        plan: Where it is cut.
        on_tile: Called after each tile.

    Raises:
        ImageError: A window cannot be read.
    """
    joiner = TileJoiner(plan)
    for found in run(Picture(image=windows.read(box)) for box in plan):
        joiner.add(found)
        if on_tile is not None:
            on_tile()
    return replace(joiner.join(), source=None)


def windows_of(
    source: PictureSource,
) -> tuple[PictureWindows, Path | UInt8[np.ndarray, "h w 3"]]:
    """Return the windows of a picture in any form, and what `Instances.source` keeps of it.

    An RGB uint8 array, which may be a memory map, is taken as it is and never copied whole.

    Raises:
        ImageError: As `as_picture`.
    """
    if isinstance(source, str | os.PathLike) and not Path(source).is_dir():
        return open_windows(Path(source)), Path(source)
    if isinstance(source, np.ndarray) and _is_rgb(source):
        return ArrayWindows(source), source
    image = as_picture(source).image
    return ArrayWindows(image), image


def _is_rgb(array: np.ndarray) -> bool:
    return array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] == 3 and array.size > 0
