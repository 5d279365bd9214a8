"""Measurements of each object, from its mask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import cv2
import numpy as np
from jaxtyping import UInt8

from maskwright.conversions import masks_of, to_dataframe
from maskwright.errors import ConfigError
from maskwright.structures import Instances

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["measure"]

_LENGTHS = ("perimeter", "perimeter_crofton", "equivalent_diameter", "major_axis", "minor_axis")
_SHAPES = (
    "perimeter",
    "perimeter_crofton",
    "equivalent_diameter",
    "centroid_x",
    "centroid_y",
    "major_axis",
    "minor_axis",
    "eccentricity",
    "orientation",
    "solidity",
    "holes",
    "parts",
)


def measure(instances: Instances, *, pixel_size: float | None = None) -> pd.DataFrame:
    """Measure every object; one row each, no objects give no rows and the same columns.

    After the columns of `Instances.to_dataframe` (`area` among them) come, equal to what
    scikit-image's `regionprops` gives but for `solidity`:

    - `perimeter`: length of the line through the centres of the outline's pixels, holes included;
      straight outlines come within 6 %, a disc of radius 30 is 4 % too long;
    - `perimeter_crofton`: length of the outline by Crofton's formula in four directions; straight
      outlines come within 6 %, discs of radius 5 and more within 1 %: better for round objects;
    - `equivalent_diameter`: of the disc of the same area;
    - `centroid_x`, `centroid_y`: place in the picture, pixel centres at +0.5;
    - `major_axis`, `minor_axis`, `eccentricity` (0 disc to 1 line), `orientation` (of the major
      axis, degrees from the x axis, counter-clockwise as seen, above -90 to 90): of the ellipse
      with the same second moments;
    - `solidity`: area by the area of the convex hull of the pixels' corners, up to 1 (regionprops
      counts the pixels of that hull, in a hundred times the time);
    - `holes` and `parts`: counts; pixels that touch by a corner are of one part.

    An object without a pixel has no measurements (NaN, 0 parts).

    Args:
        instances: The objects of one picture, with masks.
        pixel_size: Length of a pixel's side in a unit of yours: `area` is then in that unit
            squared and lengths are in it. Places (boxes, centroids) stay in pixels.

    Raises:
        MaskError: There are no masks.
        ConfigError: `pixel_size` is not a positive number.
    """
    import pandas as pd

    if pixel_size is not None and not 0 < pixel_size < np.inf:
        raise ConfigError(f"pixel_size must be a positive length, got {pixel_size}")
    masks = masks_of(instances, "measuring")
    rows = [_shape(*masks.bitmap(i)) for i in range(len(masks))]
    table = to_dataframe(instances)
    shapes = pd.DataFrame(rows, columns=list(_SHAPES), dtype="float64")
    shapes = shapes.astype({"holes": "int64", "parts": "int64"})
    if pixel_size is not None:
        table["area"] = table["area"] * pixel_size**2
        shapes[list(_LENGTHS)] *= pixel_size
    return pd.concat([table, shapes], axis=1)


def _shape(bitmap: UInt8[np.ndarray, "h w"], corner: tuple[int, int]) -> dict[str, float]:
    """The measurements of one object from its tight bitmap, whose place is `corner` (x, y)."""
    if not bitmap.size:
        return dict.fromkeys(_SHAPES, np.nan) | {"holes": 0, "parts": 0}
    # A border of background: every outline is inside, and all background outside is one piece.
    framed = cv2.copyMakeBorder(bitmap, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    moments = cv2.moments(bitmap, binaryImage=True)
    area = moments["m00"]
    return {
        "perimeter": _perimeter(framed),
        "perimeter_crofton": _crofton_perimeter(framed),
        "equivalent_diameter": float(np.sqrt(4 * area / np.pi)),
        "centroid_x": corner[0] + moments["m10"] / area + 0.5,
        "centroid_y": corner[1] + moments["m01"] / area + 0.5,
        **_ellipse(moments),
        "solidity": area / _hull_area(bitmap),
        "holes": cv2.connectedComponents(1 - framed, connectivity=4)[0] - 2,
        "parts": cv2.connectedComponents(framed, connectivity=8)[0] - 1,
    }


def _ellipse(moments: Mapping[str, float]) -> dict[str, float]:
    """Axes and orientation of the ellipse with these central second moments."""
    xx, xy, yy = (moments[name] / moments["m00"] for name in ("mu20", "mu11", "mu02"))
    middle, spread = (xx + yy) / 2, float(np.hypot((xx - yy) / 2, xy))
    long, short = middle + spread, max(middle - spread, 0.0)
    # y points down, so the angle is turned about to be counter-clockwise as seen.
    degrees = -float(np.rad2deg(np.arctan2(2 * xy, xx - yy))) / 2
    return {
        "major_axis": 4 * float(np.sqrt(long)),
        "minor_axis": 4 * float(np.sqrt(short)),
        "eccentricity": float(np.sqrt(1 - short / long)) if long else 0.0,
        "orientation": degrees + 180 if degrees <= -90 else degrees,
    }


def _perimeter(framed: UInt8[np.ndarray, "h w"]) -> float:
    """Sum over outline pixels of the length that their neighbours on the outline imply.

    K. Benkrid and D. Crookes, "Design and FPGA implementation of a perimeter estimator", 2000:
    straight neighbours count 2, diagonal ones 10, the pixel itself 1.
    """
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    outline = framed - cv2.erode(framed, cross)
    kernel = np.array([[10, 2, 10], [2, 1, 2], [10, 2, 10]], np.float32)
    codes = cv2.filter2D(outline, -1, kernel, borderType=cv2.BORDER_CONSTANT)
    counts = cv2.calcHist([codes], [0], None, [50], [0, 50]).ravel()
    straight = counts[[5, 7, 15, 17, 25, 27]].sum()
    diagonal = counts[[21, 33]].sum()
    corner = counts[[13, 23]].sum()
    return float(straight + np.sqrt(2) * diagonal + (1 + np.sqrt(2)) / 2 * corner)


def _crofton_perimeter(framed: UInt8[np.ndarray, "h w"]) -> float:
    """Crofton's formula over four directions.

    The length of an outline is half the integral, over all directions and offsets, of how often a
    line crosses it. Lines along rows and columns are 1 apart, along diagonals 1 / sqrt(2).
    """
    inside = framed.astype(bool)
    along = sum(
        np.count_nonzero(first != second)
        for first, second in ((inside[1:], inside[:-1]), (inside[:, 1:], inside[:, :-1]))
    )
    across = sum(
        np.count_nonzero(first != second)
        for first, second in (
            (inside[1:, 1:], inside[:-1, :-1]),
            (inside[1:, :-1], inside[:-1, 1:]),
        )
    )
    return float(np.pi / 8 * (along + across / np.sqrt(2)))


def _hull_area(bitmap: UInt8[np.ndarray, "h w"]) -> float:
    """Area of the convex hull of the corners of all pixels."""
    rows = np.flatnonzero(bitmap.any(axis=1))
    first = bitmap[rows].argmax(axis=1)
    end = bitmap.shape[1] - bitmap[rows, ::-1].argmax(axis=1)
    corners = [(x, y) for x in (first, end) for y in (rows, rows + 1)]
    points = np.concatenate([np.stack(corner, axis=1) for corner in corners])
    return float(cv2.contourArea(cv2.convexHull(points.astype(np.int32))))
