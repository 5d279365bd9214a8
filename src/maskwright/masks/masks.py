"""`Masks`: the exact binary masks of the objects of one picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Int64, UInt8

from maskwright.errors import MaskError
from maskwright.masks import checks, paste, rle
from maskwright.masks import runs as run_lists

__all__ = ["Masks"]


class Masks:
    """n exact binary masks of one picture, stored as vertical runs.

    Immutable; masks may overlap, have holes and several parts, and be empty. Memory is 12 bytes
    a run, whatever the size of the picture. Arrays given may be NumPy's or torch's on the CPU.

    Args:
        image_size: (height, width) of the picture in pixels.
        runs: (r, 3) integers: column x, first row and last row (exclusive) of each run, sorted by
            x, then row, within an object; runs of one column neither overlap nor touch.
        offsets: (n + 1,) integers: object i has runs[offsets[i]:offsets[i + 1]].

    Raises:
        MaskError: Runs that are not in this form.

    >>> masks = Masks.from_boxes([[1, 0, 3, 2]], image_size=(2, 4))
    >>> masks.runs.tolist(), masks.area.tolist()
    ([[1, 0, 2], [2, 0, 2]], [4])
    """

    __slots__ = ("image_size", "offsets", "runs")

    image_size: tuple[int, int]
    runs: Int32[np.ndarray, "r 3"]
    offsets: Int64[np.ndarray, " n+1"]

    def __init__(self, image_size: Sequence[int], runs: Any, offsets: Any) -> None:
        self.image_size = checks.checked_size(image_size)
        self.runs = np.ascontiguousarray(runs, np.int32).reshape(-1, 3)
        self.offsets = np.ascontiguousarray(offsets, np.int64)
        owner, fault = run_lists.find_fault(self.runs, self.offsets, *self.image_size)
        if fault:
            raise MaskError(f"mask {owner} of a {self.image_size} picture: {fault}")
        self.runs.flags.writeable = False
        self.offsets.flags.writeable = False

    @classmethod
    def empty(cls, image_size: Sequence[int]) -> Masks:
        """No objects, on a picture of `image_size` (height, width)."""
        return cls(image_size, np.zeros((0, 3), np.int32), np.zeros(1, np.int64))

    @classmethod
    def from_dense(cls, dense: Any) -> Masks:
        """Masks of an (n, h, w) array, boolean or integer (not 0 is set)."""
        pixels = checks.checked_binary(dense, "dense masks", 3)
        parts = [run_lists.bitmap_to_runs(bitmap, 0, 0) for bitmap in pixels]
        return cls(pixels.shape[1:], *_stack(parts))

    @classmethod
    def from_bitmaps(
        cls, bitmaps: Sequence[tuple[Any, tuple[int, int]]], image_size: Sequence[int]
    ) -> Masks:
        """Masks of (bitmap, (x, y)) pairs: bitmaps whose first pixel lies at (x, y).

        Raises:
            MaskError: A set pixel outside the picture.
        """
        parts = [
            run_lists.bitmap_to_runs(checks.checked_binary(bitmap, f"bitmap {i}", 2), *corner)
            for i, (bitmap, corner) in enumerate(bitmaps)
        ]
        return cls(image_size, *_stack(parts))

    @classmethod
    def from_boxes(cls, boxes: Any, image_size: Sequence[int]) -> Masks:
        """Filled boxes, (n, 4) xyxy: the pixels whose centre lies inside, cut to the picture."""
        height, width = checks.checked_size(image_size)
        corners = np.ceil(checks.checked_boxes(boxes).astype(np.float64) - 0.5).astype(np.int64)
        corners = np.clip(corners, 0, [width, height, width, height])
        filled = (corners[:, 2:] > corners[:, :2]).all(axis=1)
        lengths = np.where(filled, corners[:, 2] - corners[:, 0], 0)
        offsets = run_lists.offsets_of(lengths)
        owners = np.repeat(np.arange(len(corners)), lengths)
        x = np.arange(offsets[-1]) - offsets[owners] + corners[owners, 0]
        runs = np.stack([x, corners[owners, 1], corners[owners, 3]], axis=1)
        return cls((height, width), runs, offsets)

    @classmethod
    def from_rle(
        cls, rles: Sequence[Mapping[str, Any]], image_size: Sequence[int] | None = None
    ) -> Masks:
        """Masks of COCO run lengths, `{"size": [h, w], "counts": ...}` each.

        Args:
            rles: Counts are compressed text (str or bytes) or a list of integers, in any mixture.
            image_size: The size they must be of; None takes that of the first.

        Raises:
            MaskError: Damaged text, another size, or counts that do not sum to the picture; it
                names the index of the mask.

        >>> Masks.from_rle([{"size": [2, 3], "counts": [1, 2, 3]}]).to_dense().astype(int)
        array([[[0, 1, 0],
                [1, 0, 0]]])
        """
        size = None if image_size is None else checks.checked_size(image_size)
        decoded_size, decoded = rle.decode_rles(rles, size)
        return cls(decoded_size, *decoded)

    @classmethod
    def paste(
        cls, crops: Any, boxes: Any, image_size: Sequence[int], threshold: float = 0.5
    ) -> Masks:
        """Masks of crops of probabilities, resized into their boxes.

        Equal, bit for bit, to torchvision's `paste_masks_in_image(crops[:, None], boxes,
        image_size) > threshold` for float32 crops and boxes, as torch computes it on this
        processor: with the AVX2 and AVX512 kernels (also 64-bit ARM) multiply and add are fused,
        with ATEN_CPU_CAPABILITY=default they are not; both are followed. Where torchvision fails
        (boxes beyond the left or top border), the masks are empty. Nothing of the size of the
        picture is allocated.

        Args:
            crops: (n, s, s) floating point probabilities in the frame of each box; used as
                float32.
            boxes: (n, 4) xyxy pixels; used as float32. They may lie beyond the picture.
            image_size: (height, width) of the picture.
            threshold: A pixel is set where its probability is greater; 0 to 1.

        Raises:
            MaskError: Wrong shapes or dtypes, or values that are not finite.

        >>> crops = np.full((1, 2, 2), 0.9)
        >>> Masks.paste(crops, [[1, 1, 4, 3]], (4, 5)).to_dense()[0].astype(int)
        array([[0, 0, 0, 0, 0],
               [0, 1, 1, 1, 0],
               [0, 1, 1, 1, 0],
               [0, 0, 0, 0, 0]])
        """
        probs = checks.checked_crops(crops)
        corners = checks.checked_boxes(boxes, len(probs))
        if not 0 <= threshold <= 1:
            raise MaskError(f"threshold must be from 0 to 1, got {threshold}")
        size = checks.checked_size(image_size)
        return cls(size, *paste.paste_runs(probs, corners, size, threshold))

    @classmethod
    def concatenate(cls, parts: Sequence[Masks]) -> Masks:
        """The objects of several Masks of one picture, in order; at least one part.

        Raises:
            MaskError: No parts, or parts of different pictures.
        """
        if not parts:
            raise MaskError("concatenate needs at least one Masks, to know the image size")
        for index, part in enumerate(parts):
            if part.image_size != parts[0].image_size:
                raise MaskError(
                    f"part {index} is of a {part.image_size} picture, part 0 of "
                    f"{parts[0].image_size}: all must be of one size"
                )
        return cls(parts[0].image_size, *run_lists.join_runs([(p.runs, p.offsets) for p in parts]))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: Any) -> Masks:
        """Select objects: an integer (Masks of one), a slice, integers, or a boolean per object."""
        if isinstance(index, slice):
            chosen = np.arange(len(self))[index]
        elif np.ndim(index) == 0:
            if not -len(self) <= index < len(self):
                raise IndexError(f"mask {index} of {len(self)}")
            chosen = np.array([index]) % len(self)
        else:
            listed = np.asarray(index)
            chosen = np.arange(len(self))[listed if listed.size else listed.astype(np.int64)]
        return Masks(self.image_size, *run_lists.select_runs(self.runs, self.offsets, chosen))

    def __iter__(self) -> Iterator[Masks]:
        return (self[i] for i in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Masks):
            return NotImplemented
        return (
            self.image_size == other.image_size
            and np.array_equal(self.offsets, other.offsets)
            and np.array_equal(self.runs, other.runs)
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Masks(n={len(self)}, image_size={self.image_size}, runs={len(self.runs)})"

    @property
    def area(self) -> Int64[np.ndarray, " n"]:
        """Set pixels of each mask."""
        return run_lists.run_areas(self.runs, self.offsets)

    @property
    def boxes(self) -> Float32[np.ndarray, "n 4"]:
        """Tight xyxy box of each mask in pixels; four zeros for an empty mask."""
        return run_lists.run_boxes(self.runs, self.offsets).astype(np.float32)

    def bitmap(self, index: int) -> tuple[UInt8[np.ndarray, "h w"], tuple[int, int]]:
        """One mask as 0 and 1 inside its tight box, and the (x, y) of its first pixel.

        An empty mask gives a (0, 0) bitmap at (0, 0).
        """
        one = self[index]
        x1, y1, x2, y2 = run_lists.run_boxes(one.runs, one.offsets)[0].tolist()
        return run_lists.runs_to_bitmap(one.runs, x1, y1, y2 - y1, x2 - x1), (x1, y1)

    def to_dense(self) -> Bool[np.ndarray, "n h w"]:
        """All masks as (n, h, w) booleans: n x height x width bytes, so for small pictures only."""
        height, width = self.image_size
        dense = np.zeros((len(self), height, width), np.uint8)
        for i in range(len(self)):
            run_lists.paint(self.runs[self.offsets[i] : self.offsets[i + 1]], 0, 0, dense[i])
        return dense.view(np.bool_)

    def to_coco(self) -> list[dict[str, Any]]:
        """COCO compressed run lengths, `{"size": [h, w], "counts": str}` each.

        The text equals what `pycocotools.mask.encode` writes, decoded to str.

        >>> Masks.from_boxes([[0, 0, 2, 1]], (2, 3)).to_coco()
        [{'size': [2, 3], 'counts': '01112'}]
        """
        texts = rle.run_texts(self.runs, self.offsets, self.image_size)
        return [{"size": list(self.image_size), "counts": text} for text in texts]

    def to_uncompressed_rle(self) -> list[dict[str, Any]]:
        """COCO run lengths as lists of integers, beginning with the unset pixels."""
        counts, offsets = rle.run_counts(self.runs, self.offsets, self.image_size)
        return [
            {"size": list(self.image_size), "counts": counts[begin:end].tolist()}
            for begin, end in zip(offsets[:-1], offsets[1:], strict=True)
        ]


def _stack(parts: list[np.ndarray]) -> run_lists.Runs:
    """The runs of one object per part."""
    return run_lists.join_runs([(part, np.array([0, len(part)])) for part in parts])
