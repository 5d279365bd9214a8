"""Robustness as a figure, and the files beside the json."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from maskwright.data import Dataset, save_image
from maskwright.files import atomic_write
from maskwright.recipes.corrupted import corruption_sheet
from maskwright.recipes.robustness import RobustnessOptions
from maskwright.recipes.robustness_result import Robustness
from maskwright.transforms.corruptions import CORRUPTIONS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_robustness", "write_robustness_files"]

_NAMES = {"segm": "mask AP", "boundary": "boundary AP", "bbox": "box AP"}


def write_robustness_files(
    result: Robustness,
    out: str | os.PathLike[str],
    *,
    dataset: Dataset | None = None,
    options: RobustnessOptions | None = None,
) -> list[Path]:
    """Write robustness.csv and robustness.png; with the dataset also samples.png.

    Args:
        result: What was measured.
        out: The folder that holds robustness.json.
        dataset: Its pictures, for the sheet of samples.
        options: What was measured, for the sheet.

    Returns:
        The files, in the order they were written.
    """
    folder = Path(out)
    written = [folder / "robustness.csv", folder / "robustness.png"]
    rows = result.rows()
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with atomic_write(written[0]) as partial:
        partial.write_text(text.getvalue(), encoding="utf-8")
    with atomic_write(written[1]) as partial:
        plot_robustness(result).savefig(partial, metadata={"Software": None})
    if dataset is not None:
        options = RobustnessOptions() if options is None else options
        sheet = corruption_sheet(
            dataset,
            corruptions=options.corruptions,
            seed=options.seed,
            reference_side=options.reference_side,
        )
        written.append(folder / "samples.png")
        save_image(written[-1], sheet)
    return written


def plot_robustness(result: Robustness) -> Figure:
    """Plot AP against strength, a panel per family of corruptions, over a map of all numbers."""
    import seaborn as sns
    from matplotlib.figure import Figure

    table = result.ap()
    families: dict[str, list[str]] = {}
    for name in table:
        family: str = CORRUPTIONS[name].family if name in CORRUPTIONS else "occlusion"
        families.setdefault(family, []).append(name)
    panels = max(len(families), 1)
    map_height = 0.8 + 0.28 * max(len(table), 1)
    with sns.axes_style("whitegrid"):
        figure = Figure(figsize=(2.6 * max(panels, 3), 4.4 + map_height), dpi=110)
        figure.set_layout_engine("constrained")
        parts: Any = figure.subfigures(2, 1, height_ratios=[4.4, map_height])
        top, bottom = parts
        axes = top.subplots(1, panels, sharey=True, squeeze=False)[0]
        for place, (family, names) in enumerate(families.items()):
            _plot_family(axes[place], result, family, names)
        _plot_map(bottom.subplots(), result)
    kind = _NAMES[result.main_kind]
    highest = max(
        [result.clean[result.main_kind]["AP"], *(max(r.values()) for r in table.values())]
    )
    axes[0].set(ylabel=f"{kind} in %", ylim=(0, max(105 * highest, 1.0)))
    top.suptitle(
        f"{kind}: clean {_shown(result.clean[result.main_kind]['AP'])}, "
        f"mPC {_shown(result.mpc())}, rPC {_shown(result.rpc())} %"
    )
    return figure


def _plot_family(axes: Axes, result: Robustness, family: str, names: list[str]) -> None:
    import seaborn as sns

    clean = 100 * max(result.clean[result.main_kind]["AP"], 0.0)
    table = result.ap()
    for name, colour, marker in zip(
        names, sns.color_palette("colorblind", len(names)), "osD^vP", strict=False
    ):
        points = {s: 100 * ap for s, ap in sorted(table[name].items()) if ap >= 0}
        axes.plot([0, *points], [clean, *points.values()], label=name, color=colour, marker=marker)
    axes.set(title=family, xlabel="strength")
    axes.set_xticks(range(6), ["clean", "1", "2", "3", "4", "5"])
    axes.tick_params(labelsize=8)
    axes.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.2), frameon=False)


def _plot_map(axes: Axes, result: Robustness) -> None:
    """Cells hold AP; their colour is the share of the clean AP that is left."""
    table = result.ap()
    strengths = sorted({strength for row in table.values() for strength in row})
    clean = result.clean[result.main_kind]["AP"]
    values = np.full((len(table), len(strengths)), np.nan)
    for i, row in enumerate(table.values()):
        for j, strength in enumerate(strengths):
            if row.get(strength, -1.0) >= 0:
                values[i, j] = row[strength]
    shares = values / clean if clean > 0 else np.full_like(values, np.nan)
    options: dict[str, Any] = {"cmap": "viridis", "vmin": 0, "vmax": 1, "aspect": "auto"}
    image = axes.imshow(shares if shares.size else np.zeros((1, 1)), **options)
    axes.figure.colorbar(image, ax=axes, label="share of the clean AP")
    for i, j in np.argwhere(~np.isnan(values)).tolist():
        ink = "white" if not shares[i, j] > 0.6 else "black"
        axes.text(
            j, i, f"{100 * values[i, j]:.1f}", ha="center", va="center", color=ink, fontsize=8
        )
    axes.set_xticks(range(len(strengths)), [f"strength {one}" for one in strengths])
    axes.set_yticks(range(len(table)), list(table))
    axes.grid(visible=False)


def _shown(value: float) -> str:
    return "n/a" if value < 0 else f"{100 * value:.1f}"
