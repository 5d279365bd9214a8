"""Objects of many pictures as columns: what truth and predictions become.

Shapes: n objects over all pictures.
Boxes are COCO's here, (x, y, width, height) in float64 pixels, because the canonical numbers
come from float64 arithmetic on them; they stay inside this package.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float64, Int64

from maskwright.errors import MaskError, MaskwrightError

if TYPE_CHECKING:
    from maskwright.masks import Masks

__all__ = [
    "Objects",
    "Segmentation",
    "Size",
    "check_segmentation",
    "decode_masks",
    "finite_numbers",
    "measure_masks",
    "picture_groups",
    "read_json",
]

Size: TypeAlias = tuple[int, int]
"""(height, width) in pixels."""

Segmentation: TypeAlias = dict[str, Any] | list[list[float]]
"""A COCO run-length encoding, compressed or not, or a list of flat polygon rings."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Objects:
    """Objects over all pictures, one row each, in the order of their file.

    Args:
        images: (n,) index of each object's picture in the truth.
        labels: (n,) index of its class in the truth.
        boxes: (n, 4) x, y, width, height in pixels.
        areas: (n,) the area that decides whether an object is small, medium or large.
        is_crowd: (n,) True where one annotation stands for a crowd; all False for predictions.
        scores: (n,) confidence of each; all 1 for truth.
        segmentations: One per object; None where masks are not wanted.
    """

    images: Int64[np.ndarray, " n"]
    labels: Int64[np.ndarray, " n"]
    boxes: Float64[np.ndarray, "n 4"]
    areas: Float64[np.ndarray, " n"]
    is_crowd: Bool[np.ndarray, " n"]
    scores: Float64[np.ndarray, " n"]
    segmentations: list[Segmentation] | None = None

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: Int64[np.ndarray, " r"]) -> Objects:
        """Return the objects of these rows, in this order."""
        segmentations = self.segmentations
        return Objects(
            images=self.images[rows],
            labels=self.labels[rows],
            boxes=self.boxes[rows],
            areas=self.areas[rows],
            is_crowd=self.is_crowd[rows],
            scores=self.scores[rows],
            segmentations=None if segmentations is None else [segmentations[row] for row in rows],
        )


def picture_groups(images: Int64[np.ndarray, " n"]) -> dict[int, Int64[np.ndarray, " p"]]:
    """Return the rows of each picture, in their order; pictures without rows are absent.

    >>> {image: rows.tolist() for image, rows in picture_groups(np.array([7, 2, 7])).items()}
    {2: [1], 7: [0, 2]}
    """
    order = np.argsort(images, kind="stable")
    found, starts = np.unique(images[order], return_index=True)
    rows = np.split(order, starts[1:])
    return {int(image): rows[i] for i, image in enumerate(found)}


def decode_masks(segmentations: Sequence[Segmentation], image_size: Size) -> Masks:
    """Decode the objects of one picture; run lengths and polygons may be mixed.

    Args:
        segmentations: COCO run lengths or polygon rings, one entry per object.
        image_size: (height, width) of the picture.

    Returns:
        The masks in the order given; none for none.

    Raises:
        MaskError: A segmentation that is damaged or of another size.
    """
    from maskwright.masks import Masks

    is_rle = np.array([isinstance(one, dict) for one in segmentations], dtype=bool)
    parts = []
    if is_rle.any():
        chosen = [one for one in segmentations if isinstance(one, dict)]
        parts.append(Masks.from_rle(chosen, image_size=image_size))
    if not is_rle.all():
        rings = [one for one in segmentations if not isinstance(one, dict)]
        parts.append(Masks.from_polygons(rings, image_size=image_size))
    if not parts:
        return Masks.empty(image_size)
    if len(parts) == 1:
        return parts[0]
    back = np.argsort(np.argsort(~is_rle, kind="stable"), kind="stable")
    return Masks.concatenate(parts)[back]


def measure_masks(
    objects: Objects,
    rows: Int64[np.ndarray, " r"],
    sizes: Sequence[Size | None],
    place: Callable[[int], str],
    error: type[MaskwrightError],
) -> tuple[Float64[np.ndarray, " r"], Float64[np.ndarray, "r 4"]]:
    """Decode the masks of some objects, picture by picture; return areas and boxes.

    Args:
        objects: With segmentations that `check_segmentation` has passed.
        rows: Which of them.
        sizes: (height, width) of every picture.
        place: Names the place of a row, for the message.
        error: What to raise for a mask that cannot be decoded.

    Returns:
        Area in pixels, and x, y, width, height of the tight box, in the order of `rows`.
    """
    assert objects.segmentations is not None
    areas, boxes = np.zeros(len(rows)), np.zeros((len(rows), 4))
    for picture, chosen in picture_groups(objects.images[rows]).items():
        size = sizes[picture]
        assert size is not None
        segmentations = [objects.segmentations[row] for row in rows[chosen]]
        try:
            masks = decode_masks(segmentations, size)
        except MaskError:
            _raise_for_the_damaged(segmentations, size, rows[chosen], place, error)
            raise
        areas[chosen] = masks.area
        corners = np.asarray(masks.boxes, dtype=np.float64)
        boxes[chosen] = np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]])
    return areas, boxes


def check_segmentation(
    segmentation: object, size: Size | None, place: str, error: type[MaskwrightError]
) -> None:
    """Check form and size of one segmentation; what it draws is checked by decoding it."""
    if not segmentation:
        raise error(
            f"{place} has no segmentation, which masks are scored by; "
            "give kinds=('bbox',) to score boxes only"
        )
    if size is None:
        raise error(f"{place}: the truth does not say height and width of its picture")
    if isinstance(segmentation, dict):
        if list(segmentation.get("size") or ()) != list(size):
            raise error(
                f"{place}: its mask is of size {segmentation.get('size')}, its picture of "
                f"{list(size)} (height, width); masks are scored at the original resolution"
            )
        if not isinstance(segmentation.get("counts"), (str, bytes, list, tuple)):
            raise error(f"{place}: a run-length encoding needs counts, as text or as a list")
        return
    if not isinstance(segmentation, list):
        raise error(
            f"{place}: a segmentation is a run-length encoding or a list of polygons, "
            f"got {str(segmentation)[:80]}"
        )
    for ring in segmentation:
        if not isinstance(ring, (list, tuple)) or len(ring) < 6 or len(ring) % 2:
            raise error(f"{place}: a polygon needs at least three x, y pairs, got {str(ring)[:80]}")
        finite_numbers(ring, len(ring), f"{place}: a polygon", error)


def finite_numbers(
    values: object, length: int, place: str, error: type[MaskwrightError]
) -> Float64[np.ndarray, " length"]:
    """Return `length` finite numbers as float64, or raise what `place` must hold."""
    try:
        numbers = np.asarray(values)
        # NumPy would read numbers that are written as text; pycocotools does not.
        numbers = numbers.astype(np.float64) if numbers.dtype.kind in "biuf" else np.zeros(0)
    except (TypeError, ValueError):
        numbers = np.zeros(0)
    if numbers.shape != (length,) or not np.isfinite(numbers).all():
        raise error(f"{place} must be {length} finite numbers, got {str(values)[:80]}")
    return numbers


def read_json(path: Path, error: type[MaskwrightError]) -> Any:
    """Read a json file, or raise what is wrong with it."""
    try:
        return json.loads(path.read_bytes())
    except OSError as problem:
        raise error(f"{path}: cannot be read ({problem.strerror})") from problem
    except ValueError as problem:
        raise error(f"{path}: not json, or truncated ({problem})") from problem


def _raise_for_the_damaged(
    segmentations: Sequence[Segmentation],
    size: Size,
    rows: Int64[np.ndarray, " r"],
    place: Callable[[int], str],
    error: type[MaskwrightError],
) -> None:
    for row, segmentation in zip(rows, segmentations, strict=True):
        try:
            decode_masks([segmentation], size)
        except MaskError as problem:
            raise error(f"{place(int(row))}: {problem}") from problem
