"""Checks of the objects of one picture: where they lie and what they look like."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from jaxtyping import Bool, Float64

from maskwright.data.checks.check import Defect
from maskwright.data.checks.picture import Picture
from maskwright.data.object_faults import BOX_TOLERANCE

__all__ = [
    "area_differs",
    "box_differs",
    "box_outside",
    "crumbs",
    "empty_object",
    "fills_picture",
    "object_outside",
    "over_edge",
    "sliver",
    "tiny_object",
]

_BOX_SLACK = 2.0
"""Pixels by which a side of a stated box may miss the mask's: tools round differently, and the
official boxes of COCO's polygons differ by up to a pixel and a half."""
_AREA_SLACK = 0.15
_THIN = 2
"""Pixels: a sliver is nowhere thicker."""
_LONG = 5
"""Times its thickness that a sliver is long at least."""
_CRUMB_AREA = 4
_CRUMB_SHARE = 0.01
_TINY_SIDE = 4.0
"""Pixels: one cell of the finest feature map of all our detectors."""
_FULL_SHARE = 0.98


def empty_object(picture: Picture) -> Iterator[Defect]:
    """Find objects inside the picture whose mask has no pixel."""
    for k in np.flatnonzero(picture.is_empty & ~_is_outside(picture)).tolist():
        rings = picture.index.rings(int(picture.items[k]))
        what = "its polygon covers no pixel centre" if rings else "its run lengths set no pixel"
        yield picture.defect(what, objects=[k])


def object_outside(picture: Picture) -> Iterator[Defect]:
    """Find objects that lie wholly beyond the picture."""
    low_high = picture.reach
    for k in np.flatnonzero(picture.is_empty & _is_outside(picture)).tolist():
        yield picture.defect(
            f"it reaches from {_point(low_high[k, :2])} to {_point(low_high[k, 2:])}, the picture "
            f"is {picture.size[1]} wide and {picture.size[0]} high",
            objects=[k],
        )


def over_edge(picture: Picture) -> Iterator[Defect]:
    """Find polygons that reach beyond the picture; what is outside is not drawn."""
    beyond = _beyond(picture, picture.reach)
    for k in np.flatnonzero((beyond > BOX_TOLERANCE) & ~picture.is_empty).tolist():
        yield picture.defect(f"its polygon reaches {beyond[k]:.1f} pixels beyond", objects=[k])


def box_outside(picture: Picture) -> Iterator[Defect]:
    """Find stated boxes that reach beyond the picture though their mask does not."""
    beyond = _beyond(picture, picture.stated_boxes)
    is_own_fault = (_beyond(picture, picture.reach) <= BOX_TOLERANCE) & ~picture.is_empty
    for k in np.flatnonzero((beyond > BOX_TOLERANCE) & is_own_fault).tolist():
        yield picture.defect(f"its box reaches {beyond[k]:.1f} pixels beyond", objects=[k])


def box_differs(picture: Picture) -> Iterator[Defect]:
    """Find stated boxes that are around neither the mask nor the polygons it is drawn from."""
    stated, drawn = picture.stated_boxes, picture.masks.boxes.astype(np.float64)
    off = np.abs(stated - drawn).max(axis=1, initial=0)
    off = np.minimum(off, np.abs(stated - picture.reach).max(axis=1, initial=0))
    sides = np.maximum(drawn[:, 2:] - drawn[:, :2], 1).max(axis=1, initial=1)
    is_outside = (_beyond(picture, stated) > BOX_TOLERANCE) | (
        _beyond(picture, picture.reach) > BOX_TOLERANCE
    )
    is_off = (off > _BOX_SLACK) & (off > 0.02 * sides) & ~is_outside
    for k in np.flatnonzero(is_off & ~(picture.is_empty | picture.is_crowd)).tolist():
        yield picture.defect(
            f"a side of its box is {off[k]:.1f} pixels from the mask's", objects=[k]
        )


def area_differs(picture: Picture) -> Iterator[Defect]:
    """Find stated areas that are not the mask's; crowds' official areas are not, and are spared."""
    chosen = np.flatnonzero(
        ~(picture.is_crowd | picture.is_empty) & (_beyond(picture, picture.reach) <= 1)
    )
    stated, drawn = picture.index.areas[picture.items], picture.masks.area
    for k in chosen.tolist():
        # An area by the shoelace formula differs from the pixels' by up to half the outline.
        slack = max(_AREA_SLACK * drawn[k], picture.outlines[k] / 2)
        if abs(stated[k] - drawn[k]) > slack:
            yield picture.defect(
                f"area is said to be {stated[k]:g}, the mask has {drawn[k]} pixels", objects=[k]
            )


def sliver(picture: Picture) -> Iterator[Defect]:
    """Find long objects that are nowhere thicker than two pixels."""
    kernel = np.ones((3, 3), np.uint8)
    for k in picture.where_solid.tolist():
        bitmap = picture.bitmaps[k]
        area = int(picture.masks.area[k])
        length = float(np.hypot(*bitmap.shape))
        # Mean thickness first: most objects are cleared by it, and eroding costs more.
        if length < _THIN * _LONG or area > _THIN * length * np.sqrt(2):
            continue
        if not cv2.erode(np.pad(bitmap, 1), kernel).any():
            yield picture.defect(
                f"{area} pixels, {length:.0f} long and nowhere thicker than {_THIN}", objects=[k]
            )


def crumbs(picture: Picture) -> Iterator[Defect]:
    """Find objects with specks beside them, as brushes and unions of polygons leave them.

    Specks are more than two pixels from everything else: thin tips of polygons, which break into
    pixels when they are drawn, are not.
    """
    for k in picture.where_solid.tolist():
        bitmap = np.pad(picture.bitmaps[k], 1)
        if cv2.connectedComponents(bitmap, connectivity=8)[0] <= 2:
            continue
        count, pieces = cv2.connectedComponents(cv2.dilate(bitmap, np.ones((3, 3), np.uint8)))
        areas = np.bincount(pieces[bitmap > 0], minlength=count)[1:]
        small = areas[(areas <= _CRUMB_AREA) & (areas < _CRUMB_SHARE * areas.sum())]
        if len(small):
            yield picture.defect(
                f"{len(small)} of its {count - 1} pieces have {small.max()} pixels or fewer",
                objects=[k],
            )


def tiny_object(picture: Picture) -> Iterator[Defect]:
    """Find objects that a network can hardly see at the training size."""
    scale = min(1.0, picture.training_side / min(picture.size))
    sides = np.sqrt(picture.masks.area) * scale
    chosen = picture.where_solid[sides[picture.where_solid] < _TINY_SIDE]
    for k in chosen.tolist():
        yield picture.defect(
            f"{picture.masks.area[k]} pixels, a square of {sides[k]:.1f} at the training size",
            objects=[k],
        )


def fills_picture(picture: Picture) -> Iterator[Defect]:
    """Find objects that are the whole picture, as background drawn as an object is."""
    height, width = picture.size
    share = picture.masks.area / (height * width)
    for k in picture.where_solid[share[picture.where_solid] > _FULL_SHARE].tolist():
        yield picture.defect(f"it covers {100 * share[k]:.1f} % of the picture", objects=[k])


def _beyond(picture: Picture, boxes: Float64[np.ndarray, "n 4"]) -> Float64[np.ndarray, " n"]:
    """Return by how many pixels boxes reach over the picture's edge, 0 if they do not."""
    height, width = picture.size
    over = np.concatenate([-boxes[:, :2], boxes[:, 2:] - (width, height)], axis=1)
    return np.asarray(over.max(axis=1, initial=0))


def _is_outside(picture: Picture) -> Bool[np.ndarray, " n"]:
    """Which objects have polygons that lie beyond an edge; a run-length code cannot."""
    height, width = picture.size
    x1, y1, x2, y2 = picture.reach.T
    is_drawn = np.diff(picture.index.ring_offsets)[picture.items] > 0
    beyond: np.ndarray = (x2 <= 0) | (y2 <= 0) | (x1 >= width) | (y1 >= height)
    return np.asarray(beyond & is_drawn)


def _point(xy: Float64[np.ndarray, " 2"]) -> str:
    return f"({xy[0]:.0f}, {xy[1]:.0f})"
