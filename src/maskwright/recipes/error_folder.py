"""The error analysis of a model or of predictions, on disk: tables, plots, lists and pictures."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from maskwright.data import Dataset, convert, save_image
from maskwright.draw import contact_sheet
from maskwright.evaluation.analysis import ErrorAnalysis, ListedObject
from maskwright.evaluation.analysis.drawing import OutcomeDrawer, crop_around
from maskwright.evaluation.analysis.exporting import write_tables
from maskwright.evaluation.analysis.plots import (
    plot_breakdown,
    plot_confusion,
    plot_f1,
    plot_precision_recall,
    plot_reliability,
    plot_tide,
)
from maskwright.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ErrorFolder", "write_error_analysis"]

_CELL = (420, 420)
_CROP = (200, 260)
_MOST_CROPS = 20


@dataclass(frozen=True, kw_only=True)
class ErrorFolder:
    """What was written.

    Args:
        folder: Where.
        files: Every file, in the order they were written.
    """

    folder: Path
    files: tuple[Path, ...]


def write_error_analysis(
    analysis: ErrorAnalysis,
    folder: str | Path,
    *,
    dataset: Dataset | None = None,
    num_pictures: int = 8,
    to: str | None = None,
) -> ErrorFolder:
    """Write tables, plots and lists; with the pictures at hand, overlays as well.

    Files of an earlier analysis are replaced one by one. Overlays: `worst/*.png`, truth and
    prediction of the worst pictures side by side, and sheets of the heads of the lists,
    `mistakes.png`, `missed.png` and `suspects.png`.

    Args:
        analysis: What to write.
        folder: Is made where it is not there.
        dataset: The truth with its pictures; None leaves the overlays out.
        num_pictures: How many of the worst pictures to draw.
        to: A format that is written (labelme, yolo, cvat, ...): the suspects go into
            `FOLDER/TO` in it, with their pictures, for an annotation tool. Needs `dataset`.

    Raises:
        ConfigError: `to` is not known or not written.
        DataError: `FOLDER/TO` is there and not empty.
        ImageError: A picture cannot be read.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = [*write_tables(analysis, folder), *_write_plots(analysis, folder)]
    if dataset is not None:
        files += _Pictures(analysis, dataset, folder).write(num_pictures)
        if to is not None and analysis.suspects:
            images = dataset.image_folder
            files.append(convert(folder / "suspects.json", folder / to, to=to, images=images).path)
    return ErrorFolder(folder=folder, files=tuple(files))


def _write_plots(analysis: ErrorAnalysis, folder: Path) -> list[Path]:
    figures: dict[str, Figure] = {
        "tide": plot_tide(analysis.tide),
        "confusion": plot_confusion(analysis.confusion),
        "precision_recall": plot_precision_recall(analysis.curves),
        "f1": plot_f1(analysis.curves),
        "breakdown": plot_breakdown(analysis.breakdown),
    }
    if analysis.calibration is not None:
        figures["reliability"] = plot_reliability({"scores": analysis.calibration})
    written = []
    for name, figure in figures.items():
        drawn = io.BytesIO()
        figure.savefig(drawn, format="png")
        with atomic_write(folder / f"{name}.png") as partial:
            partial.write_bytes(drawn.getvalue())
        written.append(folder / f"{name}.png")
    return written


class _Pictures:
    """Overlays of the worst pictures and of the heads of the lists."""

    def __init__(self, analysis: ErrorAnalysis, dataset: Dataset, folder: Path) -> None:
        self._analysis, self._dataset, self._folder = analysis, dataset, folder
        place = {image_id: i for i, image_id in enumerate(dataset.image_ids.tolist())}
        self._place = [place[image_id] for image_id in analysis.objects.truth.image_ids]
        self._drawer = OutcomeDrawer(
            objects=analysis.objects,
            score_threshold=analysis.score_threshold,
            iou_threshold=analysis.iou_threshold,
        )

    def write(self, num_pictures: int) -> list[Path]:
        written = []
        worst = [one for one in self._analysis.pictures if 0 <= one.f1 < 1][:num_pictures]
        for number, one in enumerate(worst, start=1):
            path = self._folder / "worst" / f"{number:02d}_{_plain(one.file_name)}.png"
            sides = self._drawer.draw(self._image(one.picture), one.picture)
            caption = (
                f"{one.file_name}: F1 {100 * one.f1:.1f} %, {one.num_right} right, "
                f"{one.num_wrong} wrong (red), {one.num_missed} missed (orange)"
            )
            save_image(
                path,
                contact_sheet(
                    [sides], headings=("truth", "found"), captions=(caption,), cell=_CELL
                ),
            )
            written.append(path)
        lists = {
            "mistakes": self._analysis.confident_mistakes,
            "missed": self._analysis.missed,
            "suspects": self._analysis.suspects,
        }
        for name, entries in lists.items():
            if entries:
                path = self._folder / f"{name}.png"
                save_image(path, self._sheet(entries[:_MOST_CROPS]))
                written.append(path)
        return written

    def _sheet(self, entries: Sequence[ListedObject]) -> np.ndarray:
        """Per entry its surroundings in the bare picture, in the truth and in what was found."""
        rows, captions = [], []
        for number, one in enumerate(entries, start=1):
            image = self._image(one.picture)
            truth, found = self._drawer.draw(image, one.picture, also=one)
            rows.append([crop_around(each, one.box) for each in (image, truth, found)])
            captions.append(f"{number}. {one.file_name}: {one.class_name}, {one.explanation}")
        headings = ("picture", "truth", "found")
        return contact_sheet(rows, headings=headings, captions=captions, cell=_CROP)

    def _image(self, picture: int) -> np.ndarray:
        return self._dataset.image(self._place[picture])


def _plain(file_name: str) -> str:
    """The stem of a picture's file, safe as part of a new file's name."""
    return re.sub(r"[^\w.-]+", "_", PurePosixPath(file_name.replace("\\", "/")).stem)[:80]
