"""What stands around the numbers of a report: the training's curves, the model, the data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from maskwright.data import Dataset
from maskwright.recipes.model_facts import ModelFacts, TrainingFacts
from maskwright.recipes.report.document import Block, Facts, Plot, Section, Text, headed_table
from maskwright.recipes.report.wording import count_of, percent

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["data_section", "model_section", "plot_training", "training_rows", "training_section"]

_MOST_POINTS = 400
"""Points of a curve: a page has about so many pixels for it."""

_SMOOTHED = 50
"""Parts of a run over each of which losses are averaged."""


def training_section(metrics_csv: Path | None) -> Section | None:
    """Return the curves of the run that `metrics.csv` tells of; None without one."""
    if metrics_csv is None or not metrics_csv.is_file():
        return None
    import pandas as pd

    log = pd.read_csv(metrics_csv)
    if log.empty or "step" not in log:
        return None
    told = _highest(log)
    steps = int(log["step"].max())
    return Section(
        slug="training",
        title="Training",
        intro=f"{count_of(steps, 'step')}. {told}",
        blocks=(
            Plot(
                name="training",
                figure=plot_training(log),
                alt=f"Curves of the losses and of the validation scores over {steps} steps. {told}",
                caption="Losses (averaged over stretches of the run), and validation scores.",
            ),
        ),
    )


def plot_training(log: pd.DataFrame) -> Figure:
    """Plot losses, validation scores and learning rate against the step.

    Args:
        log: `metrics.csv`: a column "step", and "loss/*", "val/*", "train/learning_rate".
    """
    import seaborn as sns
    from matplotlib.figure import Figure

    with sns.axes_style("whitegrid"):
        figure = Figure(figsize=(12, 4), dpi=120, layout="constrained")
        left, middle, right = figure.subplots(1, 3)
    losses = [name for name in log if str(name).startswith("loss/")]
    scores = [name for name in log if str(name).startswith("val/")]
    for name, colour in zip(losses, sns.color_palette("colorblind", len(losses)), strict=True):
        width = 2.0 if name == "loss/total" else 1.2
        shade = "black" if name == "loss/total" else colour
        steps, values = _smoothed(log, str(name))
        left.plot(steps, values, label=str(name)[5:], color=shade, linewidth=width)
    for name in scores:
        rows = log[["step", name]].dropna()
        middle.plot(rows["step"], 100 * rows[name], "o-", markersize=4, label=str(name)[4:])
    if "train/learning_rate" in log:
        rows = log[["step", "train/learning_rate"]].dropna()
        rows = rows.iloc[:: max(1, len(rows) // _MOST_POINTS)]
        right.plot(rows["step"], rows["train/learning_rate"], color="black", linewidth=1.2)
    left.set(xlabel="step", ylabel="loss", title="losses")
    middle.set(xlabel="step", ylabel="%", title="validation", ylim=(0, None))
    right.set(xlabel="step", title="learning rate")
    left.set_ylim(bottom=0)
    for axes in (left, middle):
        if axes.get_legend_handles_labels()[1]:
            axes.legend(fontsize=8, frameon=False)
    return figure


def model_section(facts: ModelFacts) -> Section:
    """Return what the model is, how large, and what it was trained on."""
    rows = [*facts.parts.items(), ("parameters", f"{facts.parameters / 1e6:.2f} million")]
    if facts.file_name:
        size = f"{facts.file_name}, {facts.file_bytes / 1e6:.1f} MB"
        rows += [("file", size), ("written by", f"maskwright {facts.version}")]
    if facts.input_size:
        rows.append(("input", facts.input_size))
    rows.append((f"classes ({len(facts.class_names)})", _some(facts.class_names)))
    rows.append(("scores", "calibrated" if facts.is_calibrated else "as the network gives them"))
    if facts.picture_side is not None and facts.object_side is not None:
        sides = f"{facts.picture_side} pixels, large objects {facts.object_side}"
        rows.append(("trained on pictures with a side of about", sides))
    blocks: list[Block] = [Facts(rows=tuple(rows))]
    if facts.training is None:
        blocks.append(Text(paragraphs=("There is no run folder that says how it was trained.",)))
    else:
        blocks.append(Facts(rows=tuple(training_rows(facts.training))))
    return Section(slug="model", title="Model", blocks=tuple(blocks))


def training_rows(training: TrainingFacts) -> list[tuple[str, str]]:
    """Return how a model was trained as names and values."""
    recipe = training.recipe
    rows = [("trained on", training.data_name or "unknown")]
    if training.num_pictures:
        counts = ", ".join(f"{part} {count:,}" for part, count in training.num_pictures.items())
        rows.append(("pictures", counts))
    rows.append(("first weights of the backbone", str(recipe.get("weights", "unknown"))))
    length = [f"{recipe['minutes']:g} minutes"] if recipe.get("minutes") else []
    length += [f"{recipe['num_steps']:,} steps"] if recipe.get("num_steps") else []
    rows.append(("length", " or ".join(length) or "unknown"))
    if training.step is not None:
        rows.append(("this model after", count_of(training.step, "step")))
    rows.append(("pictures in a step", str(recipe.get("batch_size", "unknown"))))
    rows.append(("optimizer", _optimizer(recipe.get("optimizer") or {})))
    rows.append(("augmentation", _augmentation(recipe.get("augmentation") or {})))
    rows.append(("seed", str(recipe.get("seed", "unknown"))))
    return rows


def data_section(dataset: Dataset) -> Section:
    """Return what is in the data and what its import changed, dropped and noted."""
    report = dataset.report
    num_objects = np.bincount(dataset.labels, minlength=len(dataset.class_names))
    order = np.argsort(-num_objects, kind="stable").tolist()
    classes = [(dataset.class_names[label], f"{num_objects[label]:,}") for label in order]
    findings = [
        (one.action, f"{one.count:,} {one.what}", one.reason, ", ".join(one.examples))
        for one in report.findings
    ]
    facts = (
        ("source", Path(report.source).name),
        ("pictures scored", f"{len(dataset):,}"),
        ("objects in them", f"{len(dataset.labels):,}"),
        ("read in all", f"{report.num_images:,} pictures, {report.num_objects:,} objects"),
        ("changed", f"{report.num_changed:,} objects"),
        ("dropped", f"{report.num_dropped:,} objects"),
    )
    blocks: list[Block] = [
        Facts(rows=facts),
        headed_table("Objects by class", ("class", "objects"), classes, folded=len(classes) > 20),
    ]
    if findings:
        columns = ("", "count", "why", "where")
        blocks.append(headed_table("What the import met", columns, findings, num_text=4))
    return Section(
        slug="data",
        title="Data",
        intro="" if findings else "The import changed, dropped and noted nothing.",
        blocks=tuple(blocks),
    )


def _highest(log: pd.DataFrame) -> str:
    """Say when the score that decides which model is best was highest: masks, else the last."""
    scores = [str(name) for name in log if str(name).startswith("val/")]
    if not scores:
        return ""
    name = "val/segm_AP" if "val/segm_AP" in scores else scores[-1]
    rows = log[["step", name]].dropna().to_numpy(np.float64)
    if not len(rows):
        return ""
    step, value = rows[rows[:, 1].argmax()].tolist()
    said = name.removeprefix("val/").replace("_", " ")
    return (
        f"{said} on the validation pictures was highest, {percent(value)} %, after step {step:.0f}."
    )


def _smoothed(log: pd.DataFrame, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean step and mean value of stretches of equally many rows."""
    rows = log[["step", name]].dropna().to_numpy(np.float64)
    parts = np.array_split(rows, min(_SMOOTHED, len(rows))) if len(rows) else []
    means = np.array([part.mean(axis=0) for part in parts]).reshape(-1, 2)
    return means[:, 0], means[:, 1]


def _some(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:30])
    return shown if len(names) <= 30 else f"{shown} and {len(names) - 30} more"


def _optimizer(optimizer: Mapping[str, Any]) -> str:
    if "kind" not in optimizer:
        return "unknown"
    rate = optimizer.get("learning_rate")
    return optimizer["kind"] if rate is None else f"{optimizer['kind']}, learning rate {rate:g}"


def _augmentation(options: Mapping[str, Any]) -> str:
    """Name what is done at all: options that are not 0 or None, the colour of the fill aside."""
    done = [
        f"{name.replace('_', ' ')} {_plain(value)}"
        for name, value in options.items()
        if name != "fill" and value not in (0, 0.0, None, False)
    ]
    return ", ".join(done) or "none"


def _plain(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return " to ".join(_plain(one) for one in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
