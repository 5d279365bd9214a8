"""Truth and what models find, side by side on a sheet."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import UInt8

from maskwright.data import Dataset
from maskwright.draw import class_overlay, contact_sheet, overlay
from maskwright.inference import Predictor
from maskwright.structures import Instances

__all__ = ["sample_sheet"]

_NUM_SAMPLES = 4
_SHOWN_SCORE = 0.5
_CELL = 260
"""Pixels of a sample picture; 21 columns (truth and all pairs) then fill 5,600."""

_LETTER = 8
"""Pixels of a letter of a heading, widely taken."""


def sample_sheet(
    dataset: Dataset, predictors: Mapping[str, Predictor]
) -> UInt8[np.ndarray, "h w 3"]:
    """Draw some pictures, the truth on the left and every model's masks beside it.

    Pictures with objects, evenly spread; all pictures where none has any. Found objects with a
    score of 0.5 and more are drawn.
    """
    formats = [predictor.pixel_format for predictor in predictors.values()]
    dataset = dataset.with_pixels(formats[0] if formats else None)  # trained alike, on one format
    occupied = np.unique(dataset.object_image)
    pool = occupied if len(occupied) else np.arange(len(dataset))
    chosen = pool[np.linspace(0, len(pool) - 1, min(len(pool), _NUM_SAMPLES)).round().astype(int)]
    rows = []
    for i in chosen.tolist():
        image = dataset.image(i)
        found = [_found(predictor, image) for predictor in predictors.values()]
        rows.append([overlay(image, dataset.targets(i)), *found])
    headings = ("truth", *predictors)
    width = max(_CELL, _LETTER * max(map(len, headings)))
    return contact_sheet(rows, headings=headings, cell=(_CELL, width))


def _found(predictor: Predictor, image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "_ _ 3"]:
    if not predictor.finds_objects:
        return class_overlay(image, predictor.class_map(image), predictor.class_names)
    found = predictor.predict(image, score_threshold=_SHOWN_SCORE)
    assert isinstance(found, Instances)
    return overlay(image, found)
