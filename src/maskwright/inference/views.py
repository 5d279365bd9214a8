"""Test-time augmentation: a picture as it is, mirrored, and larger or smaller for the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from maskwright.errors import ConfigError, nearest_name
from maskwright.structures import Batch, Instances

if TYPE_CHECKING:
    from maskwright.inference.runtime import Runtime

__all__ = ["AS_IT_IS", "SCALES", "ScalingRuntime", "View", "parse_views"]

SCALES = (0.8, 1.0, 1.25)
"""What "scales" stands for: sizes of the picture in the network, against the usual one."""


@runtime_checkable
class ScalingRuntime(Protocol):
    """A runtime whose network takes pictures of any size: `InstanceSegmenter`, for one."""

    def collate_scaled(self, images: Sequence[np.ndarray], scale: float) -> Batch:
        """Make a batch as `collate` does, of pictures `scale` times as large.

        What `predict` finds in it is in the frame of the original pictures all the same.
        """


@dataclass(frozen=True, kw_only=True)
class View:
    """One way of showing a picture to a network.

    Args:
        is_mirrored: Left and right are swapped.
        is_upside_down: Top and bottom are swapped.
        scale: Size in the network, against the usual one.
    """

    is_mirrored: bool = False
    is_upside_down: bool = False
    scale: float = 1.0

    def collate(self, model: Runtime, images: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> Batch:
        """Make a batch of the pictures in this view.

        Raises:
            ConfigError: Another scale, and the model's network takes one size only.
        """
        shown = [self._turned(image) for image in images]
        if self.scale == 1:
            return model.collate(shown)
        if not isinstance(model, ScalingRuntime):
            raise ConfigError(
                f"{type(model).__name__} takes pictures of one size only, so that --tta scales "
                "cannot be: take --tta flips; each model of an ensemble can have its own views"
            )
        return model.collate_scaled(shown, self.scale)

    def back(self, found: Instances) -> Instances:
        """Return objects found in this view in the frame of the picture as it is.

        Masks are mirrored in runs, to the pixel; boxes to float32.
        """
        height, width = found.image_size
        boxes, masks = found.boxes, found.masks
        if self.is_mirrored:
            boxes = boxes[:, [2, 1, 0, 3]] * boxes.new_tensor([-1, 1, -1, 1])
            boxes = boxes + boxes.new_tensor([width, 0, width, 0])
            masks = None if masks is None else masks.flip_horizontal()
        if self.is_upside_down:
            boxes = boxes[:, [0, 3, 2, 1]] * boxes.new_tensor([1, -1, 1, -1])
            boxes = boxes + boxes.new_tensor([0, height, 0, height])
            masks = None if masks is None else masks.flip_vertical()
        return replace(found, boxes=boxes, masks=masks)

    def _turned(self, image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
        if self.is_mirrored:
            image = image[:, ::-1]
        if self.is_upside_down:
            image = image[::-1]
        return np.ascontiguousarray(image)


AS_IT_IS = View()

_WORDS = ("flips", "vertical-flips", "scales")


def parse_views(name: str | None) -> tuple[View, ...]:
    """Return the views that a name stands for; None: the picture as it is.

    "flips" are the picture and its mirror image; "vertical-flips", for pictures without an up and
    a down, the picture and it upside down; "scales" three sizes. Words joined by "+" multiply:
    "flips+vertical-flips" are all four, "flips+scales" six.

    Raises:
        ConfigError: An unknown word, or one twice.

    >>> len(parse_views("flips+scales"))
    6
    """
    if name is None:
        return (AS_IT_IS,)
    words = name.split("+")
    for word in words:
        if word not in _WORDS:
            raise ConfigError(
                f"unknown view {word!r} of test-time augmentation {name!r}."
                f"{nearest_name(word, _WORDS)} There are: {', '.join(_WORDS)}, and several "
                "of them joined by +"
            )
    if len(set(words)) < len(words):
        raise ConfigError(f"test-time augmentation {name!r} names a view twice")
    # The picture as it is comes first: of equal scores its objects do too.
    scales = SCALES if "scales" in words else (1.0,)
    ordered = sorted(scales, key=lambda scale: scale != 1)
    across = (False, True) if "flips" in words else (False,)
    down = (False, True) if "vertical-flips" in words else (False,)
    return tuple(
        View(is_mirrored=mirrored, is_upside_down=turned, scale=scale)
        for scale, turned, mirrored in product(ordered, down, across)
    )
