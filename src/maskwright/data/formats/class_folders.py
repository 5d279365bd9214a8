"""Class folders of pictures beside black-and-white masks of the same name.

`Crack/x.jpg` beside `Crack/x.png`; the class is the first folder, an object a connected component
(pixels joined by a side or a corner). Read only: one mask cannot hold objects that touch.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from maskwright.data.formats.collector import Collector
from maskwright.data.formats.contract import Imported, ReadOptions, Source
from maskwright.data.formats.pairs import binary_pixels
from maskwright.data.images import IMAGE_SUFFIXES
from maskwright.masks import Masks

__all__ = ["read", "sniff"]

_TOUCHING = 8


def sniff(source: Source) -> bool:
    """Say whether a folder of it holds such a pair."""
    return any(_pairs(source.path / name) for name in sorted(source.folders))


def read(source: Source, options: ReadOptions) -> Imported:
    """Read all pairs; folders whose masks are all black give pictures without objects.

    Raises:
        ImageError: A mask cannot be read or is in colour.
    """
    collector = Collector(source.path, crowd=options.crowd, faults=options.faults)
    for name in sorted(source.folders):
        for picture, mask in _pairs(source.path / name):
            pixels = binary_pixels(mask).astype(np.uint8)
            _, components = cv2.connectedComponents(pixels, connectivity=_TOUCHING)
            masks, _ = Masks.from_label_map(components)
            image = collector.add_image(
                picture.relative_to(source.path).as_posix(), masks.image_size
            )
            for k in range(len(masks)):
                collector.add_mask(image, name, masks[k])
    return Imported(*collector.finish(), source.path, source.path)


def _pairs(folder: Path) -> list[tuple[Path, Path]]:
    pictures = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES - {".png"} and path.name[0] != "."
    )
    pairs = [(path, path.with_suffix(".png")) for path in pictures]
    return [pair for pair in pairs if pair[1].is_file()]
