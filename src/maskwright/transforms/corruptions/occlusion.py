"""Things in the way: grey patches, and objects of other pictures pasted over.

The truth follows: what is covered is taken from the masks. An object of which less than a tenth
is left to be seen is ignored (a crowd with its whole mask): nobody can be asked to find it, and a
model that finds it is not wrong. Pasted objects are ignored too: the question is what of the
picture's own objects is still found, at every strength the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Int64, UInt8

from maskwright.masks import Masks
from maskwright.structures import Instances, Sample
from maskwright.transforms.covering import join_instances
from maskwright.transforms.geometry import FILL

__all__ = ["OCCLUSIONS", "Donors", "Occlusion", "occluded_truth"]

Donors: TypeAlias = Callable[[np.random.Generator], Sample | None]
"""Draws a picture with objects to paste; None where there is none."""

_LEAST_SEEN = 0.1
"""Part of an object below which it is ignored; the presets that cover much ignore the same."""

_MOST_PASTED = 400
_PER_DONOR = 4
"""Objects taken from a picture that was read, before another is."""


@dataclass(frozen=True, kw_only=True)
class Occlusion:
    """One way of hiding objects.

    Args:
        name: As on the command line.
        levels: By strength from 1 to 5, see `apply`.
        apply: (sample, level, generator, donors) -> sample. The things in the way at one strength
            are those of the strength below and more.
    """

    name: str
    levels: tuple[float, float, float, float, float]
    apply: Callable[[Sample, float, np.random.Generator, Donors], Sample]


def cover_with_patches(
    sample: Sample, share: float, rng: np.random.Generator, _donors: Donors
) -> Sample:
    """Paint rectangles until this share of the picture is covered.

    Each has sides of a tenth to a quarter of the picture's, and the colour of what lies outside
    of pictures in training (`FILL`).
    """
    height, width = sample.image.shape[:2]
    cover = np.zeros((height, width), bool)
    while cover.mean() < share:
        sides = np.maximum(1, np.rint(rng.uniform(0.1, 0.25, 2) * (height, width))).astype(int)
        top, left = np.floor(rng.random(2) * ((height, width) - sides + 1)).astype(int)
        cover[top : top + sides[0], left : left + sides[1]] = True
    image = sample.image.copy()
    image[cover] = FILL
    return replace(
        sample, image=image, targets=occluded_truth(sample.targets, Masks.from_dense(cover[None]))
    )


def cover_with_objects(
    sample: Sample, share: float, rng: np.random.Generator, donors: Donors
) -> Sample:
    """Paste objects of other pictures until this share of the objects' pixels is covered.

    Each is pasted in its own size with its middle on a pixel of one of the picture's objects.
    Pictures without objects stay as they are.
    """
    masks = sample.targets.masks
    assert masks is not None, "occlusion needs true masks"
    is_own = masks.area > 0
    if sample.targets.is_crowd is not None:
        is_own &= ~sample.targets.is_crowd.numpy()
    own = masks[np.flatnonzero(is_own)]
    if not len(own):
        return sample
    foreground = own.union().to_dense()[0]
    image, cover = sample.image.copy(), np.zeros(foreground.shape, bool)
    pasted: list[tuple[np.ndarray, tuple[int, int], int]] = []
    for bitmap, pixels, label in _objects(donors, rng):
        place = _paste(image, bitmap, pixels, _place_on(own, rng))
        if place is not None:
            (x, y), visible = place
            cover[y : y + visible.shape[0], x : x + visible.shape[1]] |= visible
            pasted.append((visible, (x, y), label))
        if (cover & foreground).sum() >= share * foreground.sum() or len(pasted) >= _MOST_PASTED:
            break
    if not pasted:
        return sample
    hidden = occluded_truth(sample.targets, Masks.from_dense(cover[None]))
    return replace(sample, image=image, targets=join_instances([hidden, _ignored(hidden, pasted)]))


def occluded_truth(targets: Instances, cover: Masks) -> Instances:
    """Return the truth of a picture of which `cover`, one mask, cannot be seen.

    Objects keep their number and order. Masks lose what is covered and boxes follow, but objects
    of which less than a tenth is seen become crowds and keep mask and box.
    """
    masks = targets.masks
    assert masks is not None, "occlusion needs true masks"
    if not len(masks):
        return targets
    visible = masks.difference(cover)
    is_hidden = visible.area < _LEAST_SEEN * masks.area
    both = Masks.concatenate([masks, visible])
    chosen = both[np.where(is_hidden, 0, len(masks)) + np.arange(len(masks))]
    is_crowd = torch.from_numpy(is_hidden)
    if targets.is_crowd is not None:
        is_crowd = is_crowd | targets.is_crowd
    return replace(targets, masks=chosen, boxes=torch.from_numpy(chosen.boxes), is_crowd=is_crowd)


def _objects(
    donors: Donors, rng: np.random.Generator
) -> Iterator[tuple[Bool[np.ndarray, "h w"], UInt8[np.ndarray, "h w 3"], int]]:
    """Yield (mask, pixels, label) of objects drawn from the donors, without end."""
    while (donor := donors(rng)) is not None:
        masks, is_crowd = donor.targets.masks, donor.targets.is_crowd
        assert masks is not None
        usable = masks.area > 0
        if is_crowd is not None:
            usable &= ~is_crowd.numpy()
        for index in rng.permutation(np.flatnonzero(usable))[:_PER_DONOR].tolist():
            bitmap, (x, y) = masks.bitmap(index)
            height, width = bitmap.shape
            pixels = donor.image[y : y + height, x : x + width]
            yield bitmap.astype(bool), pixels, int(donor.targets.labels[index])


def _place_on(masks: Masks, rng: np.random.Generator) -> tuple[int, int]:
    """Draw an object, then a pixel of it, (x, y)."""
    one = masks[int(rng.integers(len(masks)))]
    ends: Int64[np.ndarray, " r"] = np.cumsum(one.runs[:, 2] - one.runs[:, 1])
    chosen = int(rng.integers(ends[-1]))
    run = int(np.searchsorted(ends, chosen, side="right"))
    x, _, bottom = one.runs[run].tolist()
    return x, bottom - int(ends[run] - chosen)


def _paste(
    image: UInt8[np.ndarray, "h w 3"],
    bitmap: Bool[np.ndarray, "a b"],
    pixels: UInt8[np.ndarray, "a b 3"],
    centre: tuple[int, int],
) -> tuple[tuple[int, int], Bool[np.ndarray, "c d"]] | None:
    """Paste into the picture, in place; return the corner and what lies inside of the picture."""
    height, width = image.shape[:2]
    left, top = centre[0] - bitmap.shape[1] // 2, centre[1] - bitmap.shape[0] // 2
    x1, y1 = max(left, 0), max(top, 0)
    x2, y2 = min(left + bitmap.shape[1], width), min(top + bitmap.shape[0], height)
    inside = (slice(y1 - top, y2 - top), slice(x1 - left, x2 - left))
    visible = bitmap[inside]
    if not visible.any():
        return None
    image[y1:y2, x1:x2][visible] = pixels[inside][visible]
    return (x1, y1), visible


def _ignored(like: Instances, pasted: list[tuple[np.ndarray, tuple[int, int], int]]) -> Instances:
    """Return the pasted objects as crowds; those pasted over by later ones keep their masks."""
    masks = Masks.from_bitmaps([(bitmap, place) for bitmap, place, _ in pasted], like.image_size)
    return replace(
        like,
        boxes=torch.from_numpy(masks.boxes),
        labels=torch.tensor([label for _, _, label in pasted], dtype=torch.int64),
        masks=masks,
        is_crowd=torch.ones(len(pasted), dtype=torch.bool),
    )


OCCLUSIONS: dict[str, Occlusion] = {
    "patches": Occlusion(
        name="patches", levels=(0.05, 0.1, 0.2, 0.3, 0.4), apply=cover_with_patches
    ),
    "objects": Occlusion(
        name="objects", levels=(0.1, 0.2, 0.3, 0.4, 0.5), apply=cover_with_objects
    ),
}
"""Name -> way of hiding objects. ImageNet-C has none; the levels are ours."""
