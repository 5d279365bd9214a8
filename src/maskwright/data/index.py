"""Annotations as flat arrays: no Python object per annotation, nothing rounded.

Shapes: m pictures, n objects, k classes, r polygon rings.
Ragged columns are flat values beside offsets: the values of item i are
`values[offsets[i] : offsets[i + 1]]`. Objects stand in the order of their pictures, and within a
picture in the order of the file. Flat arrays are shared between worker processes by the operating
system and can be mapped from a file; lists of dicts are copied at the first touch.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64, UInt8

from maskwright.data.federation import Federation
from maskwright.masks import Masks

__all__ = ["AnnotationIndex", "take_ragged"]


@dataclass(frozen=True, kw_only=True, eq=False)
class AnnotationIndex:
    """Everything a dataset's annotations say, as the source says it.

    Exactly one of the three forms of a segmentation is filled for an object: polygon rings
    (float64 pixels, x and y in turn), the text of a compressed COCO run-length code, or plain
    run-length counts (columns first, background first).

    Args:
        source: The file it was read from, for messages.
        class_names: (k,) names by label, in the order of their ids.
        category_ids: (k,) the source's ids by label.
        image_ids: (m,) the source's ids of the pictures.
        file_names: (m,) paths relative to the picture folder.
        sizes: (m, 2) height and width of each picture in the frame of its annotations.
        object_offsets: (m + 1,) objects of each picture.
        annotation_ids: (n,) the source's ids of the objects.
        labels: (n,) class labels from 0.
        is_crowd: (n,) True where one annotation stands for a crowd.
        is_empty: (n,) True where the mask has no pixel; such objects are kept but never trained.
        areas: (n,) square pixels as the source states them, which for crowds is not the mask's.
        xywh: (n, 4) boxes as the source states them: left, top, width, height.
        ring_offsets: (n + 1,) rings of each object.
        coordinate_offsets: (r + 1,) coordinates of each ring.
        coordinates: All polygon coordinates, times `coordinate_steps`.
        rle_offsets: (n + 1,) characters of each object's compressed code.
        rle_text: All codes, ASCII.
        count_offsets: (n + 1,) counts of each object.
        counts: All uncompressed run-length counts.
        coordinate_steps: Coordinates of few decimals may be whole numbers of such steps per pixel.
        federation: LVIS's fields, where the source has them.

    Attributes:
        file: The Arrow file that the columns are mapped from; None if they are in memory.
    """

    source: str
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    image_ids: Int64[np.ndarray, " m"]
    file_names: np.ndarray
    sizes: Int64[np.ndarray, "m 2"]
    object_offsets: Int64[np.ndarray, " m+1"]
    annotation_ids: Int64[np.ndarray, " n"]
    labels: Int64[np.ndarray, " n"]
    is_crowd: Bool[np.ndarray, " n"]
    is_empty: Bool[np.ndarray, " n"]
    areas: Float64[np.ndarray, " n"]
    xywh: Float64[np.ndarray, "n 4"]
    ring_offsets: Int64[np.ndarray, " n+1"]
    coordinate_offsets: Int64[np.ndarray, " r+1"]
    coordinates: Float64[np.ndarray, " c"] | Int32[np.ndarray, " c"]
    rle_offsets: Int64[np.ndarray, " n+1"]
    rle_text: UInt8[np.ndarray, " t"]
    count_offsets: Int64[np.ndarray, " n+1"]
    counts: Int64[np.ndarray, " s"]
    coordinate_steps: int = 1
    federation: Federation | None = None
    # Not an argument, so that an index made by `replace` is not taken for the one in the file.
    file: Path | None = field(default=None, init=False)

    def mapped_from(self, file: Path) -> Self:
        """Return the index with the note that all of it lies in this file."""
        mapped = replace(self)
        object.__setattr__(mapped, "file", file)
        return mapped

    def __reduce__(self) -> str | tuple[Any, ...]:
        """Send a mapped index to another process by its file, not by its arrays."""
        if self.file is None:
            return super().__reduce__()
        from maskwright.data.index_file import reopen_index

        return reopen_index, (self.file, self.source)

    @property
    def num_images(self) -> int:
        """Pictures, those without objects included."""
        return len(self.image_ids)

    @property
    def num_objects(self) -> int:
        """Objects of all pictures."""
        return len(self.labels)

    def objects_of(self, image: int) -> slice:
        """Return where the objects of the picture at position `image` stand."""
        return slice(int(self.object_offsets[image]), int(self.object_offsets[image + 1]))

    def image_of(self, item: int) -> int:
        """Return the position of the picture that holds the object at position `item`."""
        return int(np.searchsorted(self.object_offsets, item, side="right")) - 1

    def where(self, item: int) -> str:
        """Name an object in a message."""
        name = self.file_names[self.image_of(item)]
        return f"annotation {self.annotation_ids[item]} of picture {str(name)!r}"

    def rings(self, item: int) -> list[Float64[np.ndarray, " c"]]:
        """Return the polygon rings of an object, [] if it is run-length coded."""
        start, stop = self.ring_offsets[item], self.ring_offsets[item + 1]
        bounds = self.coordinate_offsets[start : stop + 1].tolist()
        rings = [self.coordinates[a:b] for a, b in pairwise(bounds)]
        if self.coordinates.dtype == np.float64:
            return rings
        # Divided, not multiplied: k / 100 is the double nearest to the decimal that was written.
        return [ring / self.coordinate_steps for ring in rings]

    def run_length_code(self, item: int) -> dict[str, Any] | None:
        """Return the run-length code of an object as COCO writes it, None for polygons."""
        image_size = self.sizes[self.image_of(item)].tolist()
        text = self.rle_text[self.rle_offsets[item] : self.rle_offsets[item + 1]]
        if len(text):
            return {"size": image_size, "counts": text.tobytes().decode("ascii")}
        counts = self.counts[self.count_offsets[item] : self.count_offsets[item + 1]]
        if len(counts):
            return {"size": image_size, "counts": counts.tolist()}
        return None

    def segmentation(self, item: int) -> list[list[float]] | dict[str, Any]:
        """Return the segmentation of an object as COCO writes it, equal to what was read."""
        code = self.run_length_code(item)
        return [ring.tolist() for ring in self.rings(item)] if code is None else code

    def masks(self, image_size: tuple[int, int], items: Int64[np.ndarray, " q"]) -> Masks:
        """Decode the masks of objects of one picture, in the order given.

        Args:
            image_size: (height, width) of the picture.
            items: Positions of its objects.

        Raises:
            MaskError: A run-length code is malformed.
        """
        codes = [self.run_length_code(item) for item in items.tolist()]
        is_coded = np.array([code is not None for code in codes], bool)
        if is_coded.all() and len(items):
            return Masks.from_rle([code for code in codes if code is not None], image_size)
        polygons = [self.rings(item) for item in items[~is_coded].tolist()]
        drawn = Masks.from_polygons(polygons, image_size)
        if not is_coded.any():
            return drawn
        coded = Masks.from_rle([code for code in codes if code is not None], image_size)
        # Where each object stands among the drawn followed by the coded.
        places = np.where(is_coded, len(drawn) + np.cumsum(is_coded), np.cumsum(~is_coded)) - 1
        return Masks.concatenate([drawn, coded])[places]


def take_ragged(
    values: np.ndarray, offsets: Int64[np.ndarray, " n+1"], order: Int64[np.ndarray, " q"]
) -> tuple[np.ndarray, Int64[np.ndarray, " q+1"]]:
    """Select items of a ragged column; returns the new values and offsets.

    >>> take_ragged(np.array([1, 2, 3]), np.array([0, 2, 3]), np.array([1, 0]))
    (array([3, 1, 2]), array([0, 1, 3]))
    """
    if np.array_equal(order, np.arange(len(offsets) - 1)):
        return values, offsets  # nearly always; a copy of all coordinates would take its time
    lengths = np.diff(offsets)[order]
    new_offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    shifts = np.repeat(offsets[:-1][order] - new_offsets[:-1], lengths)
    return values[shifts + np.arange(new_offsets[-1])], new_offsets
