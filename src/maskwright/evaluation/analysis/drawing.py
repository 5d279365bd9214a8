"""Truth and predictions drawn on their picture, coloured by what became of them.

True objects: green where they were found, orange where they were missed, grey for crowds. Found
objects: green where they are right, red where they are wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64, UInt8

from maskwright.data import ArrayWindows
from maskwright.draw import overlay
from maskwright.draw.shrinking import shrink_instances, shrink_picture
from maskwright.evaluation.analysis.listed import ListedObject
from maskwright.evaluation.analysis.matching import lies_in_crowd, match_in_class
from maskwright.evaluation.analysis.pairs import FoundAndTrue
from maskwright.evaluation.objects import Objects, decode_masks
from maskwright.structures import Instances

__all__ = ["OutcomeDrawer", "crop_around", "picture_instances"]

_GOOD, _MISSED, _WRONG, _CROWD = (
    np.array(colour, np.uint8)
    for colour in ((40, 170, 80), (255, 140, 0), (225, 30, 60), (150, 150, 150))
)
_LEAST_SIDE = 48
"""Pixels of the smallest crop: some surroundings are needed to judge a small object."""


@dataclass(frozen=True, kw_only=True, eq=False)
class OutcomeDrawer:
    """Draws pictures side by side.

    Args:
        objects: Found and true.
        score_threshold: Found objects below it are not drawn.
        iou_threshold: From which IoU a found object is right.
    """

    objects: FoundAndTrue
    score_threshold: float
    iou_threshold: float = 0.5

    def __post_init__(self) -> None:
        """Match once for all pictures."""
        partner = match_in_class(self.objects, self.iou_threshold)
        kept = self.objects.found.scores >= self.score_threshold
        kept &= ~lies_in_crowd(self.objects, partner, self.iou_threshold)
        right = np.where(kept, partner, -1)
        is_found = np.zeros(len(self.objects.truth.objects), bool)
        is_found[right[right >= 0]] = True
        object.__setattr__(self, "_state", (kept, right >= 0, is_found))

    def draw(
        self,
        image: UInt8[np.ndarray, "h w 3"],
        picture: int,
        *,
        also: ListedObject | None = None,
        factor: int = 1,
    ) -> tuple[UInt8[np.ndarray, "_ _ 3"], UInt8[np.ndarray, "_ _ 3"]]:
        """Return the picture with its true objects, and with what was found.

        Args:
            image: RGB, of the size that the truth says.
            picture: Its index in the truth.
            also: An entry of a list whose found object is drawn whatever its score.
            factor: Sides are divided by it before anything is drawn, so that outlines are seen.
        """
        kept, is_right, is_found = self._state  # type: ignore[attr-defined]
        true, found = self.objects.truth.objects, self.objects.found
        true_rows = np.flatnonzero(true.images == picture)
        wanted = kept.copy()
        if also is not None and also.found_row is not None:
            wanted[also.found_row] = True
        rows = np.flatnonzero((found.images == picture) & wanted)
        true_colours = np.where(is_found[true_rows, None], _GOOD, _MISSED)
        true_colours = np.where(true.is_crowd[true_rows, None], _CROWD, true_colours)
        colours = np.where(is_right[rows, None], _GOOD, _WRONG)
        canvas = image if factor == 1 else shrink_picture(ArrayWindows(image), factor)

        def drawn(side: Objects, own: np.ndarray, palette: np.ndarray) -> np.ndarray:
            shown = picture_instances(self.objects, picture, side, own, with_scores=side is found)
            shown = shown if factor == 1 else shrink_instances(shown, factor)
            return overlay(canvas, shown, colours=palette.astype(np.uint8), opacity=0.25)

        return drawn(true, true_rows, true_colours), drawn(found, rows, colours)


def picture_instances(
    objects: FoundAndTrue,
    picture: int,
    side: Objects,
    rows: Int64[np.ndarray, " r"],
    *,
    with_scores: bool,
) -> Instances:
    """Return some objects of one picture as `Instances`, to draw or to look at.

    Args:
        objects: Found and true, for classes and sizes.
        picture: Its index in the truth.
        side: `objects.found` or `objects.truth.objects`.
        rows: Rows of `side` that are in this picture.
        with_scores: Whether scores mean anything.
    """
    size = objects.truth.sizes[picture]
    assert size is not None
    masks = None
    if objects.kind == "segm" and side.segmentations is not None:
        masks = decode_masks([side.segmentations[row] for row in rows], size)
    boxes = side.boxes[rows]
    corners = np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]]).astype(np.float32)
    return Instances(
        image_size=size,
        boxes=torch.from_numpy(corners),
        labels=torch.from_numpy(side.labels[rows]),
        scores=torch.from_numpy(side.scores[rows].astype(np.float32)) if with_scores else None,
        masks=masks,
        class_names=objects.truth.class_names,
        category_ids=objects.truth.category_ids,
    )


def crop_around(
    image: UInt8[np.ndarray, "h w 3"], box: tuple[float, float, float, float]
) -> UInt8[np.ndarray, "ch cw 3"]:
    """Return the surroundings of a box (x, y, width, height): twice its side, never too little."""
    height, width = image.shape[:2]
    x, y, across, down = box
    half = max(across, down, _LEAST_SIDE / 2)
    middle = x + across / 2, y + down / 2
    left, top = (max(int(centre - half), 0) for centre in middle)
    right = min(int(np.ceil(middle[0] + half)), width)
    bottom = min(int(np.ceil(middle[1] + half)), height)
    return image[top:bottom, left:right]
