"""One large picture through a network, tile by tile."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from maskwright.data import ArrayWindows, PictureWindows, PixelFormat, open_windows
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
    source: PictureSource, pixels: PixelFormat | None = None
) -> tuple[PictureWindows, Path | Shaped[np.ndarray, "h w c"]]:
    """Return the windows of a picture in any form, and what `Instances.source` keeps of it.

    An RGB uint8 array, which may be a memory map, is taken as it is and never copied whole.

    Args:
        source: The picture.
        pixels: What the model takes; None is RGB of 8 bits.

    Raises:
        ImageError: As `as_picture`.
    """
    if isinstance(source, str | os.PathLike) and not Path(source).is_dir():
        return open_windows(Path(source), pixels), Path(source)
    if pixels is None and isinstance(source, np.ndarray) and _is_rgb(source):
        return ArrayWindows(source), source
    image = as_picture(source, pixels).image
    return ArrayWindows(image), image


def _is_rgb(array: np.ndarray) -> bool:
    return array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] == 3 and array.size > 0
