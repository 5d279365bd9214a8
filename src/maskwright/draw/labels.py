"""Where class names and scores are written on a picture, and where they are left out.

Shapes: n objects, (h, w) size of the picture. Rectangles are xyxy pixels, ends exclusive.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from maskwright.draw.colours import ink_on

if TYPE_CHECKING:
    from maskwright.structures import Instances

__all__ = ["draw_labels", "text_font", "text_height"]

# Looked at on COCO photographs, a tray of nuts and plates of up to 375 nuclei.
_TEXT_SHARE = 0.026  # letter height by the geometric mean of the picture's sides
_SMALLEST_TEXT = 11  # pixels: below it DejaVu Sans is hard to read
_COVERED_SHARE = 0.12  # of the picture, by all plates together
_PLATE_SHARE = 0.8  # of an object's box, by its own plate
_HIDDEN_SHARE = 0.35  # of other objects' boxes, by one plate
_MOST_OF_ONE_CLASS = 15  # with more, the same word everywhere says nothing
_LEGIBLE = 7  # pixels: where a text must shrink to fit the picture, no further than this


def draw_labels(
    canvas: UInt8[np.ndarray, "h w 3"],
    instances: Instances,
    colours: UInt8[np.ndarray, "n 3"],
    *,
    every_one: bool = False,
) -> None:
    """Write "name 0.93" at the objects of `instances`, in place, inside the picture.

    The surest objects (of truth: the largest) choose their place first: above, below, beside or
    on the object. A label that would cover another, hide other objects or be out of proportion to
    its own is left out; so are all of them in a crowd of one class or on a picture too small for
    text.

    Args:
        canvas: The RGB picture to write on.
        instances: Its objects.
        colours: RGB of each object's plate.
        every_one: Write every label, whatever it covers.
    """
    if len(instances.class_names) == 1 and len(instances) > _MOST_OF_ONE_CLASS and not every_one:
        return
    height, width = canvas.shape[:2]
    boxes = instances.boxes.detach().cpu().double().numpy()
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    rank = areas if instances.scores is None else instances.scores.detach().cpu().numpy()
    texts = _texts(instances)
    size = text_height(height, width)
    taken = np.zeros((0, 4))
    room = _COVERED_SHARE * height * width
    for i in np.argsort(-rank, kind="stable").tolist():
        plate = _plate(texts[i], size, (height, width), colours[i])
        if plate is None:
            continue
        area = plate.shape[0] * plate.shape[1]
        if not every_one and (area > _PLATE_SHARE * areas[i] or area > room):
            continue
        places = _places(_extremes(instances, i, boxes[i]), plate.shape[:2], (height, width))
        on_plates = _shared(places, taken).sum(axis=1)
        others = np.arange(len(boxes)) != i
        hidden = (_shared(places, boxes[others]) / np.maximum(areas[others], 1)).sum(axis=1)
        # In tenths: a corner of a large neighbour is no reason to leave the best place.
        best = int(np.lexsort((np.floor(10 * hidden), on_plates > 0))[0])
        if not every_one and (on_plates[best] > 0 or hidden[best] > _HIDDEN_SHARE):
            continue
        x1, y1, x2, y2 = places[best].astype(int).tolist()
        canvas[y1:y2, x1:x2] = plate
        taken = np.vstack([taken, places[best]])
        room -= area


def text_height(height: int, width: int) -> int:
    """Return the size in pixels of letters on a picture: 11 on small ones, 17 on a photo."""
    return max(_SMALLEST_TEXT, round(_TEXT_SHARE * float(np.sqrt(height * width))))


@lru_cache(maxsize=32)
def text_font(size: int) -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans at `size` pixels: it comes with matplotlib and knows many scripts."""
    import matplotlib

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(str(path), size)


def _texts(instances: Instances) -> list[str]:
    """The words for each object; of a single class the score alone says all."""
    names = instances.names
    if instances.scores is None:
        return names
    scores = [f"{score:.2f}" for score in instances.scores.tolist()]
    if len(instances.class_names) == 1:
        return scores
    return [f"{name} {score}" for name, score in zip(names, scores, strict=True)]


def _plate(
    text: str, size: int, picture: tuple[int, int], colour: UInt8[np.ndarray, " 3"]
) -> UInt8[np.ndarray, "ph pw 3"] | None:
    """The text on a plate of `colour`, small enough for the picture; None where none is."""
    while True:
        font = text_font(size)
        margin = max(1, size // 5)
        ascent, descent = font.getmetrics()
        height = ascent + descent + margin // 2
        width = round(font.getlength(text)) + 2 * margin
        if height <= picture[0] and width <= picture[1]:
            break
        if size <= _LEGIBLE:
            return None
        size = max(_LEGIBLE, int(size * 0.85))
    plate = Image.new("RGB", (width, height), tuple(colour.tolist()))
    ImageDraw.Draw(plate).text((margin, margin // 4), text, font=font, fill=ink_on(colour))
    return np.asarray(plate)


def _extremes(
    instances: Instances, i: int, box: Float[np.ndarray, " 4"]
) -> Float[np.ndarray, "5 2"]:
    """Top, bottom, right, left and middle (x, y) of object i: of its mask, else of its box."""
    if instances.masks is None or not instances.masks[i].area[0]:
        x1, y1, x2, y2 = box
        x, y = (x1 + x2) / 2, (y1 + y2) / 2
        return np.array([(x, y1), (x, y2), (x2, y), (x1, y), (x, y)])
    bitmap, corner = instances.masks.bitmap(i)
    height, width = bitmap.shape
    points = [
        (np.flatnonzero(bitmap[0]).mean(), 0),
        (np.flatnonzero(bitmap[-1]).mean(), height),
        (width, np.flatnonzero(bitmap[:, -1]).mean()),
        (0, np.flatnonzero(bitmap[:, 0]).mean()),
        (width / 2, height / 2),
    ]
    placed: np.ndarray = np.add(points, corner)
    return placed


def _places(
    extremes: Float[np.ndarray, "5 2"], plate: tuple[int, ...], picture: tuple[int, int]
) -> Float[np.ndarray, "5 4"]:
    """Rectangles for a plate at an object's `_extremes`, best first, inside the picture."""
    size = np.array([plate[1], plate[0]])
    # Which part of the plate lies on the point: above it the middle of its lower edge, ...
    anchors = np.array([(0.5, 1.0), (0.5, 0.0), (0.0, 0.5), (1.0, 0.5), (0.5, 0.5)])
    corners = np.rint(extremes - anchors * size)
    corners = np.clip(corners, 0, [picture[1] - plate[1], picture[0] - plate[0]])
    return np.hstack([corners, corners + size])


def _shared(
    first: Float[np.ndarray, "p 4"], second: Float[np.ndarray, "m 4"]
) -> Float[np.ndarray, "p m"]:
    """Area in pixels that each rectangle of `first` shares with each of `second`."""
    start = np.maximum(first[:, None, :2], second[None, :, :2])
    end = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared: np.ndarray = np.clip(end - start, 0, None).prod(axis=2)
    return shared
