"""What augmentation makes of pictures: contact sheets of what a model would see."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from maskwright.data import Dataset, Place, SampleReader, choose_transform
from maskwright.draw.contact import contact_sheet
from maskwright.draw.overlay import overlay
from maskwright.draw.sample_sheet import draw_sample
from maskwright.errors import ConfigError, DataError
from maskwright.structures import Size
from maskwright.transforms import Augmentation

__all__ = ["augmented_sheet"]


def augmented_sheet(
    dataset: Dataset,
    augmentation: Augmentation,
    *,
    pictures: Sequence[int] | None = None,
    num_views: int = 4,
    seed: int = 0,
    short_side: int = 800,
    long_side: int = 1333,
    fixed_size: Size | None = None,
    cell: tuple[int, int] = (320, 320),
) -> UInt8[np.ndarray, "H W 3"]:
    """Return pictures with their objects, as they are and as augmented, a row each.

    The views are those of a `Loader` with this seed in its first epochs. Captions count the
    objects of each, crowds included, so that objects that are lost are seen.

    Args:
        dataset: The pictures.
        augmentation: What is done to them.
        pictures: Positions of the pictures, a row each; None for four, spread over the dataset.
        num_views: Columns beside the picture as it is.
        seed: Of the draws.
        short_side: See `maskwright.transforms.resized_size`.
        long_side: Likewise.
        fixed_size: Likewise.
        cell: Room for one picture, (height, width) in pixels.

    Raises:
        ConfigError: Less than one view.
        DataError: The dataset has no pictures, or one cannot be read.
    """
    if num_views < 1:
        raise ConfigError(f"a sheet needs 1 view or more, got {num_views}")
    if not len(dataset):
        raise DataError(f"{dataset!r} has no pictures to show")
    transform = choose_transform(
        None, augmentation, short_side=short_side, long_side=long_side, fixed_size=fixed_size
    )
    reader = SampleReader(dataset, transform, seed=seed)
    if pictures is None:
        spread = np.linspace(0, len(dataset) - 1, min(4, len(dataset)))
        pictures = spread.round().astype(int).tolist()
    rows, captions = [], []
    for index in pictures:
        plain = dataset.sample(index)
        views = [
            reader.read(Place(epoch=epoch, index=index, mixes=augmentation.mixes))[0]
            for epoch in range(num_views)
        ]
        drawn = [overlay(view.image, view.targets, labels=False) for view in views]
        rows.append([draw_sample(plain, cell), *_in_one_frame(drawn)])
        counts = ", ".join(str(len(sample.targets)) for sample in views)
        captions.append(f"{plain.name}: {len(plain.targets)} objects; in the views {counts}")
    headings = ["as it is", *(f"epoch {epoch}" for epoch in range(num_views))]
    return contact_sheet(rows, headings=headings, captions=captions, cell=cell)


def _in_one_frame(pictures: list[UInt8[np.ndarray, "_ _ 3"]]) -> list[UInt8[np.ndarray, "h w 3"]]:
    """Pad pictures with white at the bottom and the right, so that small ones look small."""
    height, width = np.max([picture.shape[:2] for picture in pictures], axis=0)
    framed = []
    for picture in pictures:
        frame = np.full((height, width, 3), 255, np.uint8)
        frame[: picture.shape[0], : picture.shape[1]] = picture
        framed.append(frame)
    return framed
