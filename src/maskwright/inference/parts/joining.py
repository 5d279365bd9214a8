"""Making the files of a run of its parts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from maskwright.errors import DataError
from maskwright.files import atomic_write
from maskwright.inference.folder_run import PredictionRun, UnreadPicture
from maskwright.inference.parts.plan import Plan
from maskwright.inference.result_files import RESULTS, TABLE

__all__ = ["join_parts"]


def join_parts(plan: Plan, out: Path) -> PredictionRun:
    """Write results.json and objects.csv of all parts, then remove the parts.

    The files are those that `predict_to_folder` would have written. Parts are read one after the
    other, so a run may be larger than memory.

    Args:
        plan: The run, all of whose parts are done.
        out: The folder of the results as the caller calls it.

    Raises:
        DataError: A part is not done.
        OSError: A file cannot be written, or the disk is full.
    """
    missing = [part.number for part in plan.parts if not plan.is_done(part.number)]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(plan.parts)} parts in {plan.folder} are not done, the first "
            f"is {missing[0]}: run the same command again"
        )
    reports = [
        json.loads(plan.file(part.number, "json").read_text(encoding="utf-8"))
        for part in plan.parts
    ]
    written = [out / name for report in reports for name in report["written"]]
    if "coco" in plan.options.outputs:
        _join(out / RESULTS, _coco_pieces(plan))
        written.append(out / RESULTS)
    if any(plan.file(part.number, "csv").is_file() for part in plan.parts):
        _join(out / TABLE, _table_pieces(plan))
        written.append(out / TABLE)
    shutil.rmtree(plan.folder)
    return PredictionRun(
        written=tuple(written),
        failures=tuple(
            UnreadPicture(path=Path(name), reason=reason)
            for report in reports
            for name, reason in report["failures"]
        ),
        num_images=sum(report["num_images"] for report in reports),
        num_objects=sum(report["num_objects"] for report in reports),
        notes=tuple(note for report in reports for note in report["notes"]),
    )


def _join(path: Path, pieces: Iterator[str]) -> None:
    with atomic_write(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        file.writelines(pieces)


def _coco_pieces(plan: Plan) -> Iterator[str]:
    """The text of results.json, as `write_coco_results` has it."""
    is_empty = True
    for part in plan.parts:
        lines = plan.file(part.number, "coco").read_text(encoding="utf-8")
        if lines:
            yield "[\n" if is_empty else ",\n"
            yield lines
            is_empty = False
    yield "[]\n" if is_empty else "\n]\n"


def _table_pieces(plan: Plan) -> Iterator[str]:
    """The text of objects.csv: the first line once, then the rows of each part."""
    is_first = True
    for part in plan.parts:
        path = plan.file(part.number, "csv")
        if not path.is_file():
            continue
        head, end, rows = path.read_text(encoding="utf-8").partition("\n")
        if is_first:
            yield head + end
        yield rows
        is_first = False
