"""Objects that were drawn twice."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from maskwright.data.checks.check import Defect
from maskwright.data.checks.picture import Picture
from maskwright.masks.pairs import meeting_pairs

__all__ = ["doubled_object", "two_classes"]

_SAME_IOU = 0.85
"""Two people who draw the same object agree by more than this, two objects side by side do not:
the next lower value of any pair in our clean data stands in docs/results.md."""


def doubled_object(picture: Picture) -> Iterator[Defect]:
    """Find objects of one class that cover the same pixels; the fix drops exact copies only."""
    labels = picture.index.labels[picture.items]
    for i, j, iou in _same_pixels(picture):
        if labels[i] == labels[j]:
            yield picture.defect(
                f"IoU {iou:.3f} with another {picture.index.class_names[labels[i]]}",
                objects=[i, j],
                remedy=None if iou == 1.0 else "",
                drop=(int(picture.items[j]),),
            )


def two_classes(picture: Picture) -> Iterator[Defect]:
    """Find objects of two classes that cover the same pixels."""
    names = [picture.index.class_names[label] for label in picture.index.labels[picture.items]]
    for i, j, iou in _same_pixels(picture):
        if names[i] != names[j]:
            yield picture.defect(f"IoU {iou:.3f} of {names[i]} with {names[j]}", objects=[i, j])


def _same_pixels(picture: Picture) -> Iterator[tuple[int, int, float]]:
    """Yield pairs of solid objects whose masks are nearly the same, with their IoU."""
    chosen = picture.where_solid
    masks = picture.masks[chosen]
    for i, j in meeting_pairs(masks.boxes.astype(np.int32)).tolist():
        small, large = sorted((int(masks.area[i]), int(masks.area[j])))
        if small < _SAME_IOU * large:  # IoU is at most the ratio of the areas
            continue
        iou = float(masks[i : i + 1].iou(masks[j : j + 1])[0, 0])
        if iou >= _SAME_IOU:
            yield int(chosen[i]), int(chosen[j]), iou
