"""The statistics of datasets as files: tables, figures and plots."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from maskwright.data.statistics import DatasetStatistics
from maskwright.draw.statistics_plots import PLOTS
from maskwright.files import new_folder, write_json

__all__ = ["write_statistics"]


def write_statistics(parts: Sequence[DatasetStatistics], out: str | Path) -> Path:
    """Write statistics of one or more datasets with the same class names.

    OUT/statistics.json      the figures of every dataset, with the normalisation
    OUT/pictures.csv         a row per picture
    OUT/objects.csv          a row per object
    OUT/classes.csv          a row per class
    OUT/co_occurrence.csv    pictures that have both of two classes, all datasets together
    OUT/*.png                the plots of `draw.statistics_plots.PLOTS`

    Args:
        parts: One or more.
        out: The folder to make; an empty one is taken.

    Raises:
        DataError: `out` is not empty.
        OSError: It cannot be written.
    """
    with new_folder(out) as folder:
        write_json(folder / "statistics.json", [part.as_dict() for part in parts])
        for which in ("pictures", "objects", "classes"):
            frames = [getattr(part, which).assign(dataset=part.name) for part in parts]
            pd.concat(frames, ignore_index=True).to_csv(folder / f"{which}.csv", index=False)
        names = list(parts[0].class_names)
        together = sum(part.co_occurrence for part in parts)
        pd.DataFrame(together, index=names, columns=names).to_csv(folder / "co_occurrence.csv")
        for name, plot in PLOTS.items():
            drawn = io.BytesIO()
            plot(parts).savefig(drawn, format="png")
            (folder / f"{name}.png").write_bytes(drawn.getvalue())
    return Path(out)
