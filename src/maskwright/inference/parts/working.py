"""Predicting one part: its pictures' own files, then what the run's files have of it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from maskwright.data.shards.reading import open_shards, read_shard
from maskwright.errors import DataError, ImageError
from maskwright.files import atomic_write, write_json
from maskwright.inference.folder_run import write_pictures
from maskwright.inference.parts.marks import Marks
from maskwright.inference.parts.plan import Part, Plan
from maskwright.inference.predictor import Predictor
from maskwright.inference.result_files import Place, ResultFiles
from maskwright.inference.sources import unique_stems
from maskwright.inference.writers import coco_text, write_table

__all__ = ["PartReport", "predict_part"]


@dataclass(frozen=True, kw_only=True)
class PartReport:
    """What a part became; `OUT/.parts` holds it.

    Args:
        written: Files of its pictures, relative to the folder of the results.
        failures: Name and reason of each picture that was left out.
        num_images: Pictures predicted on.
        num_objects: Objects in what people read.
        notes: What was written otherwise than asked.
    """

    written: tuple[str, ...]
    failures: tuple[tuple[str, str], ...]
    num_images: int
    num_objects: int
    notes: tuple[str, ...]


def predict_part(plan: Plan, number: int, predictor: Predictor) -> None:
    """Predict the pictures of a part; nothing is done where that was done before.

    The part's report is written last, so one that has it is whole.

    Args:
        plan: The run.
        number: Which part.
        predictor: The model, `plan.options.model.open()`.

    Raises:
        ConfigError: A class or threshold that the model does not know.
        OSError: A file cannot be written, or the disk is full.
    """
    if plan.is_done(number):
        return
    part = plan.parts[number]
    marks = Marks(plan.file(number, "tried"))
    options = plan.options
    results = ResultFiles(plan.out, frozenset(options.outputs), options.pixel_size)
    with _pictures(plan, part) as (pictures, lost):
        failures = [*lost, *_predict(plan, predictor, pictures, results, marks)]
    _keep(plan, number, results, failures)
    marks.forget()


@dataclass(frozen=True, kw_only=True)
class _Pictured:
    """A picture's file, what its results are called, and its name for people."""

    path: Path
    place: Place
    name: str


def _predict(
    plan: Plan,
    predictor: Predictor,
    pictures: Sequence[_Pictured],
    results: ResultFiles,
    marks: Marks,
) -> list[tuple[str, str]]:
    """Hand all pictures to `results`; return names and reasons of those that were left out."""
    if marks.is_first:
        marks.begin()
        return _predict_together(plan, predictor, pictures, results)
    failures: list[tuple[str, str]] = []
    size = plan.options.batch_size
    for group, start in enumerate(range(0, len(pictures), size)):
        chosen = pictures[start : start + size]
        if marks.is_deadly(group):
            failures += [(each.name, "the processes that predicted it died") for each in chosen]
            continue
        marks.note(group)
        failures += _predict_together(plan, predictor, chosen, results)
        marks.survive(group)
    return failures


def _predict_together(
    plan: Plan, predictor: Predictor, pictures: Sequence[_Pictured], results: ResultFiles
) -> list[tuple[str, str]]:
    options = plan.options
    names = {each.path: each.name for each in pictures}
    failures: list[tuple[str, str]] = []

    def leave_out(path: Path, error: ImageError) -> None:
        failures.append((names[path], str(error).replace(str(path), names[path])))

    threshold = predictor.score_thresholds(options.score_threshold)
    write_pictures(
        predictor,
        [each.path for each in pictures],
        {each.path: each.place for each in pictures},
        results,
        leave_out,
        steps=replace(options.steps, score_threshold=threshold),
        batch_size=options.batch_size,
        tiles=options.tiles,
        overlap=options.overlap,
    )
    return failures


@contextmanager
def _pictures(plan: Plan, part: Part) -> Iterator[tuple[list[_Pictured], list[tuple[str, str]]]]:
    """Lend the pictures of a part as files, and the failures there are already."""
    if part.shard is None:
        rows = zip(part.paths, part.places, part.names, strict=True)
        yield [_Pictured(path=path, place=place, name=name) for path, place, name in rows], []
        return
    with tempfile.TemporaryDirectory() as folder:
        yield _unpacked(plan, part.shard, Path(folder))


def _unpacked(
    plan: Plan, number: int, folder: Path
) -> tuple[list[_Pictured], list[tuple[str, str]]]:
    """Write the pictures of a shard to files, so that they are read by the rules of files.

    Of a damaged shard, the pictures before the damage.
    """
    assert plan.shards is not None
    shards = open_shards(plan.shards)
    rows: list[tuple[Path, int, str, str]] = []
    failures: list[tuple[str, str]] = []
    try:
        for place, raw in enumerate(read_shard(shards, number)):
            said = json.loads(raw.description)
            path = folder / f"{place:09d}{raw.suffix}"
            path.write_bytes(raw.picture)
            rows.append((path, int(said["image_id"]), str(said["file_name"]), raw.where))
    except (DataError, ValueError, KeyError, TypeError) as error:
        failures.append((f"{shards.url}/{shards.names[number]}", str(error)))
    # A folder of its own for each shard: what is in the others is not known here.
    below = Path(shards.names[number]).stem
    stems = unique_stems([Path(row[2]) for row in rows])
    pictures = [
        _Pictured(
            path=path,
            place=Place(stem=f"{below}/{stem}", image_id=image_id, file_name=file_name),
            name=where,
        )
        for (path, image_id, file_name, where), stem in zip(rows, stems, strict=True)
    ]
    return pictures, failures


def _keep(
    plan: Plan, number: int, results: ResultFiles, failures: Sequence[tuple[str, str]]
) -> None:
    """Write what the run's files have of a part, and its report last."""
    if "coco" in plan.options.outputs:
        with atomic_write(plan.file(number, "coco")) as partial:
            partial.write_text(coco_text(results.coco_entries), encoding="utf-8")
    table = results.table()
    if table is not None:
        write_table(plan.file(number, "csv"), table)
    report = PartReport(
        written=tuple(str(path.relative_to(plan.out)) for path in results.written),
        failures=tuple(failures),
        num_images=results.num_images,
        num_objects=results.num_objects,
        notes=tuple(results.notes),
    )
    write_json(plan.file(number, "json"), vars(report))
