"""One PNG per object: a folder per picture with `images/` and `masks/` (as in DSB 2018).

A mask straight in `masks/` is of class "object", one in a folder of `masks/` of the class that
the folder is called (percent signs code what a folder name cannot hold). A mask whose name ends
in `-crowd` is a crowd. Masks may overlap, have holes and parts: nothing is lost.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

import numpy as np

from maskwright.data.dataset import Dataset
from maskwright.data.formats.collector import Collector, picture_size
from maskwright.data.formats.contract import Imported, ReadOptions, Source
from maskwright.data.formats.export import ExportLog, folder_name, pictures_of
from maskwright.data.formats.pairs import binary_pixels, pictures_below
from maskwright.data.saving import save_image
from maskwright.errors import AnnotationError
from maskwright.masks import Masks

__all__ = ["read", "sniff", "write"]

_CROWD = "-crowd"


def sniff(source: Source) -> bool:
    """Say whether a folder of it has images and masks inside."""
    return any(
        (source.path / name / "images").is_dir() and (source.path / name / "masks").is_dir()
        for name in sorted(source.folders)
    )


def read(source: Source, options: ReadOptions) -> Imported:
    """Read every folder.

    Raises:
        AnnotationError: A folder without images, with several, or a mask of another size.
        ImageError: A file cannot be read.
    """
    collector = Collector(source.path, crowd=options.crowd, faults=options.faults)
    for name in sorted(source.folders):
        folder = source.path / name
        pictures = pictures_below(folder / "images")
        if len(pictures) != 1:
            raise AnnotationError(f"{folder}: {len(pictures)} pictures in its images, wanted one")
        size = picture_size(pictures[0])
        image = collector.add_image(pictures[0].relative_to(source.path).as_posix(), size)
        for path in pictures_below(folder / "masks"):
            pixels = binary_pixels(path)
            if pixels.shape != size:
                raise AnnotationError(f"{path}: is {pixels.shape}, its picture {size}")
            parent = path.relative_to(folder / "masks").parent.as_posix()
            collector.add_mask(
                image,
                "object" if parent == "." else unquote(parent),
                Masks.from_dense(pixels[None]),
                is_crowd=path.stem.endswith(_CROWD),
            )
    return Imported(*collector.finish(), source.path, source.path)


def write(dataset: Dataset, folder: Path, log: ExportLog) -> None:
    """Write a folder per picture; the masks of class "object" lie straight in masks/."""
    for picture in pictures_of(dataset, log):
        picture.copy_picture(folder / picture.stem / "images" / picture.file_name, log)
        masks = folder / picture.stem / "masks"
        masks.mkdir(parents=True)
        for k, class_name in enumerate(picture.class_names):
            below = masks if class_name == "object" else masks / folder_name(class_name)
            pixels = picture.masks[k].to_dense()[0].astype(np.uint8) * 255
            name = f"{k + 1:05d}{_CROWD if picture.is_crowd[k] else ''}.png"
            save_image(below / name, pixels)
