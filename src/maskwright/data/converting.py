"""One format into another, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskwright.data.coco_objects import CrowdRule
from maskwright.data.dataset import Dataset
from maskwright.data.formats.export import ExportLog, ExportReport
from maskwright.data.formats.table import FORMATS, format_named
from maskwright.data.opening import open_dataset
from maskwright.data.report import ImportReport
from maskwright.errors import ConfigError, DataError
from maskwright.files import new_folder

__all__ = ["Conversion", "convert", "writer_of"]


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """What a conversion did.

    Args:
        path: The folder that was written.
        imported: The account of the reading.
        exported: The account of the writing.
    """

    path: Path
    imported: ImportReport
    exported: ExportReport

    def as_dict(self) -> dict[str, Any]:
        """Return both reports as plain values, ready for JSON."""
        return {"import": self.imported.as_dict(), "export": self.exported.as_dict()}


def convert(
    data: str | Path,
    out: str | Path,
    *,
    to: str,
    format: str | None = None,
    images: str | Path | None = None,
    crowd: CrowdRule = "ignore",
    strict: bool = False,
    follow_links: bool = False,
    split: str | None = None,
) -> Conversion:
    """Write annotated pictures in another format.

    Pictures are copied byte for byte. `out` appears when everything is in it, or never.

    Args:
        data: Annotated pictures, as `open_dataset` takes them.
        out: The folder to make; an empty one is taken.
        to: The name of the format to write.
        format: The format of `data`, where it is not to be found out by looking.
        images: The folder of the pictures, if it is not where it is looked for.
        crowd: What becomes of crowds, as for `open_dataset`.
        strict: Refuse to write if any object would change or be left out.
        follow_links: Follow links out of the dataset's folder, as for `open_dataset`.
        split: The part to read, as for `open_dataset`.

    Raises:
        ConfigError: A format that is not known or not written.
        DataError: The data cannot be read; `out` is not empty; or `strict` and the format cannot
            hold everything.
    """
    write = writer_of(to)
    out = Path(out)
    log = ExportLog()
    with new_folder(out) as partial:
        dataset = open_dataset(
            data, images=images, crowd=crowd, format=format, follow_links=follow_links, split=split
        )
        write(dataset, partial, log)
        report = ExportReport(
            target=str(out),
            format_name=to,
            num_images=len(dataset),
            num_objects=len(dataset.labels),
            findings=log.findings(),
        )
        if strict and report.num_changed + report.num_dropped:
            raise DataError(f"refused, for {to} cannot hold everything (strict):\n{report}")
    return Conversion(path=out, imported=dataset.report, exported=report)


def writer_of(format_name: str) -> Callable[[Dataset, Path, ExportLog], None]:
    """Return the function that writes a format.

    Raises:
        ConfigError: A format that is not known or not written.
    """
    chosen = format_named(format_name)
    if chosen.write is None:
        known = ", ".join(one.name for one in FORMATS if one.write is not None)
        raise ConfigError(f"{format_name} is only read; formats that are written: {known}")
    return chosen.write
