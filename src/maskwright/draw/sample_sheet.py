"""Contact sheets of samples: what is annotated, or what a model is shown."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import UInt8

from maskwright.data import ArrayWindows
from maskwright.draw.contact import contact_sheet
from maskwright.draw.overlay import overlay
from maskwright.draw.shrinking import shrink_instances, shrink_picture
from maskwright.structures import Sample

__all__ = ["draw_sample", "sample_sheet"]


def sample_sheet(
    samples: Iterable[Sample],
    *,
    columns: int = 4,
    cell: tuple[int, int] = (320, 320),
    opacity: float = 0.4,
    as_objects: bool = False,
) -> UInt8[np.ndarray, "H W 3"]:
    """Draw each sample with its objects into a cell, its name and what it holds below.

    Args:
        samples: In the order of the cells, row by row; one is held at a time.
        columns: Cells beside each other.
        cell: Room for one picture, (height, width) in pixels.
        opacity: Of the fill, 0 (outline only) to 1.
        as_objects: Samples are crops of one object: its class and size stand below, not on it.
    """
    drawn, titles = [], []
    for sample in samples:
        drawn.append(draw_sample(sample, cell, opacity, labels=False if as_objects else None))
        titles.append(_object_title(sample) if as_objects else _picture_title(sample))
    places = range(0, len(drawn), columns)
    return contact_sheet(
        [drawn[i : i + columns] for i in places],
        titles=[titles[i : i + columns] for i in places],
        cell=cell,
    )


def draw_sample(
    sample: Sample, cell: tuple[int, int], opacity: float = 0.4, *, labels: bool | None = False
) -> UInt8[np.ndarray, "h w 3"]:
    """Return the overlay, near the size of the cell so that lines and letters stay legible."""
    image, targets = sample.image, sample.targets
    height, width = image.shape[:2]
    factor = int(max(height / cell[0], width / cell[1]))
    if factor > 1:
        image = shrink_picture(ArrayWindows(image), factor)
        targets = shrink_instances(targets, factor)
    return overlay(image, targets, opacity=opacity, labels=labels)


def _picture_title(sample: Sample) -> str:
    count = len(sample.targets)
    return f"{sample.name}: {count} object{'s' if count != 1 else ''}"


def _object_title(sample: Sample) -> str:
    masks = sample.targets.masks
    assert masks is not None
    x1, y1, x2, y2 = masks.boxes[0].tolist()
    size = f"{x2 - x1:.0f} x {y2 - y1:.0f} px"
    return f"{sample.targets.names[0]}, {size}\n{sample.name}"
