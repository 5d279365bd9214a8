"""Which pictures are predicted how, in which parts: the file that all processes go by.

OUT/.parts/plan.json     this plan
OUT/.parts/000012.json   part 12 is done: what was written, what could not be read
OUT/.parts/000012.coco   its lines of results.json; 000012.csv its rows of objects.csv
OUT/.parts/000012.tried  part 12 was begun; which of its pictures a process may have died on
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from maskwright.data import split_page
from maskwright.data.shards.reading import open_shards
from maskwright.data.shards.sending import is_url
from maskwright.data.shards.writing import INDEX
from maskwright.errors import ConfigError, DataError
from maskwright.files import write_json
from maskwright.inference.folder_run import find_pictures, places_of, require_outputs
from maskwright.inference.model_choice import ModelChoice
from maskwright.inference.postprocess import PostProcessing
from maskwright.inference.predictor import ScoreThreshold
from maskwright.inference.result_files import OUTPUTS, Place
from maskwright.inference.tiling import Tiles

__all__ = ["Part", "PartOptions", "Plan", "open_plan", "read_plan"]

FOLDER, PLAN = ".parts", "plan.json"

_MOST_PICTURES = 32
"""Of a part: what a process that dies has done for nothing, at most."""

_FEWEST_PARTS = 16
"""Of a run with enough pictures, so that a handful of processes end at about the same time."""


@dataclass(frozen=True, kw_only=True)
class PartOptions:
    """How pictures are predicted; see `predict_to_folder`.

    Args:
        model: Which model.
        outputs: What is written.
        steps: After the model.
        score_threshold: Takes the place of that of `steps`; a name ("auto") is looked up in the
            model's calibration.
        batch_size: Pictures, or tiles, that go through the network together.
        pixel_size: For the table.
        tiles: Side of a tile, "auto" or None.
        overlap: Of tiles.
    """

    model: ModelChoice
    outputs: tuple[str, ...] = OUTPUTS
    steps: PostProcessing = field(default_factory=PostProcessing)
    score_threshold: ScoreThreshold = None
    batch_size: int = 1
    pixel_size: float | None = None
    tiles: Tiles | None = None
    overlap: int | None = None

    def __post_init__(self) -> None:
        require_outputs(self.outputs, OUTPUTS)
        if self.batch_size < 1:
            raise ConfigError(f"batch_size must be 1 or more, got {self.batch_size}")


@dataclass(frozen=True, kw_only=True)
class Part:
    """Pictures that are predicted together.

    Args:
        number: From 0, in the order of the run.
        count: How many pictures.
        paths: Their files, absolute; () for a shard.
        names: The same as they were named, for people.
        places: What the results of each are called.
        shard: The number of a tar file, whose pictures have their names in it.
    """

    number: int
    count: int
    paths: tuple[Path, ...] = ()
    names: tuple[str, ...] = ()
    places: tuple[Place, ...] = ()
    shard: int | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A run in parts.

    Args:
        out: Where results go.
        options: How.
        parts: What, in order.
        shards: Folder or URL of shards; None for files.
    """

    out: Path
    options: PartOptions
    parts: tuple[Part, ...]
    shards: str | None = None

    @property
    def folder(self) -> Path:
        """Where parts wait to be joined."""
        return self.out / FOLDER

    def file(self, number: int, suffix: str) -> Path:
        """Return a file of a part."""
        return self.folder / f"{number:06d}.{suffix}"

    def is_done(self, number: int) -> bool:
        """Whether a part was predicted."""
        return self.file(number, "json").is_file()

    @property
    def num_pictures(self) -> int:
        """All pictures of the run."""
        return sum(part.count for part in self.parts)


def open_plan(sources: Sequence[str], out: str | os.PathLike[str], options: PartOptions) -> Plan:
    """Divide a run into parts, or go on with the same run; its plan then lies in `OUT/.parts`.

    Args:
        sources: Files, folders and patterns, as for `predict_to_folder`; or one folder or URL of
            shards (`maskwright data shard`).
        out: Where results go.
        options: How pictures are predicted.

    Raises:
        DataError: A source that does not exist or holds no pictures.
        ConfigError: `OUT` holds parts of another run; the message says what differs.
    """
    out = Path(out).resolve()
    shards = _shards_among(sources)
    parts = _parts_of_files(sources, out, options) if shards is None else _parts_of_shards(shards)
    plan = Plan(out=out, options=options, parts=tuple(parts), shards=shards)
    content = _as_dict(plan)
    if (plan.folder / PLAN).is_file():
        _require_same(plan.folder, content)
        for mark in plan.folder.glob("*.tried"):
            mark.unlink()  # nobody of this run has died on anything yet
    else:
        shutil.rmtree(plan.folder, ignore_errors=True)
        write_json(plan.folder / PLAN, content)
    return plan


def read_plan(out: str | Path) -> Plan:
    """Return the plan of the run in `out`.

    Raises:
        DataError: There is none: on a machine of a cluster, the folder is not shared.
    """
    path = Path(out) / FOLDER / PLAN
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(
            f"{path} is not there ({error.strerror}): pictures, model and --out must lie on "
            "storage that all machines of the cluster see under the same path"
        ) from error
    from maskwright.model import config_from_dict

    return Plan(
        out=Path(content["out"]),
        options=config_from_dict(PartOptions, content["options"]),
        parts=tuple(_read_part(number, part) for number, part in enumerate(content["parts"])),
        shards=content["shards"],
    )


def _shards_among(sources: Sequence[str]) -> str | None:
    """The folder or URL of shards that the sources are; None for pictures."""
    found = [source for source in sources if is_url(source) or (Path(source) / INDEX).is_file()]
    if not found:
        return None
    if len(sources) > 1:
        raise DataError(f"{found[0]} holds shards, which are predicted alone: leave the others out")
    return found[0] if is_url(found[0]) else str(Path(found[0]).resolve())


def _parts_of_files(sources: Sequence[str], out: Path, options: PartOptions) -> list[Part]:
    """Neighbouring pictures together; whole batches, so that they are those of an undivided run."""
    paths = find_pictures(sources, out)
    places = places_of(paths, None)
    wanted = min(_MOST_PICTURES, -(-len(paths) // _FEWEST_PARTS))
    size = options.batch_size * max(1, wanted // options.batch_size)
    return [
        Part(
            number=number,
            count=len(chosen),
            paths=tuple(path.absolute() for path in chosen),
            names=tuple(map(str, chosen)),
            places=tuple(places[path] for path in chosen),
        )
        for number, chosen in enumerate(
            paths[start : start + size] for start in range(0, len(paths), size)
        )
    ]


def _parts_of_shards(url: str) -> list[Part]:
    counts = open_shards(url).counts
    return [Part(number=number, count=count, shard=number) for number, count in enumerate(counts)]


def _as_dict(plan: Plan) -> dict[str, Any]:
    """The plan as JSON knows it; `options`, `model` and `sources` are what must be the same."""
    options = asdict(plan.options)
    paths = [path for part in plan.parts for path in part.paths]
    return {
        "out": str(plan.out),
        "options": json.loads(json.dumps(options)),
        "model": plan.options.model.fingerprint(),
        "shards": plan.shards,
        "pictures": _stamp(paths) if plan.shards is None else [part.count for part in plan.parts],
        "parts": [_part_as_dict(part) for part in plan.parts],
    }


def _part_as_dict(part: Part) -> dict[str, Any]:
    if part.shard is not None:
        return {"shard": part.shard, "count": part.count}
    rows = zip(part.paths, part.names, part.places, strict=True)
    return {
        "pictures": [
            [str(path), name, place.stem, place.image_id, place.file_name]
            for path, name, place in rows
        ]
    }


def _read_part(number: int, content: dict[str, Any]) -> Part:
    if "shard" in content:
        return Part(number=number, count=content["count"], shard=content["shard"])
    rows = content["pictures"]
    return Part(
        number=number,
        count=len(rows),
        paths=tuple(Path(row[0]) for row in rows),
        names=tuple(row[1] for row in rows),
        places=tuple(Place(stem=row[2], image_id=row[3], file_name=row[4]) for row in rows),
    )


def _stamp(paths: Collection[Path]) -> str:
    """A short text that changes with the names, the lengths and the times of the files."""
    digest = hashlib.blake2b(digest_size=8)
    for path in paths:
        state = split_page(path)[0].stat()
        digest.update(f"{path}\n{state.st_size} {state.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _require_same(folder: Path, content: dict[str, Any]) -> None:
    try:
        saved = json.loads((folder / PLAN).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{folder / PLAN} is damaged ({error}): remove {folder}") from error
    then = {name: saved.get(name) for name in ("model", "shards", "pictures")}
    now = {name: content[name] for name in then}
    then |= saved.get("options", {})
    now |= content["options"]
    differences = [
        f"{name}: {json.dumps(then.get(name))} then, {json.dumps(now[name])} now"
        for name in now
        if then.get(name) != now[name]
    ]
    if differences:
        raise ConfigError(
            f"{folder} holds parts of another run:\n  "
            + "\n  ".join(differences)
            + f"\ngo on with the same options, or remove {folder} to begin anew"
        )
