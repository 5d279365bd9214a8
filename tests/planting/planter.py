"""Annotated pictures with defects planted in them, and what a doctor should say of them.

A plant is a function that takes a `Planter`, spoils one thing and states what must be found. Every
picture bears one plant of a file at most, every object one of an object.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from maskwright.data import Diagnosis
from maskwright.data.checks import Defect
from maskwright.masks import Masks

Entry = dict[str, Any]


@dataclass(frozen=True)
class Expected:
    """What one plant must be found as: by picture and object, or by a word of the detail."""

    check: str
    file_name: str = ""
    annotation_id: int | None = None
    word: str = ""

    def is_found_in(self, defect: Defect, diagnosis: Diagnosis) -> bool:
        """Say whether a defect of the check is this one."""
        if self.word:
            return self.word in defect.detail
        parts = diagnosis.survey.parts
        names = {parts[one.part].pictures[one.picture].file_name for one in defect.others}
        if self.file_name and self.file_name not in names | {defect.file_name}:
            return False
        return self.annotation_id is None or self.annotation_id in defect.annotation_ids


class Planter:
    """Spoils a copy of a dataset of two parts.

    Attributes:
        expected: What must be found.
        origins: The old name of each picture that was renamed or copied.

    Args:
        contents: COCO dictionaries of training and validation.
        sources: Where the pictures of each lie.
        folder: Gets `images`, `train.json` and `val.json`.
        seed: Of all choices.
    """

    def __init__(
        self, contents: list[Entry], sources: list[Path], folder: Path, seed: int = 0
    ) -> None:
        self.rng = np.random.default_rng(seed)
        self.folder = folder
        self.images = folder / "images"
        self.images.mkdir(parents=True)
        self.contents: list[Entry] = json.loads(json.dumps(contents))
        self.expected: set[Expected] = set()
        self.origins: dict[str, str] = {}
        self._free = []
        self._objects = []
        for content, source in zip(self.contents, sources, strict=True):
            for image in content["images"]:
                shutil.copyfile(source / image["file_name"], self.images / image["file_name"])
            images = [content["images"][k] for k in self.rng.permutation(len(content["images"]))]
            # A quarter is kept for spoilt objects, of which one picture can bear many.
            num_kept = len(images) // 4
            kept = {image["id"] for image in images[:num_kept]}
            self._free.append(images[num_kept:])
            objects = [one for one in content["annotations"] if one["image_id"] in kept]
            self._objects.append([objects[k] for k in self.rng.permutation(len(objects))])

    def expect(
        self, check: str, picture: Entry | None = None, annotation: Entry | None = None,
        word: str = "",
    ) -> None:  # fmt: skip
        """State what must be found."""
        name = picture["file_name"] if picture else ""
        identity = annotation["id"] if annotation else None
        self.expected.add(Expected(check, name, identity, word))

    def take_picture(
        self, part: int = 0, wants: Callable[[Entry], bool] = lambda image: True
    ) -> Entry:
        """Return a picture that nothing was planted in yet."""
        free = self._free[part]
        place = next(k for k, image in enumerate(free) if wants(image))
        return free.pop(place)

    def take_object(self, part: int = 0, *, area: float = 150.0) -> tuple[Entry, Entry]:
        """Return an object of this area at least, well inside its picture, and its picture."""
        objects = self._objects[part]
        for place, one in enumerate(objects):
            image = self.picture_of(one, part)
            x, y, width, height = one["bbox"]
            is_inside = x >= 2 and y >= 2 and x + width <= image["width"] - 2
            is_inside &= y + height <= image["height"] - 2 and min(width, height) >= 9
            if is_inside and one["area"] >= area and not one.get("iscrowd"):
                objects.pop(place)
                return image, one
        raise LookupError(f"no object of {area} pixels is left in part {part}")

    def take_place(self, part: int = 0, *, side: int = 60) -> Entry:
        """Return a picture for a new object."""
        images = [self.picture_of(one, part) for one in self._objects[part]]
        large = [one for one in images if min(one["height"], one["width"]) >= side]
        return large[self.rng.integers(len(large))]

    def picture_of(self, annotation: Entry, part: int = 0) -> Entry:
        """Return the entry of an object's picture."""
        images = self.contents[part]["images"]
        return next(image for image in images if image["id"] == annotation["image_id"])

    def mask_of(self, annotation: Entry, part: int = 0) -> Masks:
        """Return the mask of an object."""
        image = self.picture_of(annotation, part)
        size = (image["height"], image["width"])
        segmentation = annotation["segmentation"]
        if isinstance(segmentation, list):
            return Masks.from_polygons([segmentation], size)
        return Masks.from_rle([segmentation], size)

    def redraw(self, annotation: Entry, segmentation: Any, part: int = 0) -> None:
        """Give an object another mask, with the box and the area that belong to it."""
        annotation["segmentation"] = segmentation
        mask = self.mask_of(annotation, part)
        x1, y1, x2, y2 = mask.boxes[0].tolist()
        annotation["bbox"] = [x1, y1, x2 - x1, y2 - y1]
        annotation["area"] = float(mask.area[0])

    def add_object(
        self, image: Entry, segmentation: Any, *, part: int = 0, category: int | None = None,
        **fields: Any,
    ) -> Entry:  # fmt: skip
        """Add an object of a segmentation; box and area are its own unless given."""
        content = self.contents[part]
        annotation = {
            "id": 1 + max((one["id"] for one in content["annotations"]), default=0),
            "image_id": image["id"],
            "category_id": content["categories"][0]["id"] if category is None else category,
            "iscrowd": 0,
        }
        content["annotations"].append(annotation)
        self.redraw(annotation, segmentation, part)
        annotation.update(fields)
        return annotation

    def add_picture(self, name: str, size: tuple[int, int], *, part: int = 0) -> Entry:
        """List one more picture."""
        images = self.contents[part]["images"]
        identity = 1 + max(image["id"] for image in images)
        entry = {"id": identity, "file_name": name, "height": size[0], "width": size[1]}
        images.append(entry)
        return entry

    def add_category(self, name: str, *, parts: Iterable[int] = (0, 1)) -> int:
        """List one more class."""
        taken = [one["id"] for content in self.contents for one in content["categories"]]
        for part in parts:
            self.contents[part]["categories"].append({"id": max(taken) + 1, "name": name})
        return max(taken) + 1

    def objects_on(self, image: Entry, part: int = 0) -> list[Entry]:
        """Return the objects of a picture."""
        annotations = self.contents[part]["annotations"]
        return [one for one in annotations if one["image_id"] == image["id"]]

    def open(self, image: Entry) -> Image.Image:
        """Read a picture as RGB."""
        with Image.open(self.images / image["file_name"]) as picture:
            return picture.convert("RGB")

    def replace(self, image: Entry, name: str, picture: Image.Image, **options: Any) -> None:
        """Save a picture under another name in place of the listed one."""
        (self.images / image["file_name"]).unlink()
        self.origins[name] = image["file_name"]
        image["file_name"] = name
        picture.save(self.images / name, **options)

    def write(self) -> list[Path]:
        """Write the spoilt annotations; returns their files."""
        paths = [self.folder / "train.json", self.folder / "val.json"]
        for path, content in zip(paths, self.contents, strict=True):
            path.write_text(json.dumps(content))
        return paths


@dataclass(frozen=True)
class Score:
    """How one check did.

    Args:
        planted: Defects planted.
        found: Of these, how many were named.
        false_alarms: Defects named that were neither planted nor named on the clean data.
        on_clean: Defects named on the clean data.
        strange: The false alarms in words.
    """

    planted: int
    found: int
    false_alarms: int
    on_clean: int
    strange: tuple[str, ...] = ()


def score(
    clean: Diagnosis, spoilt: Diagnosis, planter: Planter, checks: Iterable[str]
) -> dict[str, Score]:
    """Hold what was named against what was planted."""
    wanted = defaultdict(list)
    for one in planter.expected:
        wanted[one.check].append(one)
    scores = {}
    for check in checks:
        found = spoilt[check]
        known = {_signature(defect, {}) for defect in clean[check]}
        strange = [
            defect
            for defect in found
            if _signature(defect, planter.origins) not in known
            and not any(one.is_found_in(defect, spoilt) for one in wanted[check])
        ]
        named = [one for one in wanted[check] if any(one.is_found_in(d, spoilt) for d in found)]
        words = tuple(f"{spoilt.where(one)}: {one.detail}" for one in strange)
        scores[check] = Score(
            len(wanted[check]), len(named), len(strange), len(clean[check]), words
        )
    return scores


def _signature(defect: Defect, origins: dict[str, str]) -> tuple[str, str]:
    """What a defect is recognised by when counts around it have changed."""
    if not defect.file_name:  # of a class: its name
        return "", defect.detail.partition(":")[0]
    words = re.sub(r"[0-9.]+", "", defect.detail)
    return origins.get(defect.file_name, defect.file_name), words
