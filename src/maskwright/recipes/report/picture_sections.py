"""The pictures of a report: truth and found objects side against side, and single objects."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import UInt8

from maskwright.data import Dataset
from maskwright.evaluation.analysis import ErrorAnalysis, ListedObject, PictureScore
from maskwright.evaluation.analysis.drawing import OutcomeDrawer, crop_around
from maskwright.recipes.report.document import (
    Block,
    Crop,
    Crops,
    Heading,
    Pair,
    Pairs,
    Section,
    headed_table,
)
from maskwright.recipes.report.wording import count_of, percent

__all__ = ["PictureRoom", "list_section", "picture_section"]

_USUAL_SIDE = 512
"""Pixels of the longer side of a picture of the page, about: 20 to 50 kB as WebP."""

_CROP_SIDE = 200

_LISTS = (
    ("mistakes", "Most confident mistakes", "Wrong found objects, the surest first."),
    ("missed", "Missed objects", "True objects that were not found, the largest first."),
    (
        "suspects",
        "Look again at these annotations",
        "Likely mistakes of the annotation, the most suspicious first.",
    ),
)


class PictureRoom:
    """Draws pictures for a page; the last few are kept, since many objects share one.

    Args:
        analysis: What to draw.
        dataset: The truth with its pictures.
    """

    def __init__(self, analysis: ErrorAnalysis, dataset: Dataset) -> None:
        self._dataset = dataset
        place = {image_id: i for i, image_id in enumerate(dataset.image_ids.tolist())}
        self._place = [place[image_id] for image_id in analysis.objects.truth.image_ids]
        self._drawer = OutcomeDrawer(
            objects=analysis.objects,
            score_threshold=analysis.score_threshold,
            iou_threshold=analysis.iou_threshold,
        )
        self._image = lru_cache(maxsize=4)(self._read)

    def pair(self, one: PictureScore, name: str) -> Pair:
        """Return a whole picture with its truth and with what was found."""
        image = self._image(one.picture)
        factor = max(1, round(max(image.shape[:2]) / _USUAL_SIDE))
        truth, found = self._drawer.draw(image, one.picture, factor=factor)
        title = one.file_name or f"picture {one.image_id}"
        score = f"F1 {percent(one.f1)} %: " if one.f1 >= 0 else ""
        return Pair(
            name=name,
            heading=title,
            caption=f"{score}{one.num_right} right (green), {one.num_wrong} wrong (red), "
            f"{one.num_missed} missed (orange)",
            truth=truth,
            found=found,
            truth_alt=f"{title} with its {count_of(one.num_true, 'annotated object')}, "
            f"{one.num_missed} of them missed",
            found_alt=f"{title} with {count_of(one.num_found, 'found object')}, "
            f"{one.num_wrong} of them wrong",
        )

    def crop(self, one: ListedObject, name: str) -> Crop:
        """Return the surroundings of a listed object: the bare picture, the truth, the found."""
        image = self._image(one.picture)
        truth, found = self._drawer.draw(image, one.picture, also=one)
        title = one.file_name or f"picture {one.image_id}"
        x, y, width, height = (round(value) for value in one.box)
        where = f"{title}, {width} x {height} pixels at ({x}, {y})"
        return Crop(
            name=name,
            heading=f"{one.class_name}: {one.explanation}",
            caption=where,
            pictures=tuple(
                _shrunk(crop_around(each, one.box), _CROP_SIDE) for each in (image, truth, found)
            ),
            alts=(f"Part of {where}", "the same with the truth", "the same with what was found"),
        )

    def _read(self, picture: int) -> UInt8[np.ndarray, "h w 3"]:
        return self._dataset.image(self._place[picture])


def picture_section(
    analysis: ErrorAnalysis, room: PictureRoom | None, num_pictures: int
) -> Section:
    """Return the worst pictures and a few of all kinds, to be compared with a slider.

    Args:
        analysis: Says which.
        room: Draws them; None where the pictures are not at hand: the table alone.
        num_pictures: How many of the worst; half as many are spread evenly over the others.
    """
    went_wrong = [one for one in analysis.pictures if 0 <= one.f1 < 1]
    blocks: list[Block] = []
    if room is not None and num_pictures:
        worst = went_wrong[:num_pictures]
        chosen = {one.picture for one in worst}
        rest = [one for one in analysis.pictures if one.picture not in chosen]
        rest = _spread(rest, (num_pictures + 1) // 2)
        for name, title, shown in (
            ("worst", "The worst", worst),
            ("spread", "From the rest", rest),
        ):
            if shown:
                pairs = (room.pair(one, f"{name}_{n:02d}") for n, one in enumerate(shown, start=1))
                blocks += [Heading(text=title), Pairs(pairs=tuple(pairs))]
    rows = [
        (
            one.file_name or str(one.image_id),
            percent(one.f1),
            *(f"{n:,}" for n in (one.num_true, one.num_right, one.num_wrong, one.num_missed)),
            percent(one.mean_iou),
        )
        for one in analysis.pictures
    ]
    columns = ("picture", "F1", "true", "right", "wrong", "missed", "mean IoU")
    blocks.append(headed_table("Pictures, the worst first, in %", columns, rows, folded=True))
    perfect = sum(one.f1 == 1 for one in analysis.pictures)
    return Section(
        slug="pictures",
        title="Pictures",
        intro=(
            f"{count_of(len(went_wrong), 'picture')} with mistakes, {perfect:,} without any. "
            "Green is right, orange was missed, red is wrong, grey are crowds. Drag the slider, "
            "or move it with the arrow keys, to see what was found turn into the truth."
            if room is not None
            else "The pictures were not at hand, so none are drawn."
        ),
        blocks=tuple(blocks),
    )


def list_section(analysis: ErrorAnalysis, room: PictureRoom | None, num_objects: int) -> Section:
    """Return confident mistakes, missed objects and doubtful annotations, with their places.

    Args:
        analysis: Holds the lists.
        room: Draws them; None where the pictures are not at hand: the tables alone.
        num_objects: How many of each list to draw.
    """
    lists = (analysis.confident_mistakes, analysis.missed, analysis.suspects)
    blocks: list[Block] = []
    for (name, title, meaning), entries in zip(_LISTS, lists, strict=True):
        blocks.append(Heading(text=f"{title} ({len(entries)} listed)"))
        if room is not None and entries[:num_objects]:
            crops = (
                room.crop(one, f"{name}_{n:02d}")
                for n, one in enumerate(entries[:num_objects], start=1)
            )
            blocks.append(Crops(crops=tuple(crops)))
        blocks.append(_list_table(meaning, entries))
    return Section(
        slug="objects",
        title="Single objects to look at",
        intro="maskwright errors writes these lists for annotation tools (--to).",
        blocks=tuple(blocks),
    )


def _list_table(meaning: str, entries: Sequence[ListedObject]) -> Block:
    rows = [
        (
            one.file_name or str(one.image_id),
            one.class_name,
            one.explanation,
            "" if one.score is None else f"{one.score:.2f}",
            f"{one.iou:.2f}",
        )
        for one in entries
    ]
    columns = ("picture", "class", "why", "score", "IoU")
    return headed_table(meaning, columns, rows, num_text=3, folded=True)


def _spread(pictures: Sequence[PictureScore], count: int) -> list[PictureScore]:
    """Return some pictures of evenly spread ranks, the worst of them first."""
    places = np.linspace(0, len(pictures) - 1, min(count, len(pictures))).round().astype(int)
    return [pictures[place] for place in np.unique(places).tolist()]


def _shrunk(picture: UInt8[np.ndarray, "h w 3"], side: int) -> UInt8[np.ndarray, "_ _ 3"]:
    """Return the picture with no side longer than that; small ones stay as they are."""
    height, width = picture.shape[:2]
    factor = side / max(height, width)
    if factor >= 1:
        return picture
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
