"""`maskwright report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from maskwright.errors import ConfigError

if TYPE_CHECKING:
    from maskwright.recipes.report import EvaluationReport

__all__ = ["report"]


def report(
    model: str | None = None,
    data: Path | None = None,
    *,
    out: Path = Path("report.html"),
    write: Annotated[
        tuple[Literal["html", "markdown", "json"], ...],
        Parameter(consume_multiple=True, negative=""),
    ] = ("html",),
    predictions: Path | None = None,
    images: Path | None = None,
    subset: Literal["train", "validation", "test"] | None = None,
    metrics: Annotated[
        tuple[Literal["coco", "cells", "lvis", "panoptic", "counting", "agnostic"], ...],
        Parameter(consume_multiple=True, negative=""),
    ] = ("coco",),
    iou_threshold: float = 0.5,
    score_threshold: float | None = None,
    max_detections: int | None = None,
    pictures: int = 12,
    objects: int = 12,
    weights: str | None = None,
    device: str | None = None,
) -> int:
    """Write one page that says how good a model is, where it fails and what it was made of.

    Metrics with 95 % intervals, what mistakes cost, confusions, curves, calibration, size and
    crowding; the worst pictures with a slider between truth and prediction, confident mistakes,
    missed objects, doubtful annotations; the training's curves, the model and the data's import.
    The page is one file that asks no server for anything.

    Args:
        model: A model file or a run folder.
        data: Annotated pictures of any known format (COCO, YOLO, LabelMe, ...), file or folder.
        out: The page; other formats lie beside it under the same name.
        write: html, markdown (with its pictures in a folder beside it), json (every number); one
            or more.
        predictions: COCO results json to report on, in place of a model.
        images: Folder of the pictures, if it is not beside the annotations. Predictions can be
            reported on without pictures; none are drawn then.
        subset: Take only these pictures of the split that was made when the model was trained.
        metrics: coco is always there; the others, as for evaluate, are added to it.
        iou_threshold: From which IoU an object counts as found.
        score_threshold: From which score found objects count. By default where F1 is highest.
        max_detections: Detections per picture that count. By default 100, or more where pictures
            hold more objects.
        pictures: How many of the worst pictures to show, and half as many of the others. More
            make a larger page: some 0.1 MB each.
        objects: How many mistakes, missed objects and doubtful annotations to show, of each.
        weights: For torchvision/NAME models: a file, or download.
        device: cpu, cuda or mps. By default the best there is.
    """
    if data is None:
        raise ConfigError("report needs the truth: report MODEL DATA, or --data DATA")
    if (model is None) == (predictions is None):
        raise ConfigError("report takes a MODEL or --predictions results.json, one of the two")
    if pictures < 0 or objects < 0:
        raise ConfigError(f"--pictures and --objects are 0 or more, got {pictures} and {objects}")
    from maskwright.cli.progress import pictures_bar
    from maskwright.data import open_dataset
    from maskwright.recipes.report import report_model, report_predictions

    families = [name for name in metrics if name != "coco"]
    made: EvaluationReport
    if predictions is not None:
        from maskwright.cli.errors import pictures_if_any

        made = report_predictions(
            predictions,
            pictures_if_any(data, images) or data,
            name=predictions.name,
            families=families,
            iou_threshold=iou_threshold,
            score_threshold=score_threshold,
            max_detections=max_detections,
            num_pictures=pictures,
            num_objects=objects,
        )
    else:
        assert model is not None
        dataset = open_dataset(data, images=images)
        if subset is not None:
            from maskwright.cli.evaluate import open_subset

            dataset = open_subset(dataset, model, subset)
        with pictures_bar("Scoring", quiet=False) as progress:
            made = report_model(
                model,
                dataset,
                weights=weights,
                device=device,
                progress=progress,
                families=families,
                iou_threshold=iou_threshold,
                score_threshold=score_threshold,
                max_detections=max_detections,
                num_pictures=pictures,
                num_objects=objects,
            )
    for path in made.write(out, write):
        if path.suffix in (".html", ".md", ".json"):
            print(f"the report is in {path}")  # noqa: T201
    return 0
