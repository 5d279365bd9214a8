"""The card of a model: gathered from its file, its run folder and, if given, annotated pictures."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskwright.data import Dataset
from maskwright.errors import ConfigError
from maskwright.files import atomic_write
from maskwright.inference import Predictor, load
from maskwright.recipes.card.licences import UNKNOWN, coco_licences, first_weights_licence
from maskwright.recipes.card.metadata import card_metadata, yaml_text
from maskwright.recipes.model_facts import ModelFacts, model_facts, run_folder_of
from maskwright.recipes.pages import render
from maskwright.recipes.report import EvaluationReport, report_model
from maskwright.recipes.report.run_sections import training_rows
from maskwright.recipes.report.wording import percent, with_interval

__all__ = ["ModelCard", "model_card"]

_KINDS = {"segm": "mask", "boundary": "boundary", "bbox": "box"}
_NUMBERS = ("AP", "AP50", "AP75")
_MOST_CLASSES = 50


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """A card, ready to be written.

    Args:
        metadata: Its header as plain values.
        body: The Markdown below the header.
    """

    metadata: dict[str, Any]
    body: str

    @property
    def text(self) -> str:
        """Header and body: what README.md on a hub holds."""
        return f"---\n{yaml_text(self.metadata)}---\n{self.body}"

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the card, whole or not at all."""
        with atomic_write(path) as partial:
            partial.write_text(self.text, encoding="utf-8")


def model_card(
    model: str | os.PathLike[str],
    *,
    dataset: Dataset | None = None,
    name: str | None = None,
    repo: str | None = None,
    license: str | None = None,
    data_license: str | None = None,
    hub_datasets: Sequence[str] = (),
    device: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ModelCard:
    """Write down what a model is, what it learnt from, what it can do and what not.

    What nobody said is called unknown, and what was not measured is said to be so.

    Args:
        model: A model file or a run folder.
        dataset: Annotated pictures to score it on, best such as it was not trained on; None takes
            the scores that its run folder holds, which have no intervals.
        name: What to call it; None: as its run folder is called.
        repo: Where it will be on the hub, "user/model", for the lines that load it.
        license: Of the model, such as "Apache-2.0"; None: unknown.
        data_license: Of the training data; None: what a COCO json of it says, else unknown.
        hub_datasets: Names on the hub of the data sets it learnt from.
        device: As for `load`.
        progress: Called after each picture with the pictures done and all.

    Raises:
        CheckpointError: The model cannot be loaded.
        ConfigError: A model that finds no objects.
        EvaluationError: Other classes than the model's.
    """
    predictor = load(model, device=device)
    if not predictor.finds_objects:
        raise ConfigError(f"cards are of models that find objects; {model} gives class maps")
    facts = model_facts(model, predictor)
    report = None
    if dataset is not None:
        report = report_model(
            model, dataset, device=device, progress=progress, num_pictures=0, num_objects=0
        )
    name = name or facts.name
    data_name = Path(dataset.report.source).name if dataset is not None else "validation"
    tags = [facts.parts[part] for part in ("detector", "mask head") if part in facts.parts]
    return ModelCard(
        metadata=card_metadata(
            name,
            licence=license,
            datasets=hub_datasets,
            tags=tags,
            data_name=data_name,
            metrics=_hub_metrics(facts, report),
        ),
        body=render(
            "card.md.jinja",
            name=name,
            facts=facts,
            address=f"hf://{repo}" if repo else facts.file_name or os.fspath(model),
            classes=_some(facts.class_names),
            licences=_licences(facts, license, data_license),
            training=[] if facts.training is None else training_rows(facts.training),
            metrics=_metric_rows(facts, report),
            measured_on=_measured_on(facts, report),
            report=report,
            calibration=_calibration(predictor, report),
            robustness=_robustness(run_folder_of(model)),
            limits=_limits(facts, report),
        ),
    )


def _stored(facts: ModelFacts) -> tuple[str, dict[str, dict[str, float]]]:
    """Part and scores that the run left: those of the test pictures where there are any."""
    scores = {} if facts.training is None else facts.training.scores
    for part in ("test", "validation"):
        if scores.get(part):
            return part, scores[part]
    return "", {}


def _hub_metrics(
    facts: ModelFacts, report: EvaluationReport | None
) -> dict[str, tuple[str, float]]:
    numbers = _stored(facts)[1] if report is None else report.scores.metrics.as_dict()
    return {
        f"{word}_ap": (f"{word} AP, IoU 0.50 to 0.95, %", 100 * numbers[kind]["AP"])
        for kind, word in _KINDS.items()
        if numbers.get(kind, {}).get("AP", -1) >= 0
    }


def _metric_rows(facts: ModelFacts, report: EvaluationReport | None) -> list[tuple[str, ...]]:
    numbers = _stored(facts)[1] if report is None else report.scores.metrics.as_dict()
    rows = []
    for kind, word in _KINDS.items():
        if kind in numbers:
            cells = (
                with_interval(
                    numbers[kind].get(number, -1.0),
                    None if report is None else report.scores.interval(kind, number),
                )
                for number in _NUMBERS
            )
            rows.append((word, *cells))
    return rows


def _measured_on(facts: ModelFacts, report: EvaluationReport | None) -> str:
    if report is not None:
        notes = " ".join(report.notes)
        return f"Measured on {report.subtitle}; 95 % intervals over pictures in brackets. {notes}"
    part, _ = _stored(facts)
    if not part:
        return "Not measured: no annotated pictures were given, and the run holds no scores."
    count = {} if facts.training is None else facts.training.num_pictures
    pictures = f" ({count[part]:,} pictures)" if part in count else ""
    return f"As its run measured them on the {part} pictures{pictures}, without intervals."


def _licences(
    facts: ModelFacts, licence: str | None, data_licence: str | None
) -> list[tuple[str, str]]:
    training = facts.training
    rows = [("this model", licence or UNKNOWN), ("maskwright, which runs it", "Apache-2.0")]
    if training is None:
        return [*rows, ("training data", data_licence or UNKNOWN), ("first weights", UNKNOWN)]
    said = data_licence or coco_licences(str(training.source.get("data", "")))
    weights = str(training.recipe.get("weights", UNKNOWN))
    return [
        *rows,
        (f"training data ({training.data_name})", said),
        (
            "first weights of the backbone",
            first_weights_licence(weights, facts.parts.get("backbone", "")),
        ),
    ]


def _calibration(predictor: Predictor, report: EvaluationReport | None) -> list[str]:
    known = predictor.calibration
    lines = ["Its scores are not calibrated: a score of 0.8 need not be right eight times in ten."]
    if known is not None:
        lines = [
            f"Its scores are calibrated ({known.method}, fitted on {known.num_objects:,} found "
            f"objects at IoU {known.iou_threshold:g})."
        ]
    if report is None or report.analysis.calibration is None:
        return [*lines, "The calibration error was not measured for this card."]
    total = report.analysis.calibration.total
    return [
        *lines,
        f"Expected calibration error on the pictures above: {percent(total.ece)} %, of "
        f"{total.num_found:,} found objects.",
    ]


def _robustness(folder: Path | None) -> list[tuple[str, str]]:
    """Return the numbers at the top of the run's robustness.json."""
    if folder is None or not (folder / "robustness.json").is_file():
        return []
    content = json.loads((folder / "robustness.json").read_text(encoding="utf-8"))
    return [
        (key.replace("_", " "), f"{value:,}" if isinstance(value, int) else f"{value:.3f}")
        for key, value in content.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    ]


def _limits(facts: ModelFacts, report: EvaluationReport | None) -> list[str]:
    """Return what follows from the numbers about where not to trust the model."""
    limits = [f"It knows {_some(facts.class_names)}, and nothing else."]
    if facts.picture_side is not None and facts.object_side is not None:
        limits.append(
            f"It learnt from pictures with a side of about {facts.picture_side} pixels, whose "
            f"large objects have one of about {facts.object_side}; others are best scaled or tiled "
            "(--tiles auto)."
        )
    if report is None:
        return [*limits, "Which objects it misses was not measured for this card."]
    sizes = [one for one in report.analysis.breakdown.by_size if one.num_true]
    if len(sizes) > 1:
        worst = min(sizes, key=lambda one: one.recall)
        limits.append(
            f"Of objects of {worst.name} (side) it finds {percent(worst.recall)} %, the least of "
            "all sizes."
        )
    classes = {
        name: one.ap
        for name, one in report.scores.metrics.per_class[report.scores.main_kind].items()
        if one.ap >= 0
    }
    if len(classes) > 1:
        name = min(classes, key=lambda name: classes[name])
        limits.append(f"Its lowest AP is that of {name}: {percent(classes[name])} %.")
    confused = report.analysis.confusion.most_confused(1)
    if confused:
        true, found, count = confused[0]
        limits.append(f"It most often takes {true} for {found} ({count} times).")
    return limits


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MOST_CLASSES])
    more = len(names) - _MOST_CLASSES
    return shown if more <= 0 else f"{shown} and {more} more classes"
