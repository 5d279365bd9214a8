"""Contact sheets: pictures side by side under headings, for documents and for a first look."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from maskwright.draw.labels import text_font

__all__ = ["contact_sheet"]

_PAPER = 255
_INK = (40, 40, 40)
_GAP = 8  # pixels between cells
_TEXT = 15  # pixels


def contact_sheet(
    rows: Sequence[Sequence[UInt8[np.ndarray, "h w 3"]]],
    *,
    headings: Sequence[str] = (),
    captions: Sequence[str] = (),
    titles: Sequence[Sequence[str]] = (),
    cell: tuple[int, int] = (320, 320),
) -> UInt8[np.ndarray, "H W 3"]:
    """Lay pictures out in rows and columns, each scaled into a cell of white paper.

    Truth and prediction side by side are rows of two. Pictures keep their aspect; small ones grow
    by nearest neighbour, so that single pixels can be judged. No rows give a sheet of one pixel.

    Args:
        rows: RGB uint8 pictures; rows may differ in length.
        headings: Words above the columns.
        captions: Words under each row, at its left.
        titles: Words under each picture, by row, in one or more lines; a line that is too long
            for the cell loses its beginning.
        cell: Room for one picture, (height, width) in pixels.

    >>> grey = np.full((10, 20, 3), 128, np.uint8)
    >>> contact_sheet([[grey, grey]], headings=["truth", "found"], cell=(100, 100)).shape
    (89, 224, 3)
    """
    columns = max((len(row) for row in rows), default=0)
    if not columns:
        return np.full((1, 1, 3), _PAPER, np.uint8)
    fitted = [[_fit(picture, cell) for picture in row] for row in rows]
    line = _TEXT + _GAP
    heights = [max((picture.shape[0] for picture in row), default=0) for row in fitted]
    total = _GAP + (line if headings else 0) + sum(heights) + _GAP * len(rows)
    num_title_lines = [max((t.count("\n") + 1 for t in row), default=0) for row in titles]
    total += line * (min(len(captions), len(rows)) + sum(num_title_lines[: len(rows)]))
    sheet = np.full((total, _GAP + columns * (cell[1] + _GAP), 3), _PAPER, np.uint8)
    words = [(_GAP + i * (cell[1] + _GAP), _GAP, text) for i, text in enumerate(headings)]
    y = _GAP + (line if headings else 0)
    for i, (row, height) in enumerate(zip(fitted, heights, strict=True)):
        for j, picture in enumerate(row):
            x = _GAP + j * (cell[1] + _GAP) + (cell[1] - picture.shape[1]) // 2
            sheet[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
        y += height + _GAP
        if i < len(titles):
            for j, title in enumerate(titles[i]):
                for k, text in enumerate(title.split("\n")):
                    place = (_GAP + j * (cell[1] + _GAP), y - _GAP // 2 + k * line)
                    words.append((*place, _end_that_fits(text, cell[1])))
            y += line * num_title_lines[i]
        if i < len(captions):
            words.append((_GAP, y - _GAP // 2, captions[i]))
            y += line
    return _written(sheet, words)


def _fit(
    picture: UInt8[np.ndarray, "h w 3"], cell: tuple[int, int]
) -> UInt8[np.ndarray, "fh fw 3"]:
    """Scale a picture to the largest size that fits `cell`."""
    height, width = picture.shape[:2]
    scale = min(cell[0] / height, cell[1] / width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    return cv2.resize(picture, size, interpolation=method)


def _end_that_fits(text: str, width: int) -> str:
    """Return the text, or an ellipsis and its end: file names differ there."""
    font = text_font(_TEXT)
    shown = text
    while len(shown) > 1 and font.getlength(shown) > width:
        text = text[1:]
        shown = "\u2026" + text
    return shown


def _written(
    sheet: UInt8[np.ndarray, "H W 3"], words: Sequence[tuple[int, int, str]]
) -> UInt8[np.ndarray, "H W 3"]:
    """Write each (x, y, text) on the sheet."""
    paper = Image.fromarray(sheet)
    pen = ImageDraw.Draw(paper)
    for x, y, text in words:
        pen.text((x, y), text, font=text_font(_TEXT), fill=_INK)
    return np.asarray(paper)
