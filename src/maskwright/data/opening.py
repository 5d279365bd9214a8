"""Opening a dataset: finding its annotations and its pictures, and looking at both once."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

from maskwright.data.coco_objects import CrowdRule
from maskwright.data.dataset import Dataset
from maskwright.data.faults import Fault, FaultLog
from maskwright.data.formats.contract import Imported, ReadOptions, Source
from maskwright.data.formats.table import find_format, format_named
from maskwright.data.images import is_turned_by_exif, split_page
from maskwright.data.index import AnnotationIndex
from maskwright.data.links import refuse_links_outside
from maskwright.data.report import Finding, ImportReport, ImportReportBuilder
from maskwright.data.stored_pictures import look_at_picture
from maskwright.errors import ConfigError, DataError, ImageError

__all__ = ["Inspected", "inspect_dataset", "open_annotations", "open_dataset"]

_MAX_NAMED = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class Inspected:
    """Annotated pictures as they are, defects and all.

    Args:
        index: The annotations that can be drawn.
        report: What was read, changed and dropped.
        faults: The entries that were refused.
        image_folder: Where most of the pictures are; some may be missing.
    """

    index: AnnotationIndex
    report: ImportReport
    faults: tuple[Fault, ...]
    image_folder: Path


def open_dataset(
    path: str | Path,
    *,
    images: str | Path | None = None,
    crowd: CrowdRule = "ignore",
    check_images: bool = True,
    format: str | None = None,
    follow_links: bool = False,
    split: str | None = None,
) -> Dataset:
    """Open annotated pictures of any known format.

    Args:
        path: A file or a folder of annotations: COCO json (or a folder with exactly one json in
            it or in its `annotations`) and the other formats of `maskwright.data.formats.table`.
        images: The folder that file names are relative to. By default it is looked for beside
            the json: its own folder, `images`, a folder named like the json, and the same one
            level up; the first that holds every picture is taken.
        crowd: "ignore" keeps crowds as regions where nothing counts as wrong, "object" makes
            them objects, "drop" leaves them out; the report counts them.
        check_images: Read the header of every picture (0.1 ms each) to find, now and not in the
            middle of a run, those that are unreadable or of another size than annotated. False
            leaves that to the reading.
        format: The name of the format, where it is not to be found out by looking.
        follow_links: Follow symbolic links that lead out of the folder of the dataset or of its
            pictures. File names that do are always refused; `images` names another folder.
        split: The part to read, "train", "val" or "test", of YOLO's data.yaml and of Cityscapes,
            which name parts; None reads all of them as one dataset.

    Raises:
        AnnotationError: The annotations contradict themselves or their format.
        ImageError: Pictures are missing, unreadable or of another size than annotated.
        DataError: No annotations were found where they were looked for.
        ConfigError: `split` for a format that names no parts.
    """
    index, report, folder, annotations = _read(
        path,
        ReadOptions(
            crowd=crowd,
            images=None if images is None else Path(images),
            follow_links=follow_links,
            split=split,
        ),
        format,
    )
    if folder is None:
        folder = _find_images(annotations, index, None if images is None else Path(images))
    if not follow_links:
        refuse_links_outside(folder, index.file_names.tolist())
    if check_images:
        report = replace(report, findings=report.findings + _check_headers(index, folder))
    return Dataset(index, report, image_folder=folder)


def open_annotations(
    path: str | Path, *, crowd: CrowdRule = "ignore", format: str | None = None
) -> Dataset:
    """Open annotations whose pictures are not at hand, to score predictions against them.

    Formats that do not state the sizes of pictures need them all the same.

    Args:
        path: As for `open_dataset`.
        crowd: As for `open_dataset`.
        format: As for `open_dataset`.

    Raises:
        AnnotationError: The annotations contradict themselves or their format.
        DataError: No annotations were found where they were looked for.
    """
    index, report, _, _ = _read(path, ReadOptions(crowd=crowd), format)
    return Dataset(index, report)


def inspect_dataset(
    path: str | Path, *, images: str | Path | None = None, format: str | None = None
) -> Inspected:
    """Open annotated pictures whatever is wrong with single pictures and objects.

    Pictures are not looked at. For training, `open_dataset` is the one to use.

    Args:
        path: As for `open_dataset`.
        images: As for `open_dataset`; the folder with most of the pictures is taken.
        format: As for `open_dataset`.

    Raises:
        DataError: The annotations cannot be read at all.
    """
    log = FaultLog()
    folder = None if images is None else Path(images)
    imported = _read(path, ReadOptions(images=folder, faults=log), format)
    index, report, image_folder, annotations = imported
    if image_folder is None:
        missing = _missing_by_folder(annotations, index, folder)
        image_folder = min(missing, key=lambda one: len(missing[one]))
    return Inspected(
        index=index, report=report, faults=tuple(log.faults), image_folder=image_folder
    )


def _read(path: str | Path, options: ReadOptions, format_name: str | None) -> Imported:
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; wanted annotated pictures")
    if path.is_dir() and not options.follow_links:
        refuse_links_outside(path)
    source = Source(path)
    try:
        chosen = find_format(source) if format_name is None else format_named(format_name)
    except OSError as error:
        raise DataError(f"{error.filename or path}: cannot be read ({error.strerror})") from error
    if options.split is not None and not chosen.has_splits:
        raise ConfigError(
            f"{path}: {chosen.title} names no parts, split={options.split!r} was wanted"
        )
    try:
        return chosen.read(source, options)
    except OSError as error:  # a missing or unreadable part, a folder where a file was wanted
        place = error.filename or path
        raise DataError(f"{place}: cannot be read as {chosen.name} ({error.strerror})") from error


def _find_images(json_path: Path, index: AnnotationIndex, images: Path | None) -> Path:
    missing_by_folder = _missing_by_folder(json_path, index, images)
    best = min(missing_by_folder, key=lambda folder: len(missing_by_folder[folder]))
    missing = missing_by_folder[best]
    if not missing:
        return best
    found = "\n".join(
        f"  {folder}: {index.num_images - len(lost)} of {index.num_images}"
        for folder, lost in missing_by_folder.items()
    )
    names = ", ".join(missing[:_MAX_NAMED]) + (", ..." if len(missing) > _MAX_NAMED else "")
    hint = "name their folder with images=" if len(missing) == index.num_images else ""
    raise ImageError(
        f"{json_path}: {len(missing)} of its {index.num_images} pictures are missing in {best}: "
        f"{names}; {hint or 'restore them, or take them out of the json'}. Looked in:\n{found}"
    )


def _missing_by_folder(
    json_path: Path, index: AnnotationIndex, images: Path | None
) -> dict[Path, list[str]]:
    """Return the pictures that each folder lacks; folders after a complete one are not tried."""
    missing_by_folder: dict[Path, list[str]] = {}
    for folder in _folders_to_try(json_path) if images is None else [images]:
        missing_by_folder[folder] = _missing(folder, index.file_names.tolist())
        if not missing_by_folder[folder]:
            break
    return missing_by_folder


def _folders_to_try(json_path: Path) -> list[Path]:
    here = json_path.parent
    # COCO's own layout: annotations/instances_val2017.json beside val2017/.
    stems = [json_path.stem, json_path.stem.rpartition("_")[2]]
    folders = [
        base / name
        for base in (here, here.parent)
        for name in ("", "images", *stems, *(f"images/{stem}" for stem in stems))
    ]
    return [folder for folder in dict.fromkeys(folders) if folder.is_dir()] or [here]


def _missing(folder: Path, names: list[str]) -> list[str]:
    """Return the names that are not files below the folder, listing each folder only once."""
    by_parent: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        by_parent[os.path.dirname(name)].append(name)
    missing = []
    for parent, members in by_parent.items():
        try:
            with os.scandir(folder / parent) as entries:
                there = {entry.name for entry in entries if _is_file(entry)}
        except (FileNotFoundError, NotADirectoryError):
            there = set()
        missing += [name for name in members if not _is_there(name, there)]
    return missing


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link that leads to itself
        return False


def _is_there(name: str, there: set[str]) -> bool:
    """Whether a folder that lists `there` has the file, or the file whose page it names."""
    base = os.path.basename(name)
    return base in there or split_page(base)[0].name in there


def _check_headers(index: AnnotationIndex, folder: Path) -> tuple[Finding, ...]:
    """Hold every header against its annotation; returns what EXIF orientation asked for."""
    report = ImportReportBuilder()
    for name, size in zip(index.file_names.tolist(), index.sizes.tolist(), strict=True):
        stored = look_at_picture(folder / name)
        stored_size, orientation = stored.size, stored.orientation
        is_turned = is_turned_by_exif(stored_size, orientation, size)
        if is_turned is None:
            raise ImageError(
                f"{index.source}: picture {name!r} is {stored_size[0]} x {stored_size[1]} (height "
                f"x width), annotated as {size[0]} x {size[1]}: another version of the picture?"
            )
        if is_turned:
            report.changed_picture("turned upright as its EXIF orientation says", name)
        elif orientation != 1:
            report.noted_picture(
                "EXIF orientation left unapplied: the annotations fit the stored picture", name
            )
    return report.findings()
