"""Writing a split: `maskwright data split`.

As COCO, OUT holds train.json, val.json and test.json beside one folder of pictures, with ids and
file names as they were; of a COCO source everything else that its entries say is kept as well
(licences, attributes, the field that groups were made by). In other formats each part is a folder
of its own. Folds are folders `fold-1` and so on, each with its train and val.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Int64

from maskwright.data.coco_objects import CrowdRule
from maskwright.data.converting import writer_of
from maskwright.data.dataset import Dataset
from maskwright.data.formats import coco
from maskwright.data.formats.contract import Source
from maskwright.data.formats.export import ExportLog, ExportReport, link, place_picture
from maskwright.data.groups import group_pictures
from maskwright.data.opening import open_dataset
from maskwright.data.report import ImportReport
from maskwright.data.split import fold_dataset, split_dataset
from maskwright.data.split_report import SplitReport, report_split
from maskwright.errors import ConfigError
from maskwright.files import new_folder, write_json

__all__ = ["DEFAULT_RATIOS", "WrittenSplit", "write_split"]

DEFAULT_RATIOS = (0.7, 0.15, 0.15)
_PART_NAMES = {2: ("train", "val"), 3: ("train", "val", "test")}
_IMAGES = "images"
_REPORT = "split_report.json"

_Parts: TypeAlias = list[tuple[str, Dataset]]
_PartsWriter: TypeAlias = Callable[[Dataset, _Parts, Path, ExportLog], dict[str, str]]


@dataclass(frozen=True, kw_only=True)
class WrittenSplit:
    """What `write_split` did.

    Args:
        path: The folder that was written.
        annotations: The file or folder of each part, by name ("train", "fold-1/val").
        imported: The account of the reading.
        split: Pictures and objects by part; of folds, their validation parts.
        exported: The account of the writing.
    """

    path: Path
    annotations: dict[str, Path]
    imported: ImportReport
    split: SplitReport
    exported: ExportReport


def write_split(
    data: str | Path,
    out: str | Path,
    *,
    ratios: Sequence[float] | None = None,
    folds: int | None = None,
    groups: str | Sequence[str] = (),
    seed: int = 0,
    to: str = "coco",
    copy: bool = False,
    format: str | None = None,
    images: str | Path | None = None,
    crowd: CrowdRule = "ignore",
    progress: Callable[[int, int], None] | None = None,
) -> WrittenSplit:
    """Divide annotated pictures and write the parts.

    `out` appears when everything is in it, or never. Beside the annotations it holds
    `split_report.json` and the pictures.

    Args:
        data: Annotated pictures, as `open_dataset` takes them.
        out: The folder to make; an empty one is taken.
        ratios: Shares of train and val, or of train, val and test; they sum to 1 (or 100). None
            takes 0.7, 0.15 and 0.15.
        folds: Make this many folds for cross-validation instead.
        groups: Rules for pictures that must not be divided, see `maskwright.data.groups`.
        seed: As for `split_dataset`.
        to: The format to write.
        copy: Copy the pictures; otherwise they are linked: no second copy on the disk.
        format: The format of `data`, where it is not to be found out by looking.
        images: The folder of the pictures, if it is not where it is looked for.
        crowd: What becomes of crowds, as for `open_dataset`.
        progress: Told of the pictures read for near-duplicates: those done and all.

    Raises:
        ConfigError: Ratios, folds, groups or a format that are not.
        DataError: The data cannot be read or divided so; `out` is not empty; or links cannot be
            made there.
    """
    out = Path(out)
    write_parts = _written_as_coco(data) if to == "coco" else _written_as(to)
    if ratios and folds is not None:
        raise ConfigError("ratios and folds are two ways to divide: give one of them")
    shares = _checked_ratios(ratios or DEFAULT_RATIOS)
    with new_folder(out) as partial:
        dataset = open_dataset(data, images=images, crowd=crowd, format=format)
        numbers = group_pictures(dataset, groups, source=data, progress=progress)
        kept = numbers if groups else None
        if folds is None:
            parts = _split(dataset, shares, seed, kept)
            report = _report(parts, shares, seed, kept)
        else:
            parts = _fold(dataset, folds, seed, kept)
            report = _report(parts[1::2], [1 / folds] * folds, seed, kept)
        log = ExportLog(links_pictures=not copy)
        places = write_parts(dataset, parts, partial, log)
        write_json(partial / _REPORT, report.as_dict())
    return WrittenSplit(
        path=out,
        annotations={name: out / place for name, place in places.items()},
        imported=dataset.report,
        split=report,
        exported=ExportReport(
            target=str(out),
            format_name=to,
            num_images=sum(len(part) for _, part in parts),
            num_objects=sum(len(part.labels) for _, part in parts),
            findings=log.findings(),
        ),
    )


def _checked_ratios(ratios: Sequence[float]) -> list[float]:
    if len(ratios) not in _PART_NAMES:
        raise ConfigError(
            f"ratios are those of train and val, or of train, val and test; got {len(ratios)}"
        )
    total = sum(ratios)
    return [ratio / 100 for ratio in ratios] if abs(total - 100) < 1e-6 else list(ratios)


def _split(
    dataset: Dataset, shares: list[float], seed: int, groups: Int64[np.ndarray, " m"] | None
) -> _Parts:
    divided = split_dataset(dataset, shares, seed=seed, groups=groups)
    return list(zip(_PART_NAMES[len(shares)], divided, strict=True))


def _fold(
    dataset: Dataset, folds: int, seed: int, groups: Int64[np.ndarray, " m"] | None
) -> _Parts:
    parts = []
    for k, (train, val) in enumerate(fold_dataset(dataset, folds, seed=seed, groups=groups), 1):
        parts += [(f"fold-{k}/train", train), (f"fold-{k}/val", val)]
    return parts


def _report(
    parts: _Parts, shares: list[float], seed: int, groups: Int64[np.ndarray, " m"] | None
) -> SplitReport:
    named = [(name, share, part) for (name, part), share in zip(parts, shares, strict=True)]
    return report_split(named, seed=seed, groups=groups)


def _written_as_coco(data: str | Path) -> _PartsWriter:
    """Return a writer of a json per part, beside one folder of pictures under their own names."""

    def write_parts(
        dataset: Dataset, parts: _Parts, folder: Path, log: ExportLog
    ) -> dict[str, str]:
        assert dataset.image_folder is not None
        if log.links_pictures:
            link(folder / _IMAGES, dataset.image_folder)
        else:
            for i, name in enumerate(dataset.file_names):
                place_picture(dataset, i, folder / _IMAGES / name, log)
        original = _original(data)
        for name, part in parts:
            path = folder / f"{name}.json"
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(_completed(part.to_coco(), original)), encoding="utf-8")
        return {name: f"{name}.json" for name, _ in parts}

    return write_parts


def _original(data: str | Path) -> dict[str, Any]:
    """Return what a COCO json says, or {} for other formats."""
    source = Source(Path(data))
    return source.json if coco.sniff(source) else {}


def _completed(content: dict[str, Any], original: dict[str, Any]) -> dict[str, Any]:
    """Add to the entries what the original ones of their ids say besides."""
    completed = {key: value for key, value in original.items() if key not in content}
    for key, entries in content.items():
        known = {entry["id"]: entry for entry in original.get(key, ()) if "id" in entry}
        completed[key] = [known.get(entry["id"], {}) | entry for entry in entries]
    return completed


def _written_as(format_name: str) -> _PartsWriter:
    """Return a writer of a folder per part."""
    write = writer_of(format_name)

    def write_parts(_: Dataset, parts: _Parts, folder: Path, log: ExportLog) -> dict[str, str]:
        for name, part in parts:
            (folder / name).mkdir(parents=True)
            write(part, folder / name, log)
        return {name: name for name, _ in parts}

    return write_parts
