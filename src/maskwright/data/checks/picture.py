"""One listed picture and its objects, each read or decoded when first asked for, and once.

Shapes: n objects of the picture, (h, w) its size.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, final

import cv2
import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt8
from PIL import Image

from maskwright.data.checks.check import Defect, Place
from maskwright.data.images import is_turned_by_exif, read_image, read_image_header
from maskwright.data.opening import Inspected
from maskwright.errors import ImageError
from maskwright.masks import Masks

__all__ = ["Header", "Picture"]


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a picture file says of itself.

    Args:
        size: Stored (height, width).
        orientation: EXIF, 1 to 8.
        kind: "PNG", "JPEG" and so on, by content.
        mode: How Pillow calls its pixels: "RGB", "L", "P", "CMYK", "I;16" ...
        bits: Of one value.
        num_channels: Values of a pixel, alpha included.
        num_pages: Frames or pages.
    """

    size: tuple[int, int]
    orientation: int
    kind: str
    mode: str
    bits: int
    num_channels: int
    num_pages: int


@final
class Picture:
    """A picture as its annotations and its file describe it.

    Args:
        inspected: The part that lists it.
        place: Which it is.
        training_side: Short side in pixels to which it is shrunk for training.
    """

    def __init__(self, inspected: Inspected, place: Place, training_side: int) -> None:
        self.place = place
        self.index = inspected.index
        self.training_side = training_side
        self.file_name = str(self.index.file_names[place.picture])
        self.path: Path = inspected.image_folder / self.file_name
        self.size: tuple[int, int] = tuple(self.index.sizes[place.picture].tolist())
        objects = self.index.objects_of(place.picture)
        self.items: Int64[np.ndarray, " n"] = np.arange(objects.start, objects.stop)
        self.is_crowd: Bool[np.ndarray, " n"] = self.index.is_crowd[objects]
        self.num_refused = sum(fault.picture == self.file_name for fault in inspected.faults)
        self.is_empty: Bool[np.ndarray, " n"] = self.index.is_empty[objects]

    def defect(self, detail: str, *, objects: Any = (), **more: Any) -> Defect:
        """Return a defect of this picture.

        Args:
            detail: What is wrong.
            objects: Which of its objects, counted from 0 within the picture.
            more: Further arguments of `Defect`.
        """
        items = self.items[np.asarray(objects, np.int64)].tolist()
        return Defect(
            detail=detail,
            part=self.place.part,
            file_name=self.file_name,
            place=self.place,
            items=tuple(items),
            annotation_ids=tuple(self.index.annotation_ids[items].tolist()),
            **more,
        )

    @cached_property
    def is_there(self) -> bool:
        """True where there is such a file."""
        return self.path.is_file()

    @cached_property
    def header(self) -> Header | ImageError:
        """What the file says of itself, or why that cannot be read."""
        try:
            size, orientation = read_image_header(self.path)
            with Image.open(self.path) as image:
                mode = str(image.mode)
                return Header(
                    size=size,
                    orientation=orientation,
                    kind=str(image.format),
                    mode=mode,
                    bits=_bits(image, mode),
                    num_channels=_num_channels(image),
                    num_pages=int(getattr(image, "n_frames", 1)),
                )
        except ImageError as error:
            return error

    @cached_property
    def pixels(self) -> UInt8[np.ndarray, "h w 3"] | ImageError:
        """The picture, RGB and upright, whatever size is annotated; or why it cannot be read."""
        try:
            return read_image(self.path)
        except ImageError as error:
            return error

    @cached_property
    def is_constant(self) -> bool:
        """True where every pixel has one colour; False where it cannot be read."""
        pixels = self.pixels
        return isinstance(pixels, np.ndarray) and bool((pixels == pixels[:1, :1]).all())

    @cached_property
    def highest(self) -> int:
        """The highest stored value of a picture of 16 bits."""
        stored = cv2.imread(str(self.path), cv2.IMREAD_UNCHANGED)
        return 0 if stored is None else int(stored.max(initial=0))

    @cached_property
    def alpha(self) -> UInt8[np.ndarray, "h w"] | None:
        """How opaque each pixel is, where the file says so."""
        with Image.open(self.path) as image:
            if "A" not in image.getbands() and "transparency" not in image.info:
                return None
            return np.asarray(image.convert("RGBA"))[:, :, 3]

    @property
    def fits(self) -> bool | None:
        """Whether the file has the annotated size, upright or as stored; None if unreadable."""
        if not isinstance(self.header, Header):
            return None
        turned = is_turned_by_exif(self.header.size, self.header.orientation, self.size)
        return turned is not None

    @cached_property
    def masks(self) -> Masks:
        """The masks of all its objects, crowds and empty ones too, in the annotated size."""
        return self.index.masks(self.size, self.items)

    @cached_property
    def reach(self) -> Float64[np.ndarray, "n 4"]:
        """Box around each object's polygons as drawn, xyxy; around the mask of run lengths."""
        reach = self.masks.boxes.astype(np.float64)
        for k, item in enumerate(self.items.tolist()):
            rings = self.index.rings(item)
            if rings:
                points = np.concatenate(rings).reshape(-1, 2)
                reach[k] = *points.min(axis=0), *points.max(axis=0)
        return reach

    @cached_property
    def stated_boxes(self) -> Float64[np.ndarray, "n 4"]:
        """The box of each object as the source states it, xyxy."""
        xywh = self.index.xywh[self.items]
        return np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)

    @cached_property
    def bitmaps(self) -> list[UInt8[np.ndarray, "_ _"]]:
        """Each object cut out tightly, 1 where it is."""
        return [self.masks.bitmap(k)[0] for k in range(len(self.masks))]

    @cached_property
    def outlines(self) -> Float64[np.ndarray, " n"]:
        """Length of each object's outline in pixel edges, holes included."""
        return np.array([_num_edges(bitmap) for bitmap in self.bitmaps], np.float64)

    @property
    def where_solid(self) -> Int64[np.ndarray, " s"]:
        """Objects that are neither crowds nor empty, counted from 0 within the picture."""
        return np.flatnonzero(~(self.is_crowd | self.is_empty))


def _num_edges(bitmap: UInt8[np.ndarray, "h w"]) -> int:
    padded = np.pad(bitmap.astype(np.int8), 1)
    return int(np.abs(np.diff(padded, axis=0)).sum() + np.abs(np.diff(padded, axis=1)).sum())


def _bits(image: Image.Image, mode: str) -> int:
    if mode in ("I", "F"):
        return 16 if image.format == "PNG" else 32  # older Pillow opens 16-bit PNG as "I"
    if mode.startswith("I;16") or any(";16" in str(tile) for tile in getattr(image, "tile", ())):
        return 16
    return 1 if mode == "1" else 8


def _num_channels(image: Image.Image) -> int:
    if image.mode == "P":
        return 3
    return len(image.getbands())
