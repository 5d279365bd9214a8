"""Objects that were drawn twice."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from maskwright.data.checks.check import Defect
from maskwright.data.checks.picture import Picture
from maskwright.masks.pairs import meeting_pairs

__all__ = ["doubled_object", "two_classes"]

_SAME_CLASS_IOU = 0.7
"""Two people who draw one object agree by more, two objects of a class hardly overlap at all: the
highest value between 10,000 nuclei, COCO objects and fruits is 0.15."""
_TWO_CLASSES_IOU = 0.85
"""People and what they carry, or a plate and its food, come up to 0.85 on COCO pictures; the two
pairs above it there are one thing twice: a car that is also a truck, a phone that is a remote."""


def doubled_object(picture: Picture) -> Iterator[Defect]:
    """Find objects of one class that cover the same pixels; the fix drops exact copies only."""
    labels = picture.index.labels[picture.items]
    for i, j, iou in _same_pixels(picture, _SAME_CLASS_IOU):
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
    for i, j, iou in _same_pixels(picture, _TWO_CLASSES_IOU):
        if names[i] != names[j]:
            yield picture.defect(f"IoU {iou:.3f} of {names[i]} with {names[j]}", objects=[i, j])


def _same_pixels(picture: Picture, least_iou: float) -> Iterator[tuple[int, int, float]]:
    """Yield pairs of solid objects whose masks are nearly the same, with their IoU."""
    chosen = picture.where_solid
    masks = picture.masks[chosen]
    for i, j in meeting_pairs(masks.boxes.astype(np.int32)).tolist():
        small, large = sorted((int(masks.area[i]), int(masks.area[j])))
        if small < least_iou * large:  # IoU is at most the ratio of the areas
            continue
        iou = float(masks[i : i + 1].iou(masks[j : j + 1])[0, 0])
        if iou >= least_iou:
            yield int(chosen[i]), int(chosen[j]), iou
