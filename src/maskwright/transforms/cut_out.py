"""Cut-out: rectangles painted over a picture (DeVries and Taylor 2017; Zhong et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Int64
from pydantic import Field

from maskwright.errors import ConfigError
from maskwright.masks import Masks
from maskwright.structures import Sample, Size
from maskwright.transforms.covering import cover_instances
from maskwright.transforms.geometry import Fill, paint
from maskwright.transforms.options import PositiveCount, Probability, check_options

__all__ = ["CutOut"]

_Side = Annotated[float, Field(gt=0.0, le=1.0)]


@dataclass(frozen=True, kw_only=True)
class CutOut:
    """Rectangles painted over the picture, so that no single part of an object is relied upon.

    Args:
        probability: How often.
        rectangles: Range of their number.
        side: Range of each side, as a share of the picture's.
        truth: "visible" removes what is painted over from the masks; "whole" keeps the masks of
            objects that are hidden in part, so that the network learns to complete them.
        hidden: What becomes of objects that are hidden wholly: "drop", or "keep" (with "whole").
    """

    probability: Probability = 0.0
    rectangles: tuple[PositiveCount, PositiveCount] = (1, 4)
    side: tuple[_Side, _Side] = (0.05, 0.2)
    truth: Literal["visible", "whole"] = "visible"
    hidden: Literal["drop", "keep"] = "drop"

    def __post_init__(self) -> None:
        check_options(self, ranges=("rectangles", "side"))
        if self.hidden == "keep" and self.truth == "visible":
            raise ConfigError(
                'CutOut.hidden: "keep" needs truth "whole": of a hidden object nothing is visible'
            )

    def apply(
        self, sample: Sample, rng: np.random.Generator, *, fill: Fill, ignore_below: float = 0.0
    ) -> Sample:
        """Return the sample with one draw of rectangles in the colour `fill`.

        `ignore_below` is that of `cover_instances`.
        """
        boxes = self.draw_boxes(sample.targets.image_size, rng)
        image = sample.image.copy()
        for x1, y1, x2, y2 in boxes.tolist():
            paint(image, (x1, y1, x2, y2), fill)
        cover = Masks.from_boxes(boxes, sample.targets.image_size).union()
        targets = cover_instances(
            sample.targets,
            cover,
            amodal=self.truth == "whole",
            keep_hidden=self.hidden == "keep",
            ignore_below=ignore_below,
        )
        return replace(sample, image=image, targets=targets)

    def draw_boxes(self, image_size: Size, rng: np.random.Generator) -> Int64[np.ndarray, "n 4"]:
        """Draw rectangles, xyxy in whole pixels, each wholly inside the picture."""
        count = int(rng.integers(self.rectangles[0], self.rectangles[1] + 1))
        limits = np.array(image_size[::-1])
        sides = np.maximum(1, np.rint(rng.uniform(*self.side, (count, 2)) * limits)).astype(int)
        corners = np.floor(rng.random((count, 2)) * (limits - sides + 1)).astype(int)
        return np.hstack([corners, corners + sides])
