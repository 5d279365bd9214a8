"""`maskwright errors`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from maskwright.errors import ConfigError, ImageError

if TYPE_CHECKING:
    from maskwright.data import Dataset
    from maskwright.evaluation import PredictionSource
    from maskwright.evaluation.truth import TruthSource

__all__ = ["errors", "pictures_if_any"]


def errors(
    model: str | None = None,
    data: Path | None = None,
    *,
    out: Path,
    predictions: Path | None = None,
    images: Path | None = None,
    subset: Literal["train", "validation", "test"] | None = None,
    boxes: Annotated[bool, Parameter(negative="")] = False,
    iou_threshold: float = 0.5,
    background_iou: float = 0.1,
    score_threshold: float | None = None,
    max_detections: int | None = None,
    size_edges: Annotated[tuple[float, ...], Parameter(consume_multiple=True, negative="")] = (),
    longest_list: int = 100,
    pictures: int = 8,
    to: str | None = None,
    weights: str | None = None,
    device: str | None = None,
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Find out which mistakes a model makes, what they cost and where to look.

    Kinds of mistakes and their cost in AP (TIDE), classes taken for one another, precision and
    recall against the score, by size and by crowding; the worst pictures, the most confident
    mistakes, missed objects, and annotations that are likely wrong.

    Args:
        model: A model file or a run folder.
        data: Annotated pictures of any known format (COCO, YOLO, LabelMe, ...), file or folder.
        out: Folder for tables, plots, lists and pictures.
        predictions: COCO results json to look into, in place of a model.
        images: Folder of the pictures, if it is not beside the annotations. Predictions can be
            looked into without pictures; none are drawn then.
        subset: Take only these pictures of the split that was made when the model was trained.
        boxes: Hold boxes against each other, in place of masks.
        iou_threshold: From which IoU an object counts as found.
        background_iou: Up to which IoU a found object counts as on nothing.
        score_threshold: From which score found objects count. By default where F1 is highest.
        max_detections: Found objects of a picture that count. By default 100, or more where
            pictures hold more objects.
        size_edges: Sides, in pixels, where the sizes are parted: 32 96 are COCO's. By default
            five sizes of equally many objects.
        longest_list: Most entries of a list.
        pictures: How many of the worst pictures to draw.
        to: Write the doubtful annotations in this format as well (labelme, cvat, labelstudio,
            ...), with their pictures, for an annotation tool. COCO is always written.
        weights: For torchvision/NAME models: a file, or download.
        device: cpu, cuda or mps. By default the best there is.
        json_: Print everything as JSON, and nothing else.
    """
    if data is None:
        raise ConfigError("errors needs the truth: errors MODEL DATA, or --data DATA")
    if (model is None) == (predictions is None):
        raise ConfigError("errors takes a MODEL or --predictions results.json, one of the two")
    from maskwright.evaluation.analysis import analyse_errors
    from maskwright.recipes import write_error_analysis

    dataset: Dataset | None
    found: PredictionSource
    truth: TruthSource
    if model is None:
        assert predictions is not None
        dataset = pictures_if_any(data, images)
        if to is not None and dataset is None:
            raise ConfigError(f"--to {to} needs the pictures: say where they are with --images")
        found, truth = predictions, dataset or data
    else:
        from maskwright.cli.evaluate import open_model_and_data, predict_all
        from maskwright.recipes.scoring import match_classes

        predictor, dataset = open_model_and_data(model, data, images, subset, weights, device)
        truth = match_classes(predictor.class_names, dataset)
        found = predict_all(predictor, truth, quiet=json_)
    analysis = analyse_errors(
        found,
        truth,
        kind="bbox" if boxes else None,
        iou_threshold=iou_threshold,
        background_iou=background_iou,
        score_threshold=score_threshold,
        max_detections=max_detections,
        size_edges=size_edges or None,
        limit=longest_list,
    )
    if to is not None and not analysis.suspects:
        print(f"maskwright: no annotation looks doubtful: nothing for {to}", file=sys.stderr)  # noqa: T201
    written = write_error_analysis(analysis, out, dataset=dataset, num_pictures=pictures, to=to)
    if json_:
        numbers = analysis.as_dict() | {"out": str(out)}
        print(json.dumps(numbers | {"written": [str(path) for path in written.files]}))  # noqa: T201
        return 0
    from rich.console import Console

    Console().print(analysis.to_table())
    print(f"tables, plots and lists are in {out}")  # noqa: T201
    return 0


def pictures_if_any(data: Path, images: Path | None) -> Dataset | None:
    """Return the data with its pictures; None, and a word about it, where they are not at hand."""
    from maskwright.data import open_dataset

    try:
        return open_dataset(data, images=images)
    except ImageError as error:
        if images is not None:
            raise
        print(f"maskwright: no pictures are drawn: {error}", file=sys.stderr)  # noqa: T201
        return None
