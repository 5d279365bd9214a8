"""Folders of pictures beside folders of maps or texts: who belongs to whom."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Bool

from maskwright.data.images import IMAGE_SUFFIXES, read_label_image
from maskwright.errors import AnnotationError

__all__ = ["binary_pixels", "pair_by_stem", "pictures_below"]


def pictures_below(folder: Path) -> list[Path]:
    """Return the picture files in a folder and its folders, sorted; hidden ones are left out."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file() and path.name[0] != "."
    )


def pair_by_stem(pictures: list[Path], maps: list[Path], top: Path, below: Path) -> list[Path]:
    """Return the map of each picture: the same path below `below` as the picture's below `top`.

    Raises:
        AnnotationError: A picture without a map, or a map without a picture.
    """
    by_stem = {path.relative_to(below).with_suffix(""): path for path in maps}
    stems = [path.relative_to(top).with_suffix("") for path in pictures]
    lonely = [stem for stem in stems if stem not in by_stem]
    if lonely:
        raise AnnotationError(
            f"{below}: {len(lonely)} of {len(stems)} pictures have no map here, {lonely[0]} for one"
        )
    unused = sorted(by_stem.keys() - set(stems))
    if unused:
        raise AnnotationError(
            f"{top}: {len(unused)} maps have no picture here, {by_stem[unused[0]]} for one"
        )
    return [by_stem[stem] for stem in stems]


def binary_pixels(path: Path) -> Bool[np.ndarray, "h w"]:
    """Read a black-and-white mask: above 127 is set, or above 0 where no value is above 1.

    Smoothed edges, as some tools and all resizing leave them, so end in their middle.

    Raises:
        ImageError: It cannot be read or is in colour.
    """
    pixels = read_label_image(path)
    set_pixels: np.ndarray = pixels > (127 if pixels.max(initial=0) > 1 else 0)
    return set_pixels
