"""Pictures made of several: mosaic, copy-paste and mixup, each with the truth of all its parts.

The parts are pictures that have been through their own map and colours already (`See`), so every
pixel is interpolated once, wherever it comes from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Protocol

import cv2
import numpy as np
import torch
from jaxtyping import Int64
from pydantic import Field

from maskwright.masks import Masks
from maskwright.structures import Instances, Sample, Size
from maskwright.transforms.covering import cover_instances, join_instances
from maskwright.transforms.geometry import Fill, blank
from maskwright.transforms.options import Positive, PositiveCount, Probability, check_options

__all__ = ["CopyPaste", "MixUp", "Mosaic", "Partner", "See"]

Partner = Callable[[np.random.Generator], Sample]
"""Draws another picture of the dataset, as it was read."""

_Middle = Annotated[float, Field(gt=0.0, lt=1.0)]


class See(Protocol):
    """Makes of a picture as it was read what the network would see of it."""

    def __call__(
        self, sample: Sample, rng: np.random.Generator, *, window: Size, factor: float | None = None
    ) -> Sample:
        """Return one draw, at most as large as `window`; `factor` is the scale, None draws it."""


@dataclass(frozen=True, kw_only=True)
class Mosaic:
    """Four pictures around a random point (Bochkovskiy et al. 2020, YOLOv4, section 3.3).

    Each fills a quarter of the frame as an augmented picture fills the whole; where it is
    smaller, it lies at the point and the rest is fill.

    Args:
        probability: How often.
        scale: Range of each picture's factor on top of the resize, in place of the
            augmentation's own `scale`: below 0.7 it may leave part of its quarter empty.
        centre: Range of where the point lies, as a share of width and height.
    """

    probability: Probability = 0.0
    scale: tuple[Positive, Positive] = (0.5, 1.0)
    centre: tuple[_Middle, _Middle] = (0.3, 0.7)

    def __post_init__(self) -> None:
        check_options(self, ranges=("scale", "centre"))

    def apply(
        self,
        sample: Sample,
        rng: np.random.Generator,
        *,
        frame: Size,
        see: See,
        partner: Partner,
        fill: Fill,
    ) -> Sample:
        """Return a picture of the size `frame` of this one and three others.

        Args:
            sample: The picture as it was read; name and id of the result are its own.
            rng: Where randomness comes from.
            frame: (height, width) of the result.
            see: See `See`.
            partner: See `Partner`.
            fill: Value per channel where no picture is.
        """
        height, width = frame
        if min(frame) < 2:  # no room for four
            return see(sample, rng, window=frame)
        x, y = (np.rint(rng.uniform(*self.centre, 2) * [width, height])).astype(int).tolist()
        x, y = min(max(x, 1), width - 1), min(max(y, 1), height - 1)
        sources = [sample, *(partner(rng) for _ in range(3))]
        canvas, parts = blank(frame, fill, sample.image), []
        for place, quarter in zip(rng.permutation(4).tolist(), range(4), strict=True):
            is_right, is_low = quarter % 2, quarter // 2
            window = (height - y if is_low else y, width - x if is_right else x)
            tile = see(sources[place], rng, window=window, factor=rng.uniform(*self.scale))
            h, w = tile.targets.image_size
            corner = (x if is_right else x - w, y if is_low else y - h)
            canvas[corner[1] : corner[1] + h, corner[0] : corner[0] + w] = tile.image
            parts.append(_placed(tile.targets, corner, frame))
        return replace(sample, image=canvas, targets=join_instances(parts))


@dataclass(frozen=True, kw_only=True)
class CopyPaste:
    """Objects of another picture, pasted over this one (Ghiasi et al. 2021).

    The other picture goes through its own draw of all geometric changes and colours. Edges are
    not blended: the paper found no use in it. Crowds are never pasted.

    Args:
        probability: How often.
        objects: Range of how many, as far as the other picture has them.
        amodal: Keep the masks below whole; otherwise what is covered is removed from them.
            Objects that are wholly covered drop either way.
    """

    probability: Probability = 0.0
    objects: tuple[PositiveCount, PositiveCount] = (1, 10)
    amodal: bool = False

    def __post_init__(self) -> None:
        check_options(self, ranges=("objects",))

    def apply(
        self,
        sample: Sample,
        rng: np.random.Generator,
        *,
        see: See,
        partner: Partner,
        ignore_below: float = 0.0,
    ) -> Sample:
        """Return the sample with objects pasted over it, the pasted ones last.

        Args:
            sample: A picture as the network would see it.
            rng: Where randomness comes from.
            see: See `See`.
            partner: See `Partner`.
            ignore_below: See `cover_instances`.
        """
        other = partner(rng)
        other = replace(other, targets=other.targets[self._choose(other.targets, rng)])
        frame = sample.targets.image_size
        seen = see(other, rng, window=frame)
        corner = _draw_corner(seen.targets.image_size, frame, rng)
        if not len(seen.targets) or seen.targets.masks is None:
            return sample
        below = cover_instances(
            sample.targets,
            seen.targets.masks.union().place(corner, frame),
            amodal=self.amodal,
            ignore_below=ignore_below,
        )
        return replace(
            sample,
            image=_pasted(sample.image, seen, corner),
            targets=join_instances([below, _placed(seen.targets, corner, frame)]),
        )

    def _choose(self, targets: Instances, rng: np.random.Generator) -> Int64[np.ndarray, " m"]:
        """Draw which objects to paste, in their order."""
        solid = np.arange(len(targets))
        if targets.is_crowd is not None:
            solid = np.flatnonzero(~targets.is_crowd.numpy())
        count = min(int(rng.integers(self.objects[0], self.objects[1] + 1)), len(solid))
        return np.sort(rng.permutation(solid)[:count])


@dataclass(frozen=True, kw_only=True)
class MixUp:
    """Two pictures blended, with the objects of both (Zhang et al. 2018; 2019 for detection).

    Args:
        probability: How often.
        alpha: The weight is drawn from Beta(alpha, alpha): 32 keeps it between 0.3 and 0.7, so
            that both truths can be seen; 1 is uniform.
    """

    probability: Probability = 0.0
    alpha: Positive = 32.0

    def __post_init__(self) -> None:
        check_options(self)

    def apply(
        self, sample: Sample, rng: np.random.Generator, *, see: See, partner: Partner
    ) -> Sample:
        """Return the sample blended with another picture; where that does not reach, unchanged.

        Args:
            sample: A picture as the network would see it.
            rng: Where randomness comes from.
            see: See `See`.
            partner: See `Partner`.
        """
        frame = sample.targets.image_size
        weight = float(rng.beta(self.alpha, self.alpha))
        seen = see(partner(rng), rng, window=frame)
        height, width = seen.targets.image_size
        x, y = _draw_corner((height, width), frame, rng)
        image = sample.image.copy()
        below = image[y : y + height, x : x + width]
        below[:] = cv2.addWeighted(below, weight, seen.image, 1 - weight, 0)
        targets = join_instances([sample.targets, _placed(seen.targets, (x, y), frame)])
        return replace(sample, image=image, targets=targets)


def _draw_corner(size: Size, frame: Size, rng: np.random.Generator) -> tuple[int, int]:
    """Draw where (x, y) a picture of this size lies in a frame that is as large or larger."""
    room = np.array([frame[1] - size[1], frame[0] - size[0]]) + 1
    x, y = np.floor(rng.random(2) * room).astype(int).tolist()
    return x, y


def _placed(targets: Instances, corner: tuple[int, int], frame: Size) -> Instances:
    """The same objects in a larger frame in which theirs begins at `corner` (x, y)."""
    masks = Masks.empty(targets.image_size) if targets.masks is None else targets.masks
    placed = masks.place(corner, frame)
    boxes = torch.from_numpy(placed.boxes)
    return replace(targets, image_size=frame, masks=placed, boxes=boxes)


def _pasted(image: np.ndarray, seen: Sample, corner: tuple[int, int]) -> np.ndarray:
    """A copy of the picture with the objects of another over it."""
    assert seen.targets.masks is not None
    shape, (x, y) = seen.targets.masks.union().bitmap(0)
    height, width = shape.shape
    left, top = x + corner[0], y + corner[1]
    pasted = image.copy()
    source = np.ascontiguousarray(seen.image[y : y + height, x : x + width])
    window = pasted[top : top + height, left : left + width]
    window[:] = cv2.copyTo(source, shape, window.copy())
    return pasted
