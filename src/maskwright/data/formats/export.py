"""What writers share: the objects picture by picture, names for files, the log of changes."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

from maskwright.data.dataset import Dataset
from maskwright.data.images import is_turned_by_exif, split_page
from maskwright.data.report import Finding, ImportReportBuilder
from maskwright.data.saving import save_image, save_stored
from maskwright.data.stored_pictures import look_at_picture, read_stored
from maskwright.errors import DataError
from maskwright.masks import Masks

if TYPE_CHECKING:
    from rich.table import Table

__all__ = [
    "ExportLog",
    "ExportReport",
    "PictureObjects",
    "file_stems",
    "folder_name",
    "link",
    "pictures_of",
    "place_picture",
    "without_overlaps",
]


@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """The account of one export; prints as a table with rich, as lines with `str`.

    Args:
        target: The folder that was written.
        format_name: The format.
        num_images: Pictures written.
        num_objects: Objects of the dataset, dropped ones included.
        findings: What the format could not hold, with the overlap that is left.
    """

    target: str
    format_name: str
    num_images: int
    num_objects: int
    findings: tuple[Finding, ...] = ()

    @property
    def num_changed(self) -> int:
        """Objects whose mask or mark is not the same in the written dataset."""
        return self._count("changed")

    @property
    def num_dropped(self) -> int:
        """Objects that are not in the written dataset."""
        return self._count("dropped")

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values, ready for JSON."""
        return {
            "target": self.target,
            "format": self.format_name,
            "images": self.num_images,
            "objects": self.num_objects,
            "changed": self.num_changed,
            "dropped": self.num_dropped,
            "findings": [finding.as_dict() for finding in self.findings],
        }

    def __str__(self) -> str:
        return "\n".join([f"{self.target}: {self._headline()}", *map(str, self.findings)])

    def __rich__(self) -> Table:
        """Return the findings as a table headed by the counts."""
        from maskwright.data.report import findings_table

        return findings_table(self.target, self._headline(), self.findings)

    def _headline(self) -> str:
        return (
            f"{self.num_images} pictures, {self.num_objects} objects as {self.format_name}; "
            f"{self.num_changed} changed, {self.num_dropped} dropped"
        )

    def _count(self, action: str) -> int:
        return sum(f.count for f in self.findings if f.action == action and f.what == "objects")


@dataclass
class ExportLog:
    """Collects what a writer changes or drops, and by how much.

    Args:
        links_pictures: Put symbolic links to the picture files where copies would be.
    """

    links_pictures: bool = False
    _report: ImportReportBuilder = field(default_factory=ImportReportBuilder)
    _overlaps: dict[str, list[float]] = field(default_factory=dict)

    def changed(self, reason: str, where: str, iou: float) -> None:
        """Count an object whose mask is written differently, with its IoU to the original."""
        self._report.changed(reason, where)
        self._overlaps.setdefault(reason, []).append(iou)

    def unmarked(self, reason: str, where: str) -> None:
        """Count an object whose mask is kept but something said of it is not."""
        self._report.changed(reason, where)

    def dropped(self, reason: str, where: str) -> None:
        """Count an object that is not written."""
        self._report.dropped(reason, where)

    def changed_picture(self, reason: str, where: str) -> None:
        """Count a picture whose pixels or place in the file changed."""
        self._report.changed_picture(reason, where)

    def findings(self) -> tuple[Finding, ...]:
        """Return what was collected; changed masks with the mean and the least IoU."""
        return tuple(self._with_overlap(finding) for finding in self._report.findings())

    def _with_overlap(self, finding: Finding) -> Finding:
        overlaps = self._overlaps.get(finding.reason)
        if overlaps is None or finding.action != "changed":
            return finding
        amount = f"IoU with the original {np.mean(overlaps):.3f} on average, {min(overlaps):.3f}"
        return replace(finding, reason=f"{finding.reason}; {amount} at least")


@dataclass(frozen=True, kw_only=True, eq=False)
class PictureObjects:
    """One picture of a dataset with what a writer needs to know of it.

    Args:
        dataset: Where it comes from.
        position: Its position there.
        name: Its path below the picture folder, as the dataset states it.
        stem: A file name for it, unique in the dataset, without folders and suffix.
        size: (height, width) in pixels.
        masks: Its objects.
        class_names: The class of each object.
        labels: The label of each object.
        is_crowd: Whether each object stands for a crowd.
    """

    dataset: Dataset
    position: int
    name: str
    stem: str
    size: tuple[int, int]
    masks: Masks
    class_names: list[str]
    labels: list[int]
    is_crowd: list[bool]

    @property
    def file_name(self) -> str:
        """Return the stem with the suffix of the picture."""
        return self.stem + split_page(self.name)[0].suffix

    def where(self, k: int) -> str:
        """Name object `k` in a report."""
        return f"object {k + 1} of picture {self.name!r}"

    def chosen(self, keep: np.ndarray, masks: Masks | None = None) -> PictureObjects:
        """Return the picture with these of its objects only, in this order."""
        picked = keep.tolist()
        return replace(
            self,
            masks=(self.masks if masks is None else masks)[keep],
            class_names=[self.class_names[k] for k in picked],
            labels=[self.labels[k] for k in picked],
            is_crowd=[self.is_crowd[k] for k in picked],
        )

    def without_crowds(self, log: ExportLog) -> PictureObjects:
        """Return it for a format that knows no crowds: as objects they would teach wrongly."""
        crowds = np.array(self.is_crowd, bool)
        for k in np.flatnonzero(crowds).tolist():
            log.dropped("a crowd, which the format has no mark for", self.where(k))
        return self.chosen(np.flatnonzero(~crowds))

    def copy_picture(self, path: Path, log: ExportLog) -> None:
        """Copy the picture file, byte for byte unless its EXIF turn contradicts its objects.

        Raises:
            ImageError: It cannot be read.
            OSError: It cannot be written.
        """
        place_picture(self.dataset, self.position, path, log)


def place_picture(dataset: Dataset, position: int, path: Path, log: ExportLog) -> None:
    """Copy or link the file of a picture, as the log says; see `PictureObjects.copy_picture`.

    Raises:
        DataError: Links cannot be made here.
        ImageError: The picture cannot be read.
        OSError: It cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    source = dataset.image_path(position)
    stored = look_at_picture(source)
    height, width = dataset.sizes[position].tolist()
    name = dataset.file_names[position]
    if split_page(source)[1] is not None:
        log.changed_picture("a page of a stack saved as a picture of its own", name)
        save_stored(path, read_stored(source, expected_size=(height, width)))
    elif stored.orientation != 1 and not is_turned_by_exif(
        stored.size, stored.orientation, (height, width)
    ):
        log.changed_picture("saved anew without the EXIF turn its objects ignore", name)
        save_image(path, dataset.image(position))
    elif log.links_pictures:
        link(path, source)
    else:
        shutil.copyfile(source, path)


def link(path: Path, target: Path) -> None:
    """Let `path` be another name of a picture, or a link to a folder of pictures.

    A picture is linked hard: such a link leads nowhere, so whoever opens the dataset need not be
    told to follow it.

    Raises:
        DataError: The system or the disk allows no links here.
    """
    try:
        if target.is_dir():
            path.symlink_to(target.resolve(), target_is_directory=True)
        else:
            os.link(target.resolve(), path)
    except OSError as error:
        raise DataError(
            f"{path}: pictures cannot be linked here ({error.strerror}): ask for copies "
            "(--copy, copy=True)"
        ) from error


def pictures_of(dataset: Dataset, log: ExportLog) -> Iterator[PictureObjects]:
    """Yield the pictures of a dataset; objects without a pixel are logged and left out."""
    names = dataset.file_names
    for item in np.flatnonzero(dataset.is_empty).tolist():
        name = names[dataset.object_image[item]]
        log.dropped(
            "its mask has no pixel", f"annotation {dataset.annotation_ids[item]} of {name!r}"
        )
    for i, (name, stem) in enumerate(zip(names, file_stems(names), strict=True)):
        targets = dataset.targets(i)
        assert targets.masks is not None
        assert targets.is_crowd is not None
        yield PictureObjects(
            dataset=dataset,
            position=i,
            name=name,
            stem=stem,
            size=targets.image_size,
            masks=targets.masks,
            class_names=targets.names,
            labels=targets.labels.tolist(),
            is_crowd=targets.is_crowd.tolist(),
        )


def file_stems(names: tuple[str, ...]) -> list[str]:
    """Return a stem for each picture: its own where all differ, else with folders and suffix.

    >>> file_stems(("a/x.png", "b.jpg", "b.png"))
    ['a_x', 'b_jpg', 'b_png']
    """
    names = tuple(_page_as_file(name) for name in names)
    own = [os.path.splitext(name.replace("\\", "/").rpartition("/")[2])[0] for name in names]
    if len(set(own)) == len(own):
        return own
    flat = [name.replace("\\", "/").removeprefix("./").replace("/", "_") for name in names]
    stems = [os.path.splitext(name)[0] for name in flat]
    clashing = {stem for stem, count in Counter(stems).items() if count > 1}
    taken: set[str] = set()
    result = []
    for name, stem in zip(flat, stems, strict=True):
        wanted = name.replace(".", "_") if stem in clashing else stem
        while wanted in taken:
            wanted += "_"
        taken.add(wanted)
        result.append(wanted)
    return result


def _page_as_file(name: str) -> str:
    """Return "a-3.tif" for "a.tif[3]", other names as they are."""
    path, page = split_page(name)
    return name if page is None else path.with_stem(f"{path.stem}-{page}").as_posix()


def folder_name(class_name: str) -> str:
    """Return a class name as a folder name on any system; `urllib.parse.unquote` undoes it.

    >>> folder_name("traffic light"), folder_name("a/b")
    ('traffic light', 'a%2Fb')
    """
    quoted = quote(class_name, safe=" ")
    return quoted.replace(".", "%2E") if quoted.strip(" .") != quoted else quoted


def without_overlaps(picture: PictureObjects, log: ExportLog) -> PictureObjects:
    """Return it for a format with one object per pixel: the smaller object has a shared pixel.

    So a large object never hides a small one; what is hidden all the same is logged.
    """
    order = np.argsort(picture.masks.area, kind="stable")
    visible = picture.masks[order].remove_overlaps()[np.argsort(order, kind="stable")]
    before, after = picture.masks.area, visible.area
    for k in np.flatnonzero(after < before).tolist():
        if after[k]:
            reason = "shares pixels with a smaller object, which has them"
            log.changed(reason, picture.where(k), after[k] / before[k])
        else:
            log.dropped("hidden by smaller objects", picture.where(k))
    return picture.chosen(np.flatnonzero(after > 0), visible)
