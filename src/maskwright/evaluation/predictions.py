"""Check results and turn them into columns.

Results of whatever form are a list here (`prediction_sources.py`) with one entry per found object:
`image_id` or `file_name`, `category_id` or `category_name`, `score`, and `bbox` (x, y, width,
height), `segmentation` (run lengths or polygons), or both. A name, where given, is what counts:
ids of two datasets may agree by accident, names do not; an `image_id` that is text may be a file
name, also without its ending. Nothing is dropped in silence: what pycocotools leaves out of its
numbers without a word (an unknown class, say) is an error here, with the way to mend it.

Boxes and areas are those of pycocotools' `loadRes`, peculiarity included: where the first entry
of the file has a box, the area of every entry (which says whether an unmatched prediction counts
as small, medium or large) is that of its box, otherwise that of its mask.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence, Sized
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from maskwright.errors import EvaluationError, nearest_name
from maskwright.evaluation.objects import (
    Objects,
    check_segmentation,
    finite_numbers,
    measure_masks,
)
from maskwright.evaluation.truth import Truth

__all__ = ["Results", "read_predictions"]


@dataclass(frozen=True)
class Results:
    """Results as they came, not yet checked.

    Args:
        source: Where they came from, for messages.
        entries: One per found object.
        notes: What was taken for granted when they were read, in sentences.
    """

    source: str
    entries: Sequence[Any]
    notes: tuple[str, ...] = ()

    @property
    def lack_masks(self) -> bool:
        """There are entries, and none of them has a mask."""
        return len(self.entries) > 0 and not any(
            isinstance(entry, Mapping) and entry.get("segmentation") for entry in self.entries
        )


def read_predictions(results: Results, truth: Truth, *, need_masks: bool) -> Objects:
    """Check results against the pictures and classes of `truth` and turn them into columns.

    Args:
        results: What `load_results` gave.
        truth: What they will be held against.
        need_masks: Whether every prediction must have a mask.

    Returns:
        The predictions in their order; none for an empty list.

    Raises:
        EvaluationError: Names the file, the entry and what to mend.
    """
    reader = _Entries(results.source, results.entries, truth)
    return reader.objects(need_masks=need_masks)


@dataclass(frozen=True)
class _Entries:
    """The entries of one results file, with the truth they refer to."""

    source: str
    entries: Sequence[Mapping[str, Any]]
    truth: Truth

    def place(self, row: int) -> str:
        entry = self.entries[row]
        picture = (
            entry.get("file_name", entry.get("image_id")) if isinstance(entry, Mapping) else None
        )
        of = "" if picture is None else f" of picture {picture!r}"
        return f"{self.source}: entry {row}{of}"

    def objects(self, *, need_masks: bool) -> Objects:
        for row, entry in enumerate(self.entries):
            if not isinstance(entry, Mapping):
                raise EvaluationError(
                    f"{self.place(row)} must be a result, a json object, got {str(entry)[:80]}"
                )
        n = len(self.entries)
        objects = Objects(
            images=self._images(),
            labels=self._labels(),
            boxes=self._boxes(),
            areas=np.zeros(n),
            is_crowd=np.zeros(n, bool),
            scores=np.array([self._score(row) for row in range(n)], dtype=np.float64),
            segmentations=[entry.get("segmentation") or [] for entry in self.entries],
        )
        self._read_off_masks(objects, need_masks=need_masks)
        return objects

    def _images(self) -> np.ndarray:
        by_id: dict[Any, int] = {
            image_id: index for index, image_id in enumerate(self.truth.image_ids)
        }
        by_name = _by_file_name(self.truth.file_names)
        by_stem = {PurePosixPath(name).stem: index for name, index in by_name.items()}
        images = np.zeros(len(self.entries), np.int64)
        for row, entry in enumerate(self.entries):
            name, image_id = entry.get("file_name"), entry.get("image_id")
            index = _known(by_id, image_id) if name is None else by_name.get(str(name))
            if name is not None and index is None:
                index = by_name.get(PurePosixPath(str(name).replace("\\", "/")).name)
            if index is None and isinstance(image_id, str):
                index = by_name.get(image_id, by_stem.get(image_id))
            if index is None:
                raise EvaluationError(f"{self.place(row)}: {self._unknown_image(name, image_id)}")
            images[row] = index
        return images

    def _unknown_image(self, name: object, image_id: object) -> str:
        if name is not None:
            hint = nearest_name(str(name), self.truth.file_names)
            return f"file_name {name!r} is no picture of {self.truth.source}.{hint}"
        if image_id is None:
            return "it has neither image_id nor file_name"
        known = self.truth.image_ids
        hint = ""
        if str(image_id) in {str(one) for one in known}:
            hint = f" There it is a {'text' if isinstance(image_id, int) else 'number'}."
        elif known:
            hint = f" Its {len(known)} ids go from {known[0]!r} to {known[-1]!r}."
        return f"image_id {image_id!r} is no picture of {self.truth.source}.{hint}"

    def _labels(self) -> np.ndarray:
        by_id: dict[Any, int] = {one: label for label, one in enumerate(self.truth.category_ids)}
        by_name = {name: label for label, name in enumerate(self.truth.class_names)}
        labels = np.zeros(len(self.entries), np.int64)
        for row, entry in enumerate(self.entries):
            name, category_id = entry.get("category_name"), entry.get("category_id")
            if name is None and category_id is None and "label" in entry:
                labels[row] = self._label(row, entry["label"])
                continue
            label = _known(by_id, category_id) if name is None else by_name.get(str(name))
            if label is None:
                raise EvaluationError(
                    f"{self.place(row)}: {self._unknown_class(name, category_id)}"
                )
            labels[row] = label
        return labels

    def _label(self, row: int, label: object) -> int:
        """A class by its place among the truth's, from 0, as libraries number their own."""
        names = self.truth.class_names
        if not isinstance(label, int) or not 0 <= label < len(names):
            raise EvaluationError(
                f"{self.place(row)}: class {label!r} of labels from 0 to {len(names) - 1} "
                f"({', '.join(names[:8])}); give class names to match classes by name"
            )
        return label

    def _unknown_class(self, name: object, category_id: object) -> str:
        names, ids = self.truth.class_names, self.truth.category_ids
        known = ", ".join(f"{one} = {name}" for one, name in list(zip(ids, names, strict=True))[:8])
        known += ", ..." if len(ids) > 8 else ""
        if name is not None:
            hint = nearest_name(str(name), names)
            return f"category_name {name!r} is no class of {self.truth.source} ({known}).{hint}"
        if category_id is None:
            return "it has neither category_id nor category_name"
        return (
            f"category_id {category_id!r} is no class of {self.truth.source} ({known}); "
            "give category_name to match classes by name"
        )

    def _boxes(self) -> np.ndarray:
        boxes = np.full((len(self.entries), 4), np.nan)
        for row, entry in enumerate(self.entries):
            box = entry.get("bbox")
            if box is None or (isinstance(box, Sized) and len(box) == 0):
                continue
            place = f"{self.place(row)}: bbox (x, y, width, height)"
            boxes[row] = finite_numbers(box, 4, place, EvaluationError)
            if boxes[row, 2:].min() < 0:
                raise EvaluationError(
                    f"{place} has a negative width or height, {list(box)}: is it x1, y1, x2, y2?"
                )
        return boxes

    def _score(self, row: int) -> float:
        score = self.entries[row].get("score")
        try:
            number = float(score)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            number = math.nan
        if not 0 <= number < math.inf:
            raise EvaluationError(
                f"{self.place(row)}: score must be a finite number from 0 up, got {score!r}"
            )
        return number

    def _read_off_masks(self, objects: Objects, *, need_masks: bool) -> None:
        """Decode the masks that are wanted; fill in missing boxes, and areas as loadRes does."""
        assert objects.segmentations is not None
        no_box = np.isnan(objects.boxes[:, 0])
        areas_of_boxes = len(objects) > 0 and not no_box[0]
        has_mask = np.array([bool(one) for one in objects.segmentations], bool)
        wanted = no_box | need_masks | (has_mask & (not areas_of_boxes))
        rows = np.flatnonzero(wanted)
        for row in rows.tolist():
            if not need_masks and not has_mask[row]:
                raise EvaluationError(f"{self.place(row)} has neither bbox nor segmentation")
            size = self.truth.sizes[objects.images[row]]
            check_segmentation(objects.segmentations[row], size, self.place(row), EvaluationError)
        areas, boxes = measure_masks(objects, rows, self.truth.sizes, self.place, EvaluationError)
        objects.boxes[rows[no_box[rows]]] = boxes[no_box[rows]]
        objects.areas[:] = objects.boxes[:, 2] * objects.boxes[:, 3]
        if not areas_of_boxes:
            objects.areas[rows] = areas


def _known(by_id: dict[Any, int], one: object) -> int | None:
    return by_id.get(one) if isinstance(one, Hashable) else None


def _by_file_name(file_names: Sequence[str]) -> dict[str, int]:
    """Map file names, and last parts of paths where only one picture has them, to pictures."""
    short = [PurePosixPath(name.replace("\\", "/")).name for name in file_names]
    times = Counter(short)
    by_name = {name: index for index, name in enumerate(short) if name and times[name] == 1}
    return by_name | {name: index for index, name in enumerate(file_names) if name}
