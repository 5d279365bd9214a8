"""An explanation on disk: heat maps, a sheet and numbers."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from maskwright.data import save_image
from maskwright.draw import contact_sheet, heat_overlay
from maskwright.draw.thumbnails import object_thumbnail
from maskwright.explain import window_around
from maskwright.files import write_json
from maskwright.masks import Masks
from maskwright.recipes.explaining import ExplainedObject, Explanation
from maskwright.structures import Instances

__all__ = ["write_explanation"]

_CELL = 240
_LEAST_SIDE = 768
"""Pixels of the longer side of an overlay: small pictures grow, so that heat can be told apart."""


def write_explanation(explanation: Explanation, folder: str | os.PathLike[str]) -> list[Path]:
    """Write `object_N.png` of each object, `sheet.png` and `explain.json`; return the files.

    An overlay is the picture in grey with the heat of what speaks for the object, black (none)
    over red to white, and the outline of its mask. A row of the sheet shows an object, its heat
    close up, and its nearest training objects. Files of an earlier explanation are replaced.

    Args:
        explanation: What to write.
        folder: Is made where it is not there.

    Raises:
        ImageError: A training picture cannot be read.
        OSError: The folder cannot be written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for one in explanation.objects:
        path = folder / f"object_{one.number}.png"
        side = max(_LEAST_SIDE, *explanation.image.shape[:2])
        drawn = heat_overlay(
            explanation.image, one.saliency.heat, _mask(explanation, one), side=side
        )
        save_image(path, drawn)
        written.append(path)
    if explanation.objects:
        save_image(folder / "sheet.png", _sheet(explanation))
        written.append(folder / "sheet.png")
    write_json(folder / "explain.json", explanation.as_dict())
    return [*written, folder / "explain.json"]


def _sheet(explanation: Explanation) -> UInt8[np.ndarray, "H W 3"]:
    rows, titles, captions = [], [], []
    for one in explanation.objects:
        mask = _mask(explanation, one)
        x1, y1, x2, y2 = explanation.found.boxes[one.number - 1].tolist()
        window = window_around((x1, y1, x2, y2), explanation.found.image_size)
        heat = heat_overlay(explanation.image, one.saliency.heat, mask, window=window, side=_CELL)
        row = [object_thumbnail(explanation.image, mask, side=_CELL), heat]
        title = [f"{one.number}. {one.class_name}, {one.score:.2f}", "what speaks for it"]
        for each in one.neighbours:
            assert explanation.indexed is not None
            image, other = explanation.indexed.picture_and_mask(each.place)
            row.append(object_thumbnail(image, other, side=_CELL))
            here = " (this picture)" if each.is_same_picture else ""
            title.append(f"{each.class_name}, {each.distance:.3f}{here}\n{each.file_name}")
        rows.append(row)
        titles.append(title)
        captions.append(_caption(one))
    return contact_sheet(rows, titles=titles, captions=captions, cell=(_CELL, _CELL))


def _caption(one: ExplainedObject) -> str:
    shares, faithfulness = one.saliency.shares, one.saliency.faithfulness
    words = (
        f"{100 * shares.inside:.0f} % in the mask, {100 * shares.around:.0f} % around it, "
        f"{100 * shares.elsewhere:.0f} % elsewhere"
    )
    if faithfulness is None:
        return words
    return (
        f"{words}; deletion {faithfulness.deletion:.2f} (chance "
        f"{faithfulness.chance_deletion:.2f}), insertion {faithfulness.insertion:.2f} "
        f"({faithfulness.chance_insertion:.2f})"
    )


def _mask(explanation: Explanation, one: ExplainedObject) -> Masks:
    """Return the object's mask, or its box where there is none."""
    found: Instances = explanation.found[one.number - 1]
    if found.masks is not None:
        return found.masks
    return Masks.from_boxes(np.rint(found.boxes.numpy()).astype(int), found.image_size)
