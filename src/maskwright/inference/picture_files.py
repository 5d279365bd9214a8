"""Picture files one after the other with their objects, whole or in tiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from maskwright.data import ArrayWindows, PictureWindows, PixelFormat, open_windows
from maskwright.errors import ImageError
from maskwright.inference.batch_size import fastest_batch_size
from maskwright.inference.overlapping import ahead
from maskwright.inference.pictures import Picture, as_picture
from maskwright.inference.postprocess import PostProcessing
from maskwright.inference.predictor import Predictor
from maskwright.inference.tiling import Tiles
from maskwright.structures import Instances

__all__ = ["BatchSize", "find_tiled", "find_whole"]

BatchSize: TypeAlias = int | Literal["auto"]
_READ_AHEAD = 16
"""Pictures read ahead while it is not known yet how many the network takes at once."""

_Progress = Callable[[int, int], None] | None
_LeaveOut = Callable[[Path, ImageError], None]
_Found = Iterator[tuple[Path, PictureWindows, Instances]]


def find_whole(
    predictor: Predictor,
    paths: Sequence[Path],
    leave_out: _LeaveOut,
    *,
    steps: PostProcessing,
    batch_size: BatchSize,
    progress: _Progress = None,
) -> _Found:
    """Yield each readable picture with its objects, batch by batch; files are read ahead.

    Args:
        predictor: The model.
        paths: The pictures.
        leave_out: Told of a picture that cannot be read.
        steps: What to do after the model.
        batch_size: Pictures that go through the network together; "auto" measures on the first
            picture how many are quickest.
        progress: Called after each picture with the pictures done and all.
    """
    pixels: dict[Path, np.ndarray] = {}
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, len(paths))

    def unreadable(path: Path, error: ImageError) -> None:
        leave_out(path, error)
        count()

    def readable() -> Iterator[Picture]:
        read = partial(_read, pixels=predictor.pixel_format)
        room = _READ_AHEAD if batch_size == "auto" else max(2, batch_size)
        for path, picture in ahead(map(read, paths), size=room):
            if isinstance(picture, ImageError):
                unreadable(path, picture)
            else:
                pixels[path] = picture.image  # kept until its result has been drawn
                yield picture

    pictures = readable()
    if batch_size == "auto":
        first = next(pictures, None)
        if first is None:
            return
        batch_size = fastest_batch_size(predictor.finder(), first.image)
        pictures = chain([first], pictures)
    for found in predictor.run(pictures, steps=steps, batch_size=batch_size):
        path = found.source
        assert isinstance(path, Path)
        yield path, ArrayWindows(pixels.pop(path)), found
        count()


def _read(path: Path, *, pixels: PixelFormat | None) -> tuple[Path, Picture | ImageError]:
    try:
        return path, as_picture(path, pixels)
    except ImageError as error:
        return path, error


def find_tiled(
    predictor: Predictor,
    paths: Sequence[Path],
    leave_out: _LeaveOut,
    *,
    tiles: Tiles,
    overlap: int | None,
    steps: PostProcessing,
    batch_size: int,
    progress: _Progress = None,
) -> _Found:
    """Yield each readable picture with its objects, found in tiles; it is open meanwhile.

    Args:
        predictor: The model.
        paths: The pictures.
        leave_out: Told of a picture that cannot be read.
        tiles: Side of a tile in pixels, or "auto".
        overlap: Pixels that neighbouring tiles share; None by the model.
        steps: What to do after the tiles were joined.
        batch_size: Tiles of a picture that go through the network together.
        progress: Called after each tile with the tiles done and all; until the last picture is
            open, all is an estimate.
    """
    counter = _TileCounter(len(paths), progress)
    for path in paths:
        counter.begin()
        try:
            with open_windows(path, predictor.pixel_format) as windows:
                found = predictor.predict_windows(
                    windows,
                    tiles=tiles,
                    overlap=overlap,
                    steps=steps,
                    batch_size=batch_size,
                    progress=counter.count,
                )
                yield path, windows, replace(found, source=path)
        except ImageError as error:
            leave_out(path, error)


class _TileCounter:
    """Tiles done and all, over all pictures."""

    def __init__(self, num_pictures: int, progress: _Progress) -> None:
        self._num_pictures = num_pictures
        self._progress = progress
        self._opened = 0
        self._before = 0  # tiles of the pictures before
        self._here = 0

    def begin(self) -> None:
        """Go on to the next picture."""
        self._opened += 1
        self._before += self._here
        self._here = 0

    def count(self, done: int, total: int) -> None:
        """Say that `done` of `total` tiles of the picture are done."""
        self._here = total
        if self._progress is not None:
            # Pictures that were not opened yet count as many tiles as the others on average.
            estimate = (self._before + total) * self._num_pictures / self._opened
            self._progress(self._before + done, round(estimate))
