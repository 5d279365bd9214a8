"""The files of a run over many pictures: what each output is called and when it is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskwright.data import PictureWindows, save_image
from maskwright.draw import LARGEST_OVERLAY, overlay_factor, overlay_of_windows
from maskwright.inference.measure import measure
from maskwright.inference.writers import (
    write_coco_results,
    write_label_map,
    write_large_label_map,
    write_masks,
    write_table,
)
from maskwright.structures import Instances, Size

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["OUTPUTS", "RESULTS", "TABLE", "Place", "ResultFiles"]

RESULTS, TABLE = "results.json", "objects.csv"
"""The files of a run."""

OUTPUTS = ("overlay", "coco", "labelmap", "masks", "csv")
"""What a run can write: see `predict_to_folder`."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """What the results of one picture are called.

    Args:
        stem: Name of its own files and folders, without suffix.
        image_id: Its id in COCO results and table.
        file_name: Its name there.
    """

    stem: str
    image_id: int
    file_name: str


class ResultFiles:
    """Writes the files of each picture as it comes and those of the run at its end.

    Args:
        out: The folder to write below.
        outputs: Which of `OUTPUTS` to write.
        pixel_size: For the table, see `measure`.

    Attributes:
        written: Files so far, in order.
        num_images: Pictures so far.
        num_objects: Objects so far in the pictures and tables people read.
        notes: What was written otherwise than asked.
    """

    def __init__(self, out: Path, outputs: frozenset[str], pixel_size: float | None) -> None:
        self.written: list[Path] = []
        self.num_images = 0
        self.num_objects = 0
        self.notes: list[str] = []
        self._out = out
        self._outputs = outputs
        self._pixel_size = pixel_size
        self._coco: list[dict[str, Any]] = []
        self._tables: list[pd.DataFrame] = []

    def add(
        self,
        place: Place,
        windows: PictureWindows,
        found: Instances,
        shown: Instances,
    ) -> None:
        """Write one picture's own files and keep what goes into the files of the run."""
        is_large = overlay_factor(found.image_size) > 1
        if is_large:
            self.notes.append(_note(place, found.image_size, self._outputs))
        if "overlay" in self._outputs:
            path = self._out / "overlay" / f"{place.stem}.png"
            save_image(path, overlay_of_windows(windows, shown))
            self.written.append(path)
        if "labelmap" in self._outputs:
            path = self._out / "labelmap" / f"{place.stem}.{'tif' if is_large else 'png'}"
            (write_large_label_map if is_large else write_label_map)(path, shown)
            self.written.append(path)
        if "masks" in self._outputs and not is_large:
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

    @property
    def coco_entries(self) -> list[dict[str, Any]]:
        """COCO results of all pictures so far, in order."""
        return self._coco

    def table(self) -> pd.DataFrame | None:
        """Return the measurements of all pictures so far; None without a picture."""
        if not self._tables:
            return None
        import pandas as pd

        # Empty tables have the columns and nothing to say about their types.
        filled = [table for table in self._tables if len(table)] or self._tables[:1]
        return pd.concat(filled, ignore_index=True)

    def finish(self) -> None:
        """Write the files of the run; without a picture there is no table."""
        if "coco" in self._outputs:
            self.written.append(self._out / RESULTS)
            write_coco_results(self.written[-1], self._coco)
        table = self.table()
        if table is not None:
            self.written.append(self._out / TABLE)
            write_table(self.written[-1], table)


def _note(place: Place, image_size: Size, outputs: frozenset[str]) -> str:
    """What is written otherwise of a large picture."""
    changes = []
    if "overlay" in outputs:
        changes.append(f"its overlay is 1/{overlay_factor(image_size)} of its size")
    if "labelmap" in outputs:
        changes.append("its label map is a TIFF")
    if "masks" in outputs:
        changes.append("no picture per object was written (results.json holds the masks)")
    largest = LARGEST_OVERLAY // 1_000_000
    return f"{place.file_name} has more than {largest} megapixels: {', '.join(changes)}"
