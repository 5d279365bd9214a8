"""`Masks`: the exact binary masks of the objects of one picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Int64, UInt8

from maskwright.errors import MaskError
from maskwright.masks import (
    boundary,
    checks,
    crop_resize,
    frames,
    label_maps,
    outlines,
    overlap,
    paste,
    polygons,
    rle,
    warp,
)
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
        self.runs = checks.checked_runs(runs)
        self.offsets = checks.checked_offsets(offsets)
        owner, fault = run_lists.find_fault(self.runs, self.offsets, *self.image_size)
        if fault:
            raise MaskError(f"mask {owner} of a {self.image_size} picture: {fault}")

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
        size = checks.checked_size(image_size)
        return cls(size, *run_lists.boxes_to_runs(checks.checked_boxes(boxes), size))

    @classmethod
    def from_rle(
        cls, rles: Sequence[Mapping[str, Any]], image_size: Sequence[int] | None = None
    ) -> Masks:
        """Masks of COCO run lengths, `{"size": [h, w], "counts": ...}` each.

        Args:
            rles: Counts are compressed text (str or bytes) or a list of integers, in any mixture.
            image_size: The size they must be of; None takes that of the first.

        Raises:
            MaskError: Damaged text, another size, or counts that do not sum to the picture.

        >>> Masks.from_rle([{"size": [2, 3], "counts": [1, 2, 3]}]).to_dense().astype(int)
        array([[[0, 1, 0],
                [1, 0, 0]]])
        """
        size = None if image_size is None else checks.checked_size(image_size)
        decoded_size, decoded = rle.decode_rles(rles, size)
        return cls(decoded_size, *decoded)

    @classmethod
    def from_polygons(cls, objects: Sequence[Sequence[Any]], image_size: Sequence[int]) -> Masks:
        """Masks of COCO polygons, rasterised exactly as pycocotools does.

        Args:
            objects: Per object a list of rings, flat [x, y, x, y, ...] or (p, 2), in pixels of the
                shared frame. The rings of an object are united; none gives an empty mask.
            image_size: (height, width) of the picture; what lies outside is cut off.

        Raises:
            MaskError: An odd number of coordinates, fewer than three points, or NaN; it names the
                index of the object.

        >>> Masks.from_polygons([[[0, 0, 3, 0, 3, 2, 0, 2]]], (3, 4)).area
        array([6])
        """
        size = checks.checked_size(image_size)
        return cls(size, *polygons.rasterise_polygons(objects, size))

    @classmethod
    def from_outlines(
        cls, objects: Sequence[Sequence[outlines.Outline]], image_size: Sequence[int]
    ) -> Masks:
        """Masks of outlines with holes: the pixels whose centre lies inside; see `to_polygons`.

        The outlines of an object are united; corners may be fractions of pixels and lie outside
        the picture. Raises a MaskError as `from_polygons` does.
        """
        size = checks.checked_size(image_size)
        return cls(size, *outlines.rasterise_outlines(objects, size))

    @classmethod
    def from_label_map(cls, label_map: Any) -> tuple[Masks, Int64[np.ndarray, " n"]]:
        """Masks of an (h, w) integer map, one per value but 0, and the values, ascending.

        >>> masks, values = Masks.from_label_map([[0, 7], [3, 7]])
        >>> values.tolist(), masks.area.tolist()
        ([3, 7], [1, 2])
        """
        labels = checks.checked_label_map(label_map)
        found, values = label_maps.label_map_to_runs(labels)
        return cls(labels.shape, *found), values.astype(np.int64)

    @classmethod
    def paste(
        cls, crops: Any, boxes: Any, image_size: Sequence[int], threshold: float = 0.5
    ) -> Masks:
        """Masks of crops of probabilities, resized into their boxes.

        Equal, bit for bit, to torchvision's `paste_masks_in_image(crops[:, None], boxes,
        image_size) > threshold` for float32 crops and boxes, as torch computes it on this
        processor: its AVX2 and AVX512 kernels fuse multiply and add, its default ones do not; both
        are followed. Where torchvision fails (a box wholly to the left of the picture or above
        it), the mask is empty. Nothing of the size of the picture is allocated.

        Args:
            crops: (n, s, s) probabilities in the frame of each box, used as float32.
            boxes: (n, 4) xyxy pixels, used as float32; they may lie beyond the picture.
            image_size: (height, width) of the picture.
            threshold: A pixel is set where its probability is greater; 0 to 1.

        Raises:
            MaskError: Wrong shapes or dtypes, or values that are not finite.

        >>> Masks.paste(np.full((1, 28, 28), 0.9), [[20, 10, 60, 40]], (80, 100)).boxes
        array([[20.,  9., 60., 41.]], dtype=float32)
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
        for part in parts:
            checks.check_same_size(parts[0].image_size, part.image_size)
        return cls(parts[0].image_size, *run_lists.join_runs([part._stored for part in parts]))

    @property
    def _stored(self) -> run_lists.Runs:
        return self.runs, self.offsets

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: Any) -> Masks:
        """Select objects: an integer (Masks of one), a slice, integers, or a boolean per object."""
        chosen = checks.chosen_indices(index, len(self))
        return Masks(self.image_size, *run_lists.select_runs(*self._stored, chosen))

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
        return run_lists.run_areas(*self._stored)

    @property
    def boxes(self) -> Float32[np.ndarray, "n 4"]:
        """Tight xyxy box of each mask in pixels; four zeros for an empty mask."""
        return run_lists.run_boxes(*self._stored).astype(np.float32)

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
            run_lists.paint_runs(self.runs[self.offsets[i] : self.offsets[i + 1]], 0, 0, dense[i])
        return dense.view(np.bool_)

    def to_coco(self) -> list[dict[str, Any]]:
        """COCO compressed run lengths, `{"size": [h, w], "counts": str}` each.

        The text equals what `pycocotools.mask.encode` writes, decoded to str.

        >>> Masks.from_boxes([[0, 0, 2, 1]], (2, 3)).to_coco()
        [{'size': [2, 3], 'counts': '01102'}]
        """
        return rle.encode_packed(*self._stored, self.image_size)

    def to_uncompressed_rle(self) -> list[dict[str, Any]]:
        """COCO run lengths as lists of integers, beginning with the unset pixels."""
        return rle.encode_plain(*self._stored, self.image_size)

    def to_label_map(
        self, overlap: Literal["error", "first", "last"] = "error", values: Any = None
    ) -> Int32[np.ndarray, "h w"]:
        """All masks in one (h, w) map of integers, 0 where there is no object.

        Args:
            overlap: Who has a pixel of several objects: the first, the last, or nobody: an error.
            values: (n,) integers to write, not 0; None writes 1 to n.

        Raises:
            MaskError: Objects that overlap where that is an error; it names two of them.
        """
        painted = checks.checked_values(values, len(self), overlap)
        return label_maps.runs_to_label_map(*self._stored, self.image_size, overlap, painted)

    def to_polygons(self) -> list[list[outlines.Outline]]:
        """The exact outlines of each mask: one per part, with its holes.

        Corners lie on the corners of pixels, so `Masks.from_outlines` gives the same masks back.
        Parts that only touch at a corner are separate outlines.

        >>> Masks.from_boxes([[1, 0, 3, 2]], (2, 4)).to_polygons()[0][0].exterior.tolist()
        [[3, 0], [3, 2], [1, 2], [1, 0]]
        """
        return outlines.trace_outlines(*self._stored)

    def iou(self, other: Masks, is_crowd: Any = None) -> Float64[np.ndarray, "n m"]:
        """Intersection over union of each mask with each of `other`, as pycocotools counts it.

        Args:
            other: m masks of the same picture.
            is_crowd: (m,) bool; where `other` is a crowd, the intersection is divided by the area
                of the mask of `self` alone. None means no crowd.
        """
        checks.check_same_size(self.image_size, other.image_size)
        crowds = checks.checked_flags(is_crowd, len(other))
        return overlap.overlap_ratios(self._stored, other._stored, crowds)

    def union(self) -> Masks:
        """One mask, set where any mask is set; without masks, one empty mask."""
        owners = np.zeros(len(self.runs), np.int64)
        return Masks(self.image_size, *run_lists.sort_and_unite(self.runs, owners, 1))

    def intersection(self, other: Masks) -> Masks:
        """Each mask cut to the mask of the same index in `other`, or to the only one there."""
        return self._combined(other, overlap.intersect_runs)

    def difference(self, other: Masks) -> Masks:
        """Each mask without the mask of the same index in `other`, or without the only one."""
        return self._combined(other, overlap.difference_runs)

    def remove_overlaps(self) -> Masks:
        """Each mask without the pixels of the masks before it: the earlier object wins."""
        parts = overlap.take_earlier_out(*self._stored, self.image_size[0])
        return Masks(self.image_size, *parts)

    def boundary(self, dilation_ratio: float = 0.02) -> Masks:
        """The band inside each mask along its edge, as Boundary IoU defines it.

        Args:
            dilation_ratio: Width of the band over the diagonal of the picture; at least 1 pixel.
                Where a mask meets the border of the picture, that is edge too.
        """
        width = boundary.boundary_width(self.image_size, dilation_ratio)
        band = boundary.boundary_runs(*self._stored, self.image_size[0], width)
        return Masks(self.image_size, *band)

    def crop(self, box: Sequence[int]) -> Masks:
        """What lies inside an integer xyxy box, in the frame of the box.

        Raises:
            MaskError: A box that is empty or reaches beyond the picture.
        """
        corners = checks.checked_crop_box(box, self.image_size)
        size = (corners[3] - corners[1], corners[2] - corners[0])
        return Masks(size, *frames.crop_runs(*self._stored, corners))

    def place(self, corner: Sequence[int], image_size: Sequence[int]) -> Masks:
        """The same masks in a larger picture, of which this one is a window.

        The way back from `crop`: `masks.crop((x1, y1, x2, y2)).place((x1, y1), size)` is what of
        the masks lies in the box.

        Args:
            corner: (x, y) of this frame's first pixel in the larger picture.
            image_size: (height, width) of the larger picture.

        Raises:
            MaskError: A frame that reaches beyond the larger picture.

        >>> Masks.from_boxes([[0, 0, 2, 1]], (1, 2)).place((3, 4), (8, 9)).boxes.tolist()
        [[3.0, 4.0, 5.0, 5.0]]
        """
        size = checks.checked_size(image_size)
        x, y = (int(each) for each in corner)
        checks.checked_crop_box((x, y, x + self.image_size[1], y + self.image_size[0]), size)
        return Masks(size, *frames.place_runs(*self._stored, (x, y)))

    def flip_horizontal(self) -> Masks:
        """Left and right swapped."""
        return Masks(self.image_size, *frames.mirror_across(*self._stored, self.image_size[1]))

    def flip_vertical(self) -> Masks:
        """Top and bottom swapped."""
        return Masks(self.image_size, *frames.mirror_down(*self._stored, self.image_size[0]))

    def rotate90(self, k: int = 1) -> Masks:
        """The picture turned by k quarters anti-clockwise, like `numpy.rot90`."""
        turned = self
        for _ in range(k % 4):
            parts = frames.quarter_turn(*turned._stored, turned.image_size[1])
            turned = Masks(turned.image_size[::-1], *parts)
        return turned

    def warp_affine(self, matrix: Any, image_size: Sequence[int]) -> Masks:
        """The masks in another picture, sampled at the centres of its pixels.

        Args:
            matrix: (2, 3) map of positions from this picture to the other, in pixels with (0, 0)
                at the outer corner of the first pixel (its centre is (0.5, 0.5)).
            image_size: (height, width) of the other picture; what falls outside is cut off.

        Raises:
            MaskError: A map that is not finite or cannot be inverted.
        """
        forward = np.vstack([checks.checked_matrix(matrix, (2, 3)), [0, 0, 1]])
        size = checks.checked_size(image_size)
        return Masks(size, *warp.warp_runs(*self._stored, forward, size))

    def warp_perspective(self, matrix: Any, image_size: Sequence[int]) -> Masks:
        """The masks in another picture under a homography, sampled as `warp_affine` does.

        Args:
            matrix: (3, 3) map of homogeneous positions (x, y, 1) from this picture to the other.
            image_size: (height, width) of the other picture; what falls outside is cut off.

        Raises:
            MaskError: A map that is not finite, cannot be inverted, or whose horizon crosses
                this picture.
        """
        forward = checks.checked_matrix(matrix, (3, 3))
        size = checks.checked_size(image_size)
        facing = warp.facing_map(forward, self.image_size)
        return Masks(size, *warp.warp_runs(*self._stored, facing, size))

    def crop_resize(
        self, boxes: Any, indices: Any, size: int
    ) -> Float32[np.ndarray, "m size size"]:
        """Mask indices[k] inside boxes[k], averaged to a square: targets of a mask head.

        Equal to `torchvision.ops.roi_align` of the dense masks as float32, with `aligned=False`
        and `sampling_ratio=-1`; only one mask at a time is decoded, inside its own box.

        Args:
            boxes: (m, 4) xyxy pixels; used as float32.
            indices: (m,) integers, which mask each box is for.
            size: Side of the square in cells.
        """
        corners = checks.checked_boxes(boxes)
        chosen = checks.checked_indices(indices, len(corners), len(self))
        if size < 1:
            raise MaskError(f"size must be 1 or more, got {size}")
        return crop_resize.crop_and_resize(*self._stored, self.image_size, corners, chosen, size)

    def _combined(self, other: Masks, combine: Callable[..., run_lists.Runs]) -> Masks:
        checks.check_same_size(self.image_size, other.image_size)
        if len(other) not in (1, len(self)):
            raise MaskError(f"wanted {len(self)} masks or one to combine with, got {len(other)}")
        combined = combine(self._stored, other._stored, self.image_size[0])
        return Masks(self.image_size, *combined)


def _stack(parts: list[np.ndarray]) -> run_lists.Runs:
    """The runs of one object per part."""
    return run_lists.join_runs([(part, np.array([0, len(part)])) for part in parts])
