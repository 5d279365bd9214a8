"""The whole report of a model, or of predictions, on annotated pictures."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from maskwright.data import Dataset
from maskwright.errors import ConfigError, nearest_name
from maskwright.evaluation import PredictionSource, TruthSource
from maskwright.evaluation.analysis import ErrorAnalysis, analyse_errors
from maskwright.evaluation.prediction_sources import load_results
from maskwright.evaluation.truth import load_truth
from maskwright.inference import load
from maskwright.recipes.model_facts import ModelFacts, model_facts, run_folder_of
from maskwright.recipes.report.document import Headline, Section
from maskwright.recipes.report.error_sections import error_sections
from maskwright.recipes.report.metric_sections import family_section, headlines, metric_section
from maskwright.recipes.report.picture_sections import PictureRoom, list_section, picture_section
from maskwright.recipes.report.run_sections import data_section, model_section, training_section
from maskwright.recipes.report.scores import FamilyName, ReportScores, score_for_report
from maskwright.recipes.report.wording import count_of
from maskwright.recipes.report.writing import write_html, write_markdown, write_report_json
from maskwright.recipes.scoring import match_classes, predict_dataset

__all__ = ["EvaluationReport", "ReportFormat", "report_model", "report_predictions"]

ReportFormat: TypeAlias = Literal["html", "markdown", "json"]

_SUFFIXES: dict[ReportFormat, str] = {"html": ".html", "markdown": ".md", "json": ".json"}


@dataclass(frozen=True, kw_only=True, eq=False)
class EvaluationReport:
    """Everything a report shows; `write` puts it on disk.

    Args:
        title: What was scored.
        subtitle: On what.
        headlines: The numbers of the first look.
        notes: What a reader must know, in sentences.
        sections: The parts, in order.
        numbers: All values as plain, finite ones, ready for json.
        scores: The metrics.
        analysis: The error analysis.
        facts: Of the model; None where predictions were scored.
    """

    title: str
    subtitle: str
    headlines: tuple[Headline, ...]
    notes: tuple[str, ...]
    sections: tuple[Section, ...]
    numbers: dict[str, Any]
    scores: ReportScores
    analysis: ErrorAnalysis
    facts: ModelFacts | None = None

    def write(
        self, path: str | os.PathLike[str], write: Sequence[ReportFormat] = ("html",)
    ) -> list[Path]:
        """Write the report; files that were there are replaced.

        Args:
            path: The page, or the first of the files: the others have its name and their own
                suffix. Markdown has its pictures in `NAME_files` beside it.
            write: Any of "html", "markdown" and "json".

        Returns:
            Every file that was written.

        Raises:
            ConfigError: An unknown format, or none.
            OSError: A file cannot be written.
        """
        check_report_formats(write)
        path, written = Path(path), []
        for kind in dict.fromkeys(write):
            file = path if len(write) == 1 and path.suffix else path.with_suffix(_SUFFIXES[kind])
            if kind == "html":
                write_html(self, file)
            elif kind == "json":
                write_report_json(self, file)
            written += write_markdown(self, file) if kind == "markdown" else [file]
        return written


def check_report_formats(write: Sequence[str]) -> None:
    """Check names of formats.

    Raises:
        ConfigError: An unknown one, or none.
    """
    known = get_args(ReportFormat)
    if not write:
        raise ConfigError(f"a report is written as one or more of {', '.join(known)}; got none")
    for one in write:
        if one not in known:
            raise ConfigError(
                f"a report is written as {', '.join(known)}, not {one!r}.{nearest_name(one, known)}"
            )


def report_model(
    model: str | os.PathLike[str],
    dataset: Dataset,
    *,
    weights: str | os.PathLike[str] | None = None,
    device: str | None = None,
    progress: Callable[[int, int], None] | None = None,
    families: Sequence[FamilyName] = (),
    iou_threshold: float = 0.5,
    score_threshold: float | None = None,
    max_detections: int | None = None,
    num_pictures: int = 12,
    num_objects: int = 12,
) -> EvaluationReport:
    """Predict on every picture of the dataset and report on what was found.

    Args:
        model: A model file or a run folder (whose curves are shown as well), or a name, as for
            `load`.
        dataset: Annotated pictures, best such as the model was not trained on.
        weights: As for `load`.
        device: As for `load`.
        progress: Called after each picture with the pictures done and all.
        families: Metrics beside COCO's.
        iou_threshold: As for `analyse_errors`.
        score_threshold: As for `analyse_errors`.
        max_detections: As for `evaluate`.
        num_pictures: How many of the worst pictures to show, and half as many of the others.
        num_objects: How many objects of each list to show.

    Raises:
        CheckpointError: The model cannot be loaded.
        ConfigError: A model that finds no objects but gives every pixel a class.
        EvaluationError: Other classes than the model's.
        ImageError: A picture cannot be read.
    """
    predictor = load(model, weights=weights, device=device)
    if not predictor.finds_objects:
        raise ConfigError(
            f"a report is of found objects, and {model} gives every pixel a class: "
            "maskwright evaluate scores class maps"
        )
    dataset = match_classes(predictor.class_names, dataset)
    facts = model_facts(model, predictor)
    folder = run_folder_of(model)
    return _report(
        list(predict_dataset(predictor, dataset, progress=progress)),
        dataset,
        dataset=dataset,
        name=facts.name,
        facts=facts,
        metrics_csv=None if folder is None else folder / "metrics.csv",
        families=families,
        iou_threshold=iou_threshold,
        score_threshold=score_threshold,
        max_detections=max_detections,
        num_pictures=num_pictures,
        num_objects=num_objects,
    )


def report_predictions(
    predictions: PredictionSource,
    truth: TruthSource,
    *,
    name: str = "predictions",
    families: Sequence[FamilyName] = (),
    iou_threshold: float = 0.5,
    score_threshold: float | None = None,
    max_detections: int | None = None,
    num_pictures: int = 12,
    num_objects: int = 12,
) -> EvaluationReport:
    """Report on predictions of any tool.

    Args:
        predictions: As for `evaluate`.
        truth: As for `evaluate`; a `Dataset` brings its pictures, without which none are drawn.
        name: What the report calls the predictions.
        families: As for `report_model`, and so the rest.
        iou_threshold: As for `analyse_errors`.
        score_threshold: As for `analyse_errors`.
        max_detections: As for `evaluate`.
        num_pictures: How many of the worst pictures to show, and half as many of the others.
        num_objects: How many objects of each list to show.

    Raises:
        DataError: The truth cannot be read or contradicts itself.
        EvaluationError: A prediction that does not fit the truth.
        ImageError: A picture cannot be read.
    """
    return _report(
        predictions,
        truth,
        dataset=truth if isinstance(truth, Dataset) else None,
        name=name,
        facts=None,
        metrics_csv=None,
        families=families,
        iou_threshold=iou_threshold,
        score_threshold=score_threshold,
        max_detections=max_detections,
        num_pictures=num_pictures,
        num_objects=num_objects,
    )


def _report(
    predictions: PredictionSource,
    truth: TruthSource,
    *,
    dataset: Dataset | None,
    name: str,
    facts: ModelFacts | None,
    metrics_csv: Path | None,
    families: Sequence[FamilyName],
    iou_threshold: float,
    score_threshold: float | None,
    max_detections: int | None,
    num_pictures: int,
    num_objects: int,
) -> EvaluationReport:
    # Loaded once for both, also since predictions may be an iterator.
    true = load_truth(truth)
    found = load_results(predictions, true)
    analysis = analyse_errors(
        found,
        true,
        iou_threshold=iou_threshold,
        score_threshold=score_threshold,
        max_detections=max_detections,
    )
    scores = score_for_report(
        found,
        true,
        families=families,
        max_detections=max_detections,
        score_threshold=analysis.score_threshold,
    )
    room = PictureRoom(analysis, dataset) if dataset is not None and dataset.image_folder else None
    sections: list[Section | None] = [
        metric_section(scores),
        *(family_section(key, one) for key, one in scores.families.items()),
        *error_sections(analysis),
        picture_section(analysis, room, num_pictures),
        list_section(analysis, room, num_objects),
        training_section(metrics_csv),
        None if facts is None else model_section(facts),
        None if dataset is None else data_section(dataset),
    ]
    notes = (*_on_learnt_pictures(facts, dataset), *scores.metrics.notes, *analysis.notes)
    source = analysis.objects.truth.source if dataset is None else dataset.report.source
    pictures = len(analysis.objects.truth.image_ids)
    return EvaluationReport(
        title=f"Report on {name}",
        subtitle=f"{Path(source).name}: {count_of(pictures, 'picture')}, "
        f"{count_of(int(analysis.objects.is_single.sum()), 'object')}",
        headlines=tuple(headlines(scores, analysis)),
        notes=tuple(dict.fromkeys(notes)),
        sections=tuple(section for section in sections if section is not None),
        numbers={
            "name": name,
            "metrics": scores.as_dict(),
            "errors": analysis.as_dict(),
            "model": None if facts is None else facts.as_dict(),
            "data": None if dataset is None else dataset.report.as_dict(),
        },
        scores=scores,
        analysis=analysis,
        facts=facts,
    )


def _on_learnt_pictures(facts: ModelFacts | None, dataset: Dataset | None) -> list[str]:
    """Warn where pictures are scored that the model has learnt from."""
    if facts is None or facts.training is None or dataset is None:
        return []
    learnt_from, source = facts.training.source.get("data"), dataset.report.source
    if learnt_from is None or Path(learnt_from).resolve() != Path(source).resolve():
        return []
    learnt = sum(image_id in facts.training.trained_on for image_id in dataset.image_ids.tolist())
    if not learnt:
        return []
    return [
        f"{learnt} of the {len(dataset)} pictures were trained on, so the numbers are better than "
        "they would be on others: --subset validation or --subset test leaves those out."
    ]
