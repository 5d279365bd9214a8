"""What readers feed: pictures, objects and their class names; checks that formats share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.data.builder import IndexBuilder
from maskwright.data.coco_objects import CrowdRule, note_crowds
from maskwright.data.faults import FaultError, FaultLog
from maskwright.data.index import AnnotationIndex
from maskwright.data.names import leads_outside
from maskwright.data.report import ImportReport, ImportReportBuilder
from maskwright.data.stored_pictures import look_at_picture
from maskwright.errors import AnnotationError, ConfigError, DataError, MaskError
from maskwright.masks import Masks

__all__ = ["Collector", "picture_size"]


class Collector:
    """Makes an index of pictures and objects whose classes are known by name.

    Pictures and objects are numbered from 1 in the order in which they come.

    Args:
        source: The file or folder, for messages.
        crowd: The rule for objects marked as a crowd.
        class_names: The classes in the order of their labels, where the format lists them; an
            object of another class is an error then. None takes the names as they come, in
            alphabetical order.
        category_ids: The format's own ids of `class_names`, unique; None counts from 1.
        faults: Gets objects whose geometry would be an error, and they are left out; None raises.

    Attributes:
        report: Gets what is changed, dropped or worth a note.

    Raises:
        AnnotationError: A class listed twice.
        ConfigError: An unknown rule for crowds.
    """

    def __init__(
        self,
        source: Path,
        *,
        crowd: CrowdRule,
        class_names: Sequence[str] | None = None,
        category_ids: Sequence[int] | None = None,
        faults: FaultLog | None = None,
    ) -> None:
        if crowd not in ("ignore", "object", "drop"):
            raise ConfigError(f'crowd must be "ignore", "object" or "drop", got {crowd!r}')
        twice = [name for name, count in Counter(class_names or ()).items() if count > 1]
        if twice:
            raise AnnotationError(
                f"{source}: class names used twice: {', '.join(sorted(twice))}; merge or rename"
            )
        self.source = source
        self.report = ImportReportBuilder()
        self._crowd = crowd
        self._faults = faults
        self._is_closed = class_names is not None
        self._labels = {name: label for label, name in enumerate(class_names or ())}
        self._category_ids = category_ids
        self._builder = IndexBuilder(str(source), (), (), states_sizes=False)
        self._names: list[str] = []
        self._known_names: set[str] = set()
        self._sizes: list[tuple[int, int]] = []
        self._images_with_objects: set[int] = set()
        self._num_objects: Counter[int] = Counter()
        self._num_crowd: Counter[int] = Counter()
        self._number = 0

    def add_image(self, name: str, size: Sequence[int]) -> int:
        """Add a picture by its path below the picture folder; returns its position.

        Raises:
            AnnotationError: A name that leads out of the folder or came before; an absurd size.
        """
        if leads_outside(name):
            raise self.fault(
                f"picture {name!r} leads out of the picture folder: name the folder with images="
            )
        if name in self._known_names:
            raise self.fault(f"picture {name!r} is listed twice")
        height, width = int(size[0]), int(size[1])
        position = len(self._names)
        self._builder.add_image(position + 1, name, height, width)
        self._names.append(name)
        self._known_names.add(name)
        self._sizes.append((height, width))
        return position

    def add_polygons(
        self,
        image: int,
        class_name: str,
        rings: Sequence[Sequence[float]],
        *,
        is_crowd: bool = False,
    ) -> None:
        """Add an object as [x1, y1, x2, y2, ...] rings in pixels, united, drawn by COCO's rule."""
        self._add(image, class_name, is_crowd, {"rings": rings, "area": None, "xywh": None})

    def add_mask(self, image: int, class_name: str, mask: Masks, *, is_crowd: bool = False) -> None:
        """Add an object by its mask, a `Masks` of one."""
        x1, y1, x2, y2 = mask.boxes[0].tolist()
        code = {
            "rle": mask.to_coco()[0]["counts"],
            "area": float(mask.area[0]),
            "xywh": [x1, y1, x2 - x1, y2 - y1],
        }
        self._add(image, class_name, is_crowd, code)

    @contextmanager
    def entry(self, image: int | None = None) -> Iterator[None]:
        """Read one entry: where faults are collected, one that is refused is left out.

        Args:
            image: Position of its picture, where that is known.
        """
        try:
            yield
        except DataError as error:
            if self._faults is None:
                raise
            picture = "" if image is None else self.name_of(image)
            problem = str(error).removeprefix(f"{self.source}: ")
            kind = error.kind if isinstance(error, FaultError) else "entry-broken"
            self._faults.add(kind, problem, picture=picture)

    def dropped(self, reason: str, image: int) -> None:
        """Count an entry of a picture that no object was made of."""
        self._images_with_objects.add(image)
        self.report.dropped(reason, f"picture {self.name_of(image)!r}")

    def name_of(self, image: int) -> str:
        """Return the name of the picture at this position."""
        return self._names[image]

    def size_of(self, image: int) -> tuple[int, int]:
        """Return the height and width of the picture at this position."""
        return self._sizes[image]

    def fault(self, problem: str) -> AnnotationError:
        """Return the error that names the source."""
        return AnnotationError(f"{self.source}: {problem}")

    def finish(self) -> tuple[AnnotationIndex, ImportReport]:
        """Return the index and the account.

        Raises:
            AnnotationError: No picture or no class was found, or a check of the builder failed.
        """
        if not self._names:
            raise self.fault("no pictures were found in it")
        if not self._labels:
            raise self.fault("it has no objects, so no class either: there is nothing to learn")
        names = list(self._labels) if self._is_closed else sorted(self._labels)
        new_label = np.array([names.index(name) for name in self._labels], np.int64)
        note_crowds(self.report, list(self._labels), self._num_objects, self._num_crowd)
        index = self._builder.build(self.report, self._faults)
        index = replace(
            index,
            class_names=tuple(names),
            category_ids=tuple(self._category_ids or range(1, len(names) + 1)),
            labels=new_label[index.labels],
        )
        return index, ImportReport(
            source=str(self.source),
            num_images=len(self._names),
            num_images_without_objects=len(self._names) - len(self._images_with_objects),
            num_objects=sum(self._num_objects.values()),
            num_crowd=sum(self._num_crowd.values()),
            num_classes=len(names),
            findings=self.report.findings(),
        )

    def _add(self, image: int, class_name: str, is_crowd: bool, mask: dict[str, Any]) -> None:
        label = self._label(class_name, image)
        self._images_with_objects.add(image)
        self._num_objects[label] += 1
        self._number = number = self._number + 1
        if is_crowd:
            self._num_crowd[label] += 1
            where = f"annotation {number} of picture {self.name_of(image)!r}"
            if self._crowd == "drop":
                self.report.dropped('a crowd (crowd="drop")', where)
                return
            if self._crowd == "object":
                self.report.changed('a crowd, taken for an object (crowd="object")', where)
        try:
            self._builder.add_object(
                image=image,
                annotation_id=number,
                label=label,
                is_crowd=is_crowd and self._crowd == "ignore",
                **mask,
            )
        except (TypeError, OverflowError, MaskError) as error:
            raise self.fault(f"picture {self.name_of(image)!r}: {error}") from error

    def _label(self, class_name: str, image: int) -> int:
        if not class_name:
            raise self.fault(f"picture {self.name_of(image)!r}: an object has no class name")
        if class_name not in self._labels:
            if self._is_closed:
                raise self.fault(
                    f"picture {self.name_of(image)!r}: class {class_name!r} is not one of "
                    f"{', '.join(self._labels)}"
                )
            self._labels[class_name] = len(self._labels)
        return self._labels[class_name]


def picture_size(path: Path) -> tuple[int, int]:
    """Return (height, width) of the upright picture, from its header.

    Raises:
        ImageError: It cannot be read.
    """
    stored = look_at_picture(path)
    return stored.size[::-1] if stored.orientation >= 5 else stored.size
