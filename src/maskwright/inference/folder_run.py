"""Prediction over many pictures into a folder of result files."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from maskwright.errors import ConfigError, ImageError, nearest_name
from maskwright.inference.overlapping import Behind
from maskwright.inference.picture_files import BatchSize, find_tiled, find_whole
from maskwright.inference.postprocess import PostProcessing, keep_scores
from maskwright.inference.predictor import Predictor
from maskwright.inference.result_files import OUTPUTS, Place, ResultFiles
from maskwright.inference.sources import find_sources, picture_ids, unique_stems
from maskwright.inference.tiling import Tiles

__all__ = [
    "OUTPUTS",
    "PredictionRun",
    "UnreadPicture",
    "find_pictures",
    "is_written_by_us",
    "places_of",
    "predict_to_folder",
    "require_outputs",
    "write_pictures",
]

# What people look at and count; COCO results keep the unsure objects, for scoring needs them.
_SHOWN_SCORE = 0.5


@dataclass(frozen=True, kw_only=True)
class UnreadPicture:
    """A picture that a run had to leave out, and why."""

    path: Path
    reason: str


@dataclass(frozen=True, kw_only=True)
class PredictionRun:
    """What a run over many pictures did.

    Args:
        written: The files, in the order they were written.
        failures: The pictures that could not be read.
        num_images: Pictures predicted on.
        num_objects: Objects in the pictures and tables people read.
        notes: What was written otherwise than asked, and why, for people.
    """

    written: tuple[Path, ...]
    failures: tuple[UnreadPicture, ...]
    num_images: int
    num_objects: int
    notes: tuple[str, ...] = ()


def predict_to_folder(
    predictor: Predictor,
    sources: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    outputs: Collection[str] = OUTPUTS,
    steps: PostProcessing | None = None,
    batch_size: BatchSize = 1,
    pixel_size: float | None = None,
    image_ids: Mapping[str, int] | None = None,
    tiles: Tiles | None = None,
    overlap: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> PredictionRun:
    """Find the objects in every picture and write the results below `out`.

    | output | files | holds |
    |---|---|---|
    | overlay | `overlay/NAME.png` | the objects drawn on the picture |
    | labelmap | `labelmap/NAME.png` | 16 bits: 0 background, i object number i; surer objects win |
    | masks | `masks/NAME/0001_CLASS.png` ... | one picture per object, overlaps kept |
    | csv | `objects.csv` | a row per object of the run: class, score, box, measurements |
    | coco | `results.json` | COCO results of the run, with `file_name` and `category_name` |

    Of a picture of more than 64 megapixels the overlay is made smaller, the label map is a tiled
    TIFF (`labelmap/NAME.tif`, 32 bits from 65,536 objects), and `masks`, a picture of that size
    per object, are left out; `notes` of the run say so.

    NAME is the picture's, without suffix (-2, -3 ... where two share it). Object numbers agree
    between overlay order, label map, masks and table. A picture that cannot be read is reported
    and left out. Every file is whole or absent, also on Ctrl-C; the two files of the run are
    written at its end.

    Args:
        predictor: The model.
        sources: Files, folders and patterns; pictures that an earlier run wrote below `out` are
            not taken as sources.
        out: The folder to write to; made where it does not exist, files in it are replaced.
        outputs: Which of `OUTPUTS` to write.
        steps: What to do after the model. Without a `score_threshold` in it, COCO results hold
            all that the model gives and everything else the objects of score 0.5 and more.
        batch_size: Pictures, or tiles, that go through the network together. "auto" measures on
            the first picture how many are quickest; with tiles it is 1.
        pixel_size: Length of a pixel's side in a unit of yours, for the table.
        image_ids: COCO image id by file name; None takes the number that is the file's name where
            that holds for every picture (as in COCO), else the running number from 1.
        tiles: Cut pictures into tiles and join what is found; see `Predictor.predict`. None
            predicts them whole.
        overlap: Pixels that neighbouring tiles share.
        progress: Called after each picture with the pictures done and all; with `tiles`, after
            each tile with the tiles done and all, an estimate until the last picture is open.

    Raises:
        DataError: A source that does not exist or holds no pictures.
        ConfigError: An unknown output or class, an impossible pixel size, or a picture that
            `image_ids` does not know.
        OSError: A file cannot be written, or the disk is full.
    """
    require_outputs(outputs, OUTPUTS)
    if pixel_size is not None and not 0 < pixel_size < math.inf:
        raise ConfigError(f"pixel_size must be a positive length, got {pixel_size}")
    steps = PostProcessing() if steps is None else steps
    out = Path(out)
    paths = find_pictures(sources, out)
    places = places_of(paths, image_ids)
    failures: list[UnreadPicture] = []

    def leave_out(path: Path, error: ImageError) -> None:
        failures.append(UnreadPicture(path=path, reason=str(error)))

    results = ResultFiles(out, frozenset(outputs), pixel_size)
    write_pictures(
        predictor,
        paths,
        places,
        results,
        leave_out,
        steps=steps,
        batch_size=batch_size,
        tiles=tiles,
        overlap=overlap,
        progress=progress,
    )
    results.finish()
    return PredictionRun(
        written=tuple(results.written),
        failures=tuple(failures),
        num_images=results.num_images,
        num_objects=results.num_objects,
        notes=tuple(results.notes),
    )


def write_pictures(
    predictor: Predictor,
    paths: Sequence[Path],
    places: Mapping[Path, Place],
    results: ResultFiles,
    leave_out: Callable[[Path, ImageError], None],
    *,
    steps: PostProcessing,
    batch_size: BatchSize,
    tiles: Tiles | None,
    overlap: int | None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Find the objects of each picture and hand them to `results`, in order.

    Args:
        predictor: The model.
        paths: The pictures.
        places: What the results of each are called.
        results: Written to as the pictures come; not finished.
        leave_out: Told of a picture that cannot be read.
        steps: As for `predict_to_folder`, and so are the others.
        batch_size: Pictures or tiles at a time.
        tiles: Side of a tile, "auto" or None.
        overlap: Of tiles.
        progress: Called with what is done and all.
    """
    if tiles is None:
        each = find_whole(
            predictor, paths, leave_out, steps=steps, batch_size=batch_size, progress=progress
        )
    else:
        each = find_tiled(
            predictor,
            paths,
            leave_out,
            tiles=tiles,
            overlap=overlap,
            steps=steps,
            batch_size=1 if batch_size == "auto" else batch_size,
            progress=progress,
        )
    with Behind() as write:
        for path, windows, found in each:
            shown = keep_scores(found, _SHOWN_SCORE) if steps.score_threshold is None else found
            add = partial(results.add, places[path], windows, found, shown)
            if tiles is None:
                write(add)
            else:
                add()  # the windows are open for as long as this


def require_outputs(outputs: Collection[str], known: Sequence[str]) -> None:
    """Check that each output is a known one.

    Raises:
        ConfigError: One is not; the message lists those there are.
    """
    for name in outputs:
        if name not in known:
            raise ConfigError(
                f"unknown output {name!r}.{nearest_name(name, tuple(known))} "
                f"There are: {', '.join(known)}"
            )


def is_written_by_us(path: Path, out: Path) -> bool:
    """True for pictures that an earlier run left below `out`, when `out` is among the sources."""
    folders = [(out / name).resolve() for name in ("overlay", "labelmap", "masks", "classmap")]
    return any(folder in path.resolve().parents for folder in folders)


def find_pictures(sources: Sequence[str | os.PathLike[str]], out: Path) -> list[Path]:
    """Return the pictures that sources name, without those that a run wrote below `out`.

    Raises:
        DataError: A source that does not exist or holds no pictures.
    """
    return [path for path in find_sources(sources) if not is_written_by_us(path, out)]


def places_of(paths: Sequence[Path], image_ids: Mapping[str, int] | None) -> dict[Path, Place]:
    """Names and ids of each picture's results."""
    counts = Counter(path.name for path in paths)
    # The bare name, as in COCO, unless two pictures share it.
    names = [path.name if counts[path.name] == 1 else path.as_posix() for path in paths]
    if image_ids is None:
        ids = picture_ids(paths)
    else:
        for name in names:
            if name not in image_ids:
                raise ConfigError(
                    f"{name} is none of the {len(image_ids)} pictures whose ids were given."
                    f"{nearest_name(name, tuple(image_ids))}"
                )
        ids = [image_ids[name] for name in names]
    return {
        path: Place(stem=stem, image_id=image_id, file_name=name)
        for path, stem, image_id, name in zip(paths, unique_stems(paths), ids, names, strict=True)
    }
