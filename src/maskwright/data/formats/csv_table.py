"""CSV, one line per object, as pandas reads it.

Columns: image, class, height, width, rle (COCO's compressed run lengths) and crowd. Also read:
`ImageId,EncodedPixels` (Kaggle: first pixel from 1 and length, in turn, down the columns; an
empty code is a picture without objects; the class "object" or the column ClassId), for which the
pictures must be at hand. Nothing is lost; a picture without objects is a line without a class.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from maskwright.data.dataset import Dataset
from maskwright.data.formats.collector import Collector, picture_size
from maskwright.data.formats.contract import Imported, ReadOptions, Source
from maskwright.data.formats.export import ExportLog, pictures_of
from maskwright.data.formats.xml_files import number_in
from maskwright.data.images import IMAGE_SUFFIXES
from maskwright.data.names import leads_outside
from maskwright.errors import AnnotationError, MaskError
from maskwright.masks import Masks

__all__ = ["read", "sniff", "write"]

_COLUMNS = ("image", "height", "width", "class", "rle", "crowd")
_KAGGLE = {"ImageId", "EncodedPixels"}
# The default limit of a field is 128 KiB; the code of one large mask may be longer.
_MOST_CHARACTERS = 2**24


def sniff(source: Source) -> bool:
    """Say whether it is a csv, or a folder with one whose head is known."""
    return _csv_file(source) is not None


def read(source: Source, options: ReadOptions) -> Imported:
    """Read all lines; the lines of a picture need not follow each other.

    Raises:
        AnnotationError: A missing column, or a line whose code or size is wrong.
        ImageError: A picture whose size is not stated is missing.
    """
    path = _csv_file(source) or source.path
    folder = options.images or _picture_folder(path)
    collector = Collector(path, crowd=options.crowd, faults=options.faults)
    images: dict[str, int] = {}
    header, rows = _rows(path)
    is_kaggle = set(header) >= _KAGGLE
    if not is_kaggle and not {"image", "class", "rle"} <= set(header):
        raise AnnotationError(
            f"{path}: has the columns {', '.join(header)}; wanted {', '.join(_COLUMNS)} or "
            f"{', '.join(sorted(_KAGGLE))}"
        )
    for number, row in enumerate(rows, 2):
        where = f"{path}, line {number}"
        with collector.entry():
            if len(row) != len(header):
                raise AnnotationError(f"{where}: {len(row)} fields, the head has {len(header)}")
            fields = dict(zip(header, row, strict=True))
            name = fields["ImageId"] if is_kaggle else fields["image"]
            if name not in images:
                images[name] = _add_image(name, fields, folder, collector, where)
            with collector.entry(images[name]):
                _read_line(fields, images[name], collector, where)
    return Imported(*collector.finish(), folder if is_kaggle else options.images, path)


def write(dataset: Dataset, folder: Path, log: ExportLog) -> None:
    """Write annotations.csv and images/."""
    with (folder / "annotations.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(_COLUMNS)
        for picture in pictures_of(dataset, log):
            picture.copy_picture(folder / "images" / picture.file_name, log)
            head = (picture.file_name, *picture.size)
            for k, code in enumerate(picture.masks.to_coco()):
                crowd = int(picture.is_crowd[k])
                table.writerow((*head, picture.class_names[k], code["counts"], crowd))
            if not len(picture.masks):
                table.writerow((*head, "", "", ""))


def _csv_file(source: Source) -> Path | None:
    for path in source.files(".csv"):
        if not source.is_folder:
            return path
        try:
            header = set(_rows(path)[0])
        except AnnotationError:
            continue
        if header >= _KAGGLE or {"image", "class", "rle"} <= header:
            return path
    return None


def _rows(path: Path) -> tuple[list[str], list[list[str]]]:
    """Return the head and the lines; csv's limit on the length of a field is lifted meanwhile."""
    before = csv.field_size_limit(_MOST_CHARACTERS)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file, strict=True) if row]
    except (csv.Error, ValueError) as error:
        raise AnnotationError(f"{path}: not CSV ({error})") from error
    finally:
        csv.field_size_limit(before)
    if not rows:
        raise AnnotationError(f"{path}: is empty")
    return rows[0], rows[1:]


def _picture_folder(path: Path) -> Path:
    for name in (f"{path.stem}_images", "images", path.stem, "train"):
        if (path.parent / name).is_dir():
            return path.parent / name
    return path.parent


def _add_image(
    name: str, fields: dict[str, str], folder: Path, collector: Collector, where: str
) -> int:
    if leads_outside(name):
        raise AnnotationError(f"{where}: picture {name!r} leads out of the picture folder")
    if "height" in fields and "width" in fields:
        size = [int(number_in(fields[side], f"{where}: {side}")) for side in ("height", "width")]
        return collector.add_image(name, size)
    if not (folder / name).is_file():  # Kaggle's ids often lack the suffix
        name = next(
            (name + s for s in sorted(IMAGE_SUFFIXES) if (folder / (name + s)).is_file()), name
        )
    return collector.add_image(name, picture_size(folder / name))


def _read_line(fields: dict[str, str], image: int, collector: Collector, where: str) -> None:
    size = collector.size_of(image)
    if "height" in fields and "width" in fields and "rle" in fields:
        stated = [number_in(fields[side], f"{where}: {side}") for side in ("height", "width")]
        if tuple(stated) != size:
            raise AnnotationError(f"{where}: size {stated}, an earlier line of it says {size}")
    code = fields.get("rle", fields.get("EncodedPixels", "")).strip()
    if not code or code == "-1":
        if fields.get("class"):
            raise AnnotationError(f"{where}: an object without rle")
        return
    name = fields["class"] if "rle" in fields else fields.get("ClassId") or "object"
    try:
        counts = code if "rle" in fields else _kaggle_counts(code, size)
        mask = Masks.from_rle([{"size": list(size), "counts": counts}], size)
    except (MaskError, ValueError, OverflowError) as error:
        raise AnnotationError(f"{where}: {error}") from error
    is_crowd = fields.get("crowd", "").strip().lower() in ("1", "true")
    collector.add_mask(image, name, mask, is_crowd=is_crowd)


def _kaggle_counts(code: str, size: tuple[int, int]) -> list[int]:
    """Turn "start length ..." (from 1) into counts that begin with unset pixels."""
    words = np.array([int(word) for word in code.split()], np.int64)
    if len(words) % 2:
        raise ValueError("EncodedPixels has a start without a length")
    starts, lengths = words[0::2] - 1, words[1::2]
    gaps = starts - np.concatenate([[0], (starts + lengths)[:-1]])
    counts: list[int] = np.stack([gaps, lengths], axis=1).reshape(-1).tolist()
    return [*counts, size[0] * size[1] - int(starts[-1] + lengths[-1])]
