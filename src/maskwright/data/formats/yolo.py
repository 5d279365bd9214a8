"""YOLO-seg: `data.yaml` and a text per picture, a line per object: class x1 y1 x2 y2 ... .

Coordinates are shares of width and height. `images` in the path of a picture becomes `labels` in
that of its text; a picture without a text has no objects. A line with four numbers is a box
(centre x, centre y, width, height), whose mask is the box. Neither holes, parts nor crowds.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.data.dataset import Dataset
from maskwright.data.formats.collector import Collector, picture_size
from maskwright.data.formats.contract import Imported, ReadOptions, Source
from maskwright.data.formats.export import ExportLog, pictures_of
from maskwright.data.formats.json_files import numbers
from maskwright.data.formats.pairs import pictures_below
from maskwright.data.formats.rings import one_ring
from maskwright.errors import AnnotationError, MissingExtraError

__all__ = ["polygon_of_line", "read", "sniff", "write", "yaml_class_names"]

_SPLITS = ("train", "val", "test")
# Tools round: a share may miss the picture's edge by this much.
_TOLERANCE = 1e-3


def sniff(source: Source) -> bool:
    """Say whether it is a data.yaml or a folder with one."""
    return _yaml_file(source) is not None


def read(source: Source, options: ReadOptions) -> Imported:
    """Read the pictures of all splits.

    Raises:
        AnnotationError: A yaml without names or pictures, or a line that is no polygon.
        ImageError: A picture cannot be read.
        MissingExtraError: PyYAML is not installed.
    """
    path = _yaml_file(source) or source.path
    content = _load_yaml(path)
    collector = Collector(
        path, crowd=options.crowd, faults=options.faults, class_names=_class_names(path, content)
    )
    names = list(_class_names(path, content))
    root = path.parent if options.images is None else options.images
    for picture in _pictures(path, content, root, options):
        with collector.entry():
            image = collector.add_image(picture.relative_to(root).as_posix(), picture_size(picture))
            _read_lines(_label_file(picture, root), image, names, collector)
    return Imported(*collector.finish(), root, path)


def write(dataset: Dataset, folder: Path, log: ExportLog) -> None:
    """Write data.yaml, images/ and labels/."""
    (folder / "labels").mkdir(parents=True)
    for full in pictures_of(dataset, log):
        picture = full.without_crowds(log)
        picture.copy_picture(folder / "images" / picture.file_name, log)
        sides = np.array(picture.size[::-1], np.float64)
        lines = []
        for k, outlines in enumerate(picture.masks.to_polygons()):
            shares = (one_ring(picture, k, outlines, log) / sides).reshape(-1).tolist()
            lines.append(" ".join([str(picture.labels[k]), *map(repr, shares)]) + "\n")
        (folder / "labels" / f"{picture.stem}.txt").write_text("".join(lines), encoding="utf-8")
    # A JSON string is a YAML string too.
    names = "".join(f"  {i}: {json.dumps(name)}\n" for i, name in enumerate(dataset.class_names))
    (folder / "data.yaml").write_text(
        f"train: images\nval: images\nnames:\n{names}", encoding="utf-8"
    )


def _yaml_file(source: Source) -> Path | None:
    found = source.files(".yaml", ".yml")
    if source.is_folder:
        found = [path for path in found if path.stem in ("data", "dataset")] or found[:1]
    return found[0] if found else None


def _load_yaml(path: Path) -> dict[str, Any]:
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError("yaml", "yolo", "read the data.yaml of a YOLO dataset") from error
    try:
        content = _load_without_aliases(path.read_bytes())
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise AnnotationError(f"{path}: not YAML ({error})") from error
    if not isinstance(content, dict) or "names" not in content:
        raise AnnotationError(f'{path}: has no "names"; wanted the data.yaml of a YOLO dataset')
    return content


def _load_without_aliases(text: bytes) -> Any:
    """Load YAML of plain values; a few lines of aliases of aliases stand for billions of them."""
    import yaml

    class Loader(yaml.SafeLoader):  # type: ignore[misc]  # yaml has no types
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise yaml.YAMLError("it has aliases, *name, which are refused")
            return super().compose_node(parent, index)

    return yaml.load(text, Loader=Loader)


def _class_names(path: Path, content: dict[str, Any]) -> list[str]:
    names = content["names"]
    if isinstance(names, dict):
        if sorted(names, key=str) != sorted(range(len(names)), key=str):
            raise AnnotationError(f"{path}: the keys of names are {list(names)}, wanted 0, 1, ...")
        names = [names[i] for i in range(len(names))]
    if not isinstance(names, list) or not names:
        raise AnnotationError(f"{path}: names is {names!r:.60}, wanted a list of class names")
    if not all(isinstance(name, str | int) and str(name) for name in names):
        raise AnnotationError(f"{path}: names holds {names!r:.60}, wanted text")
    return [str(name) for name in names]


def _pictures(path: Path, content: dict[str, Any], root: Path, options: ReadOptions) -> list[Path]:
    found: dict[Path, None] = {}
    known = [split for split in _SPLITS if content.get(split)]
    if options.split is not None and options.split not in known:
        raise AnnotationError(
            f"{path}: has no part {options.split!r}; it has {', '.join(known) or 'none'}"
        )
    for split in known if options.split is None else [options.split]:
        entries = content.get(split)
        for entry in entries if isinstance(entries, list) else [entries] * (entries is not None):
            if not isinstance(entry, str) or "\0" in entry:
                raise AnnotationError(f"{path}: {split} is {entry!r:.60}, wanted a folder")
            where = _Places(path, root, options.follow_links)
            place = where.find(content.get("path"), entry)
            listed = pictures_below(place) if place.is_dir() else _listed(place, where)
            found |= dict.fromkeys(listed)
    return list(found)


@dataclass(frozen=True)
class _Places:
    """Where a data.yaml's names are looked for: never outside its folder, or that of images=."""

    yaml: Path
    root: Path
    follow_links: bool

    def find(self, base: Any, entry: str) -> Path:
        """Find a split's folder; `path` in the yaml often names a folder of another machine."""
        tail = entry.removeprefix("../")  # some exports count from a folder that is not there
        bases = [self.root]
        if isinstance(base, str) and "\0" not in base:
            bases.insert(0, self.root / base)
        for place in (where / name for where in bases for name in (entry, tail)):
            inside = self._inside(place) if place.exists() else None
            if inside is not None:
                return self.root / inside
        raise AnnotationError(
            f"{self.yaml}: there is no {entry!r} inside {self.root}: put the pictures there, or "
            "name the folder that it counts from with images="
        )

    def _inside(self, place: Path) -> Path | None:
        """Return a place relative to the root; None where it is outside."""
        # abspath takes the .. out and leaves links alone
        end, top = Path(os.path.abspath(place)), Path(os.path.abspath(self.root))
        if not self.follow_links:
            end, top = place.resolve(), self.root.resolve()
        return end.relative_to(top) if end.is_relative_to(top) else None


def _listed(place: Path, where: _Places) -> list[Path]:
    """Return the pictures a text file lists, one a line."""
    try:
        lines = place.read_text(encoding="utf-8").split("\n")
    except ValueError as error:
        raise AnnotationError(f"{place}: not a list of pictures ({error})") from error
    return [where.find(None, line.strip()) for line in lines if line.strip()]


def _label_file(picture: Path, root: Path) -> Path:
    parts = list(picture.relative_to(root).with_suffix(".txt").parts)
    places = [i for i, part in enumerate(parts[:-1]) if part == "images"]
    if places:
        parts[places[-1]] = "labels"
    return root.joinpath(*parts)


def _read_lines(path: Path, image: int, names: list[str], collector: Collector) -> None:
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    except ValueError as error:
        raise AnnotationError(f"{path}: not text ({error})") from error
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            continue
        with collector.entry(image):
            _read_line(words, image, names, f"{path}, line {number}", collector)


def _read_line(
    words: list[str], image: int, names: list[str], where: str, collector: Collector
) -> None:
    if len(words) == 5:
        collector.report.changed("a box only: its mask is the box", where)
    label, ring = polygon_of_line(words, names, collector.size_of(image), where)
    collector.add_polygons(image, names[label], [ring])


def yaml_class_names(path: Path) -> list[str]:
    """Return the class names that a data.yaml lists, by index.

    Raises:
        AnnotationError: It has no names.
        MissingExtraError: PyYAML is not installed.
    """
    return _class_names(path, _load_yaml(path))


def polygon_of_line(
    words: list[str], names: list[str], size: tuple[int, int], where: str
) -> tuple[int, list[float]]:
    """Return the label of a line and its polygon [x1, y1, x2, y2, ...] in pixels.

    Args:
        words: Class and shares; four shares are a box.
        names: The classes.
        size: Height and width of the picture.
        where: File and line, for messages.

    Raises:
        AnnotationError: An unknown class, or shares that are no polygon in the picture.
    """
    label = _class_of(words[0], names, where)
    shares = np.array(_shares(words[1:], where))
    if len(shares) == 4:
        (x, y), (width, height) = shares.reshape(2, 2)
        left, top, right, bottom = x - width / 2, y - height / 2, x + width / 2, y + height / 2
        shares = np.array([left, top, right, top, right, bottom, left, bottom])
    sides = np.array(size[::-1], np.float64)
    return label, (shares.reshape(-1, 2) * sides).reshape(-1).tolist()


def _class_of(word: str, names: list[str], where: str) -> int:
    if not word.isascii() or not word.isdigit() or len(word) > 9 or int(word) >= len(names):
        raise AnnotationError(f"{where}: class {word!r:.40}, wanted 0 to {len(names) - 1}")
    return int(word)


def _shares(words: list[str], where: str) -> list[float]:
    try:
        shares = numbers([float(word) for word in words], where)
    except ValueError as error:
        raise AnnotationError(f"{where}: {error}") from error
    if len(shares) != 4 and (len(shares) < 6 or len(shares) % 2):
        raise AnnotationError(
            f"{where}: {len(shares)} coordinates; wanted x y in turn, three points or more"
        )
    wrong = [share for share in shares if not -_TOLERANCE <= share <= 1 + _TOLERANCE]
    if wrong:
        raise AnnotationError(
            f"{where}: coordinate {wrong[0]}, wanted shares of the picture's sides from 0 to 1"
        )
    return shares
