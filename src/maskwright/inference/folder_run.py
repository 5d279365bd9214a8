"""Prediction over many pictures into a folder of result files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8

from maskwright.data import save_image
from maskwright.draw import overlay
from maskwright.errors import ConfigError, ImageError, nearest_name
from maskwright.inference.measure import measure
from maskwright.inference.pictures import Picture, read_pictures
from maskwright.inference.postprocess import PostProcessing, keep_scores
from maskwright.inference.predictor import Predictor
from maskwright.inference.sources import find_sources, picture_ids, unique_stems
from maskwright.inference.writers import (
    write_coco_results,
    write_label_map,
    write_masks,
    write_table,
)
from maskwright.structures import Instances

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "OUTPUTS",
    "PredictionRun",
    "UnreadPicture",
    "is_written_by_us",
    "predict_to_folder",
    "require_outputs",
]

OUTPUTS = ("overlay", "coco", "labelmap", "masks", "csv")
"""What a run can write: see `predict_to_folder`."""

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
    """

    written: tuple[Path, ...]
    failures: tuple[UnreadPicture, ...]
    num_images: int
    num_objects: int


def predict_to_folder(
    predictor: Predictor,
    sources: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    outputs: Collection[str] = OUTPUTS,
    steps: PostProcessing | None = None,
    batch_size: int = 1,
    pixel_size: float | None = None,
    image_ids: Mapping[str, int] | None = None,
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
        batch_size: Pictures that go through the network together.
        pixel_size: Length of a pixel's side in a unit of yours, for the table.
        image_ids: COCO image id by file name; None takes the number that is the file's name where
            that holds for every picture (as in COCO), else the running number from 1.
        progress: Called after each picture with the pictures done and all.

    Raises:
        DataError: A source that does not exist or holds no pictures.
        ConfigError: An unknown output or class, an impossible pixel size, or a picture that
            `image_ids` does not know.
        OSError: A file cannot be written, or the disk is full.
    """
    require_outputs(outputs, OUTPUTS)
    if pixel_size is not None and not 0 < pixel_size < np.inf:
        raise ConfigError(f"pixel_size must be a positive length, got {pixel_size}")
    steps = PostProcessing() if steps is None else steps
    out = Path(out)
    paths = [path for path in find_sources(sources) if not is_written_by_us(path, out)]
    places = _places(paths, image_ids)
    failures: list[UnreadPicture] = []
    pixels: dict[Path, np.ndarray] = {}

    def readable() -> Iterator[Picture]:
        for picture in read_pictures(paths, on_error=leave_out):
            assert picture.path is not None
            pixels[picture.path] = picture.image  # kept until its result has been drawn
            yield picture

    def leave_out(path: Path, error: ImageError) -> None:
        failures.append(UnreadPicture(path=path, reason=str(error)))
        count()

    def count() -> None:
        if progress is not None:
            progress(results.num_images + len(failures), len(paths))

    results = _ResultFiles(out, frozenset(outputs), pixel_size)
    for found in predictor.run(readable(), steps=steps, batch_size=batch_size):
        path = found.source
        assert isinstance(path, Path)
        shown = keep_scores(found, _SHOWN_SCORE) if steps.score_threshold is None else found
        results.add(places[path], pixels.pop(path), found, shown)
        count()
    results.finish()
    return PredictionRun(
        written=tuple(results.written),
        failures=tuple(failures),
        num_images=results.num_images,
        num_objects=results.num_objects,
    )


@dataclass(frozen=True, kw_only=True)
class _Place:
    """What the results of one picture are called."""

    stem: str
    image_id: int
    file_name: str


class _ResultFiles:
    """Writes the files of each picture as it comes and those of the run at its end."""

    def __init__(self, out: Path, outputs: frozenset[str], pixel_size: float | None) -> None:
        self.written: list[Path] = []
        self.num_images = 0
        self.num_objects = 0
        self._out = out
        self._outputs = outputs
        self._pixel_size = pixel_size
        self._coco: list[dict[str, Any]] = []
        self._tables: list[pd.DataFrame] = []

    def add(
        self,
        place: _Place,
        image: UInt8[np.ndarray, "h w 3"],
        found: Instances,
        shown: Instances,
    ) -> None:
        """Write one picture's own files and keep what goes into the files of the run."""
        if "overlay" in self._outputs:
            path = self._out / "overlay" / f"{place.stem}.png"
            save_image(path, overlay(image, shown))
            self.written.append(path)
        if "labelmap" in self._outputs:
            path = self._out / "labelmap" / f"{place.stem}.png"
            write_label_map(path, shown)
            self.written.append(path)
        if "masks" in self._outputs:
            self.written += write_masks(self._out / "masks" / place.stem, shown)
        if "csv" in self._outputs:
            table = measure(shown, pixel_size=self._pixel_size)
            table.insert(0, "file_name", place.file_name)
            table.insert(1, "image_id", place.image_id)
            self._tables.append(table)
        if "coco" in self._outputs:
            entries = found.to_coco(place.image_id)
            self._coco += [entry | {"file_name": place.file_name} for entry in entries]
        self.num_images += 1
        self.num_objects += len(shown)

    def finish(self) -> None:
        """Write the files of the run; without a picture there is no table."""
        if "coco" in self._outputs:
            self.written.append(self._out / "results.json")
            write_coco_results(self.written[-1], self._coco)
        if "csv" in self._outputs and self._tables:
            import pandas as pd

            # Empty tables have the columns and nothing to say about their types.
            filled = [table for table in self._tables if len(table)] or self._tables[:1]
            self.written.append(self._out / "objects.csv")
            write_table(self.written[-1], pd.concat(filled, ignore_index=True))


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


def _places(paths: Sequence[Path], image_ids: Mapping[str, int] | None) -> dict[Path, _Place]:
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
        path: _Place(stem=stem, image_id=image_id, file_name=name)
        for path, stem, image_id, name in zip(paths, unique_stems(paths), ids, names, strict=True)
    }
