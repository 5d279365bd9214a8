"""Predictions in folders: YOLO-seg texts, label maps, one mask file per object.

Pictures are matched by file name without its ending (`a.txt` and `a_cp_masks.png` belong to
`a.jpg`), classes by name. A file that belongs to no picture is an error with the list; pictures
without a file have no predictions, which a note counts.

    yolo       a text per picture: class x1 y1 x2 y2 ... [score], shares of width and height;
               a line of four numbers [and a score] is a box. `data.yaml` in or above the folder
               names the classes; else class i is the i-th of the truth by its ids.
    labelmap   a picture of whole numbers per picture, 0 where there is nothing
    masks      a folder per picture with one black-and-white picture per object, in it or in its
               `masks`; a folder in that, or the name after `0001_`, is the class

Label maps and masks have no scores: all are 1, unless `objects.csv` beside them (as `predict`
writes it, or with the columns map, value, class, score) says more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from maskwright.data.formats.contract import Source
from maskwright.data.formats.pairs import binary_pixels, pictures_below
from maskwright.data.formats.yolo import polygon_of_line, yaml_class_names
from maskwright.data.images import read_label_image
from maskwright.errors import AnnotationError, EvaluationError
from maskwright.evaluation.object_table import ObjectTable, score_of
from maskwright.evaluation.objects import Size
from maskwright.masks import Masks

__all__ = ["FolderReader", "sniff_folder"]

_ENDINGS = ("_cp_masks", "_masks", "_mask", "_labels", "_label", "_labelmap", "_seg", "-label")
"""What tools add to the name of a picture for the map they make of it."""

_MAPS = (".png", ".tif", ".tiff", ".bmp")
_SHOWN = 5
_NUMBERED = re.compile(r"\d+_(.+)")


def sniff_folder(path: Path) -> list[str]:
    """Return the formats that a folder of predictions looks like."""
    source = Source(path)
    found = []
    if _texts(path):
        found.append("yolo")
    if source.files(*_MAPS):
        found.append("labelmap")
    if any(_mask_files(path / name) for name in sorted(source.folders - {"labels"})[:_SHOWN]):
        found.append("masks")
    return found


@dataclass
class FolderReader:
    """Reads a folder of predictions for the pictures of a truth.

    Args:
        path: The folder.
        file_names: Of the truth's pictures.
        sizes: Their heights and widths.
        class_names: The truth's classes by label.
        notes: Gets what was taken for granted, in sentences.
    """

    path: Path
    file_names: tuple[str, ...]
    sizes: tuple[Size | None, ...]
    class_names: tuple[str, ...]
    notes: list[str] = field(default_factory=list)

    def yolo(self) -> list[dict[str, Any]]:
        """Read a text per picture.

        Raises:
            EvaluationError: Texts of unknown pictures, or a line that is no polygon.
        """
        texts = {text.stem: text for text in _texts(self.path)}
        names = self._yolo_names()
        entries: list[dict[str, Any]] = []
        num_without_score = num_empty = 0
        for place, stem in self._matched(list(texts), "text"):
            size = self._size(place)
            for number, line in enumerate(texts[stem].read_text("utf-8").splitlines(), 1):
                words, where = line.split(), f"{texts[stem]}, line {number}"
                has_score = len(words) % 2 == 0
                if len(words) <= 2:  # an empty mask: class and score alone
                    num_empty += len(words) > 0
                    continue
                score = score_of(words.pop(), where) if has_score else 1.0
                num_without_score += not has_score
                try:
                    label, ring = polygon_of_line(words, names, size, where)
                except AnnotationError as problem:
                    raise EvaluationError(str(problem)) from problem
                entries.append(
                    {
                        "file_name": self.file_names[place],
                        "category_name": names[label],
                        "segmentation": [ring],
                        "score": score,
                    }
                )
        if num_empty:
            self.notes.append(f"{num_empty} lines without coordinates were left out.")
        if num_without_score:
            self.notes.append(
                f"{num_without_score} of {len(entries)} lines have no score (save_conf=True "
                "writes them), so it is 1: AP then depends on the order of the lines."
            )
        return entries

    def labelmap(self) -> list[dict[str, Any]]:
        """Read a label map per picture.

        Raises:
            EvaluationError: Maps of unknown pictures or of another size, or classes not known.
        """
        maps = {path.stem: path for path in Source(self.path).files(*_MAPS)}
        said = ObjectTable.of(self.path)
        entries: list[dict[str, Any]] = []
        for place, stem in self._matched(list(maps), "label map"):
            masks, values = Masks.from_label_map(read_label_image(maps[stem]))
            self._check_size(place, masks.image_size, maps[stem])
            for value, code in zip(values.tolist(), masks.to_coco(), strict=True):
                keys = ((maps[stem].name, value), (self.file_names[place], value))
                entries.append(self._entry(place, code, said.at(*keys), None, maps[stem]))
        self._note_scores(said)
        return entries

    def masks(self) -> list[dict[str, Any]]:
        """Read a folder of mask files per picture.

        Raises:
            EvaluationError: Folders of unknown pictures, masks of another size, unknown classes.
        """
        folders = {
            name: files
            for name in sorted(Source(self.path).folders)
            if (files := _mask_files(self.path / name))
        }
        said = ObjectTable.of(self.path)
        entries: list[dict[str, Any]] = []
        for place, name in self._matched(list(folders), "folder"):
            for number, file in enumerate(folders[name], 1):
                pixels = binary_pixels(file)
                self._check_size(place, pixels.shape, file)
                code = Masks.from_dense(pixels[None]).to_coco()[0]
                own = said.at((self.file_names[place], number))
                entries.append(self._entry(place, code, own, _named_class(file), file))
        self._note_scores(said)
        return entries

    def _entry(
        self,
        place: int,
        code: dict[str, Any],
        said: Mapping[str, str],
        named: str | None,
        file: Path,
    ) -> dict[str, Any]:
        name = said.get("class") or named
        if name is None or (name == "object" and name not in self.class_names):
            if len(self.class_names) != 1:
                raise EvaluationError(
                    f"{file}: nothing says the class of its objects, and the truth has "
                    f"{len(self.class_names)}: put an objects.csv with the columns map, value, "
                    "class into the folder, or give COCO results"
                )
            name = self.class_names[0]
        return {
            "file_name": self.file_names[place],
            "category_name": name,
            "segmentation": code,
            "score": score_of(said.get("score") or "1", str(file)),
        }

    def _matched(self, stems: list[str], what: str) -> Iterator[tuple[int, str]]:
        """Yield the picture and the name of each file; raise for files without a picture."""
        if not stems:
            raise EvaluationError(
                f"{self.path}: there is no {what} in it: is it another folder, or format?"
            )
        by_stem: dict[str, int | None] = {}
        for number, name in enumerate(self.file_names):
            by_stem[_stem(name)] = None if _stem(name) in by_stem else number
        found: dict[int, str] = {}
        lonely = []
        for stem in stems:
            place = _of_picture(stem, by_stem)
            if place is None or place in found:
                lonely.append(stem)
            else:
                found[place] = stem
        if lonely:
            raise EvaluationError(
                f"{self.path}: {len(lonely)} of {len(stems)} {what}s belong to no picture of the "
                f"truth, or to one that has another: {_listed(lonely)}. The truth's pictures are "
                f"called {_listed([_stem(name) for name in self.file_names])}"
            )
        if len(found) < len(self.file_names):
            missing = [n for i, n in enumerate(self.file_names) if i not in found]
            self.notes.append(
                f"{len(missing)} of {len(self.file_names)} pictures have no {what} in "
                f"{self.path}, so nothing was found in them: {_listed(missing)}."
            )
        yield from sorted(found.items())

    def _yolo_names(self) -> list[str]:
        for folder in (self.path, self.path.parent):
            for name in ("data.yaml", "dataset.yaml", "data.yml"):
                if (folder / name).is_file():
                    return yaml_class_names(folder / name)
        if len(self.class_names) > 1:
            shown = ", ".join(f"{i} = {name}" for i, name in enumerate(self.class_names[:_SHOWN]))
            more = ", ..." if len(self.class_names) > _SHOWN else ""
            self.notes.append(
                f"There is no data.yaml in {self.path}: its classes were taken for the truth's in "
                f"the order of their ids, {shown}{more}."
            )
        return list(self.class_names)

    def _size(self, place: int) -> Size:
        size = self.sizes[place]
        if size is None:
            raise EvaluationError(
                f"the truth does not say height and width of {self.file_names[place]}, which "
                f"coordinates in {self.path} are shares of"
            )
        return size

    def _check_size(self, place: int, size: tuple[int, ...], file: Path) -> None:
        if self._size(place) != tuple(size):
            raise EvaluationError(
                f"{file} is {size[0]} x {size[1]} (height x width), its picture "
                f"{self.file_names[place]} is {self.sizes[place]}; masks are scored at the "
                "original resolution"
            )

    def _note_scores(self, said: ObjectTable) -> None:
        if not said.has_scores:
            self.notes.append(
                f"There are no scores in {self.path}, so every score is 1: AP then depends on "
                "the order of the files, and cells, panoptic and counting are the metrics to read."
            )


def _texts(path: Path) -> list[Path]:
    """The texts of a folder or of its `labels`; lists of classes are none."""
    for folder in (path, path / "labels"):
        if folder.is_dir():
            texts = [t for t in Source(folder).files(".txt") if t.stem not in ("classes", "labels")]
            if texts:
                return texts
    return []


def _mask_files(folder: Path) -> list[Path]:
    """The masks of one picture, in the order of their names."""
    below = folder / "masks" if (folder / "masks").is_dir() else folder
    files = [path for path in pictures_below(below) if path.suffix.lower() in _MAPS]
    return files if below != folder or not (folder / "images").is_dir() else []


def _named_class(file: Path) -> str | None:
    """The class that a mask file's folder or name says."""
    if file.parent.parent.name == "masks":
        return unquote(file.parent.name)
    match = _NUMBERED.fullmatch(file.stem)
    return match[1] if match else None


def _stem(name: str) -> str:
    return PurePosixPath(name.replace("\\", "/")).stem


def _of_picture(stem: str, by_stem: Mapping[str, int | None]) -> int | None:
    if stem in by_stem:
        return by_stem[stem]
    for ending in _ENDINGS:
        if stem.endswith(ending) and stem.removesuffix(ending) in by_stem:
            return by_stem[stem.removesuffix(ending)]
    return None


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
