"""Class maps of many pictures, written to a folder."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int32

from maskwright.conversions import class_map_names
from maskwright.data import save_image
from maskwright.draw import class_overlay, distinct_colours
from maskwright.errors import ImageError
from maskwright.files import atomic_write, write_json
from maskwright.inference.folder_run import UnreadPicture, is_written_by_us, require_outputs
from maskwright.inference.pictures import Picture, read_pictures
from maskwright.inference.predictor import Predictor
from maskwright.inference.sources import find_sources, unique_stems

__all__ = ["CLASS_MAP_OUTPUTS", "ClassMapRun", "class_maps_to_folder"]

CLASS_MAP_OUTPUTS = ("overlay", "classmap", "csv")
"""What a run can write: see `class_maps_to_folder`."""


@dataclass(frozen=True, kw_only=True)
class ClassMapRun:
    """What a run over many pictures did.

    Args:
        written: The files, in the order they were written.
        failures: The pictures that could not be read.
        num_images: Pictures predicted on.
        pixels: Pixels of all pictures by class name, "background" first.
    """

    written: tuple[Path, ...]
    failures: tuple[UnreadPicture, ...]
    num_images: int
    pixels: dict[str, int]


def class_maps_to_folder(
    predictor: Predictor,
    sources: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    outputs: Collection[str] = CLASS_MAP_OUTPUTS,
    batch_size: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> ClassMapRun:
    """Give every pixel of every picture a class and write the results below `out`.

    | output | files | holds |
    |---|---|---|
    | overlay | `overlay/NAME.png` | classes drawn on the picture, with a legend below |
    | classmap | `classmap/NAME.png`, `classes.json` | grey levels: 0 background, i + 1 class i |
    | csv | `pixels.csv` | a row per picture and class that is in it: pixels and share |

    Class maps have 8 bits, or 16 where there are more than 255 classes; `classes.json` says name
    and colour (RGB) of each value. NAME is the picture's, without suffix (-2, -3 ... where
    two share it). A picture that cannot be read is reported and left out. Every file is whole or
    absent, also on Ctrl-C; the files of the run are written at its end.

    Args:
        predictor: The model.
        sources: Files, folders and patterns; pictures that an earlier run wrote below `out` are
            not taken as sources.
        out: The folder to write to; made where it does not exist, files in it are replaced.
        outputs: Which of `CLASS_MAP_OUTPUTS` to write.
        batch_size: Pictures that go through the network together.
        progress: Called after each picture with the pictures done and all.

    Raises:
        DataError: A source that does not exist or holds no pictures.
        ConfigError: An unknown output, or a model without class maps.
        OSError: A file cannot be written, or the disk is full.
    """
    require_outputs(outputs, CLASS_MAP_OUTPUTS)
    out = Path(out)
    paths = [path for path in find_sources(sources) if not is_written_by_us(path, out)]
    stems = dict(zip(paths, unique_stems(paths), strict=True))
    failures: list[UnreadPicture] = []
    results = _Results(out, frozenset(outputs), predictor)

    def leave_out(path: Path, error: ImageError) -> None:
        failures.append(UnreadPicture(path=path, reason=str(error)))
        count()

    def count() -> None:
        if progress is not None:
            progress(results.num_images + len(failures), len(paths))

    pictures: Iterator[Picture] = read_pictures(
        paths, pixels=predictor.pixel_format, on_error=leave_out
    )
    for picture, found in predictor.run_class_maps(pictures, batch_size=batch_size):
        assert picture.path is not None
        results.add(picture, stems[picture.path], found)
        count()
    results.finish()
    return ClassMapRun(
        written=tuple(results.written),
        failures=tuple(failures),
        num_images=results.num_images,
        pixels=dict(zip(results.names, results.pixels.tolist(), strict=True)),
    )


class _Results:
    """Writes the files of each picture as it comes and those of the run at its end."""

    def __init__(self, out: Path, outputs: frozenset[str], predictor: Predictor) -> None:
        self.class_names = predictor.class_names
        self.names = class_map_names(self.class_names)
        self.pixels = np.zeros(len(self.names), np.int64)
        self.written: list[Path] = []
        self.num_images = 0
        self._out, self._outputs = out, outputs
        self._rows: list[tuple[Any, ...]] = []

    def add(self, picture: Picture, stem: str, found: Int32[np.ndarray, "h w"]) -> None:
        """Write one picture's own files and keep what goes into the files of the run."""
        if "overlay" in self._outputs:
            self.written.append(self._out / "overlay" / f"{stem}.png")
            save_image(self.written[-1], class_overlay(picture.image, found, self.class_names))
        if "classmap" in self._outputs:
            self.written.append(self._out / "classmap" / f"{stem}.png")
            save_image(self.written[-1], found.astype(np.min_scalar_type(len(self.class_names))))
        pixels = np.bincount(found.ravel(), minlength=len(self.names))
        for value in np.flatnonzero(pixels).tolist():
            share = pixels[value] / found.size
            self._rows.append(
                (picture.path, value, self.names[value], pixels[value], f"{share:.6f}")
            )
        self.pixels += pixels
        self.num_images += 1

    def finish(self) -> None:
        """Write the files of the run."""
        if "classmap" in self._outputs:
            self.written.append(self._out / "classes.json")
            write_json(self.written[-1], self._legend())
        if "csv" in self._outputs:
            text = io.StringIO(newline="")
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow(("picture", "value", "class", "pixels", "share"))
            writer.writerows(self._rows)
            self.written.append(self._out / "pixels.csv")
            with atomic_write(self.written[-1]) as partial:
                partial.write_text(text.getvalue(), encoding="utf-8", newline="")

    def _legend(self) -> list[dict[str, Any]]:
        """What each value of a class map means; the background is drawn in no colour."""
        colours = [None, *distinct_colours(len(self.class_names)).tolist()]
        return [
            {"value": value, "name": name, "colour": colour}
            for value, (name, colour) in enumerate(zip(self.names, colours, strict=True))
        ]
