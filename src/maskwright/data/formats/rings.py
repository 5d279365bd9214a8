"""Masks as polygons for formats of plain polygons, and what that costs."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from maskwright.data.formats.export import ExportLog, PictureObjects
from maskwright.masks import Masks, Outline

__all__ = ["exterior_rings", "has_holes", "one_ring", "pixel_ring"]


def pixel_ring(points: np.ndarray) -> list[float]:
    """Return (p, 2) points as [x1, y1, x2, y2, ...]."""
    flat: list[float] = np.asarray(points, np.float64).reshape(-1).tolist()
    return flat


def has_holes(outlines: list[Outline]) -> bool:
    """Say whether a part has a hole."""
    return any(outline.holes for outline in outlines)


def exterior_rings(outlines: list[Outline]) -> list[list[float]]:
    """Return the ring around each part."""
    return [pixel_ring(outline.exterior) for outline in outlines]


def one_ring(
    picture: PictureObjects, k: int, outlines: list[Outline], log: ExportLog
) -> np.ndarray:
    """Return one (p, 2) ring for object `k`, for formats without holes and parts.

    Holes are filled. Parts are joined by bridges without width, walked there and back, which
    even-odd drawing leaves no trace of; other readers may draw them as lines.
    """
    before = picture.masks[k]
    if has_holes(outlines):
        filled = Masks.from_polygons([exterior_rings(outlines)], picture.size)
        log.changed(
            "holes filled, the format has none", picture.where(k), float(before.iou(filled)[0, 0])
        )
    if len(outlines) > 1:
        drawn = Masks.from_polygons([[_bridged(outlines)]], picture.size)
        filled = Masks.from_polygons([exterior_rings(outlines)], picture.size)
        log.changed(
            "parts joined to one polygon by bridges without width",
            picture.where(k),
            float(filled.iou(drawn)[0, 0]),
        )
    return _bridged(outlines)


def _bridged(outlines: list[Outline]) -> Float64[np.ndarray, "p 2"]:
    """Join exteriors: each new one is entered from the first corner of the one before."""
    first, *others = (outline.exterior.astype(np.float64) for outline in outlines)
    ring = [first]
    # From the first corner of the first part out to each other part, around it, and back.
    for other in others:
        ring += [first[:1], other, other[:1]]
    return np.concatenate([*ring, first[:1]] if others else ring)
