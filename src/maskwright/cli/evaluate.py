"""`maskwright evaluate`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from cyclopts import Parameter

from maskwright.errors import ConfigError, EvaluationError

if TYPE_CHECKING:
    from maskwright.data import Dataset
    from maskwright.evaluation import CellMetrics, Metrics, PredictionSource, SemanticMetrics
    from maskwright.evaluation.truth import TruthSource
    from maskwright.inference import Predictor

__all__ = ["evaluate"]

_Family: TypeAlias = Literal["coco", "cells"]


def evaluate(
    model: str | None = None,
    data: Path | None = None,
    *,
    predictions: Path | None = None,
    images: Path | None = None,
    subset: Literal["train", "validation", "test"] | None = None,
    semantic: Annotated[bool, Parameter(negative="")] = False,
    max_detections: int | None = None,
    metrics: Annotated[tuple[_Family, ...], Parameter(consume_multiple=True, negative="")] = (
        "coco",
    ),
    score_threshold: float = 0.5,
    weights: str | None = None,
    device: str | None = None,
    follow_links: Annotated[bool, Parameter(negative="")] = False,
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Score a model, or the results of any tool, with COCO's numbers at the original size.

    Boxes, masks and boundaries (dilation 0.02); the box and mask numbers equal pycocotools'.
    A semantic model is scored by mean IoU over its classes and the background, and pixel accuracy.

    Args:
        model: A model file.
        data: Annotated pictures of any known format (COCO, YOLO, LabelMe, ...), file or folder.
        predictions: COCO results json to score, in place of a model.
        images: Folder of the pictures, if it is not beside the annotations.
        subset: Score only these pictures of the split that was made when the model was trained.
        semantic: Score the class map also of a model that finds objects (mask head fcn or
            deeplab).
        max_detections: Detections per picture that count. By default COCO's 100, or more where
            pictures hold more objects.
        metrics: coco for AP and AR; cells for AP and F1 against IoU, AJI and counting errors,
            each with its 95 % interval. One or both.
        score_threshold: For cells: found objects below it are left out.
        weights: For torchvision/NAME models: a file, or download.
        device: cpu, cuda or mps. By default the best there is.
        follow_links: Follow symbolic links that lead out of the folder of the data.
        json_: Print the numbers as JSON, and nothing else.
    """
    if data is None:
        raise ConfigError("evaluate needs the truth: evaluate MODEL DATA, or --data DATA")
    if (model is None) == (predictions is None):
        raise ConfigError("evaluate takes a MODEL or --predictions results.json, one of the two")
    if predictions is not None and semantic:
        raise ConfigError("--semantic scores the class maps of a MODEL, not --predictions")
    found: PredictionSource
    truth: TruthSource = data
    if predictions is not None:
        found = predictions
    else:
        assert model is not None
        predictor, dataset = _open(
            model, data, images, subset, weights, device, follow_links=follow_links
        )
        if semantic or not predictor.finds_objects:
            _print([_score_class_maps(predictor, dataset, quiet=json_)], as_json=json_)
            return 0
        found, truth = _predict(predictor, dataset, quiet=json_), dataset
    from maskwright import evaluation

    families: list[Metrics | CellMetrics | SemanticMetrics] = []
    if "coco" in metrics:
        families.append(evaluation.evaluate(found, truth, max_detections=max_detections))
    if "cells" in metrics:
        families.append(evaluation.evaluate_cells(found, truth, score_threshold=score_threshold))
    _print(families, as_json=json_)
    return 0


def _open(
    model: str,
    data: Path,
    images: Path | None,
    subset: str | None,
    weights: str | None,
    device: str | None,
    *,
    follow_links: bool,
) -> tuple[Predictor, Dataset]:
    from maskwright.data import open_dataset
    from maskwright.inference import load

    predictor = load(model, weights=weights, device=device)
    dataset = open_dataset(data, images=images, follow_links=follow_links)
    if subset is not None:
        run = Path(model) if Path(model).is_dir() else Path(model).parent
        dataset = _subset(dataset, run / "split.json", subset)
    return predictor, dataset


def _predict(predictor: Predictor, dataset: Dataset, *, quiet: bool) -> PredictionSource:
    """Return what the model finds on every picture."""
    from maskwright.cli.progress import pictures_bar
    from maskwright.recipes import predict_dataset
    from maskwright.recipes.scoring import require_same_classes

    require_same_classes(predictor.class_names, dataset)
    with pictures_bar("Scoring", quiet=quiet) as progress:
        return list(predict_dataset(predictor, dataset, progress=progress))


def _score_class_maps(predictor: Predictor, dataset: Dataset, *, quiet: bool) -> SemanticMetrics:
    from maskwright.cli.progress import pictures_bar
    from maskwright.recipes import score_class_maps

    with pictures_bar("Scoring", quiet=quiet) as progress:
        return score_class_maps(predictor, dataset, progress=progress)


def _subset(dataset: Dataset, split: Path, name: str) -> Dataset:
    """Return the pictures that the run beside the model used for this."""
    if not split.is_file():
        raise EvaluationError(
            f"--subset {name} needs {split}, which training writes beside its models"
        )
    ids = json.loads(split.read_text(encoding="utf-8"))
    if name not in ids:
        raise EvaluationError(f"{split} has no {name} pictures; there are: {', '.join(ids)}")
    position = {image_id: i for i, image_id in enumerate(dataset.image_ids.tolist())}
    missing = [image_id for image_id in ids[name] if image_id not in position]
    if missing:
        raise EvaluationError(
            f"{len(missing)} of the {name} pictures in {split} are not in the data (image id "
            f"{missing[0]} for one): evaluate on the data that the model was trained with"
        )
    return dataset.subset([position[image_id] for image_id in ids[name]])


def _print(families: Sequence[Metrics | CellMetrics | SemanticMetrics], *, as_json: bool) -> None:
    from maskwright.evaluation import CellMetrics

    if as_json:
        numbers: dict[str, Any] = {}
        for one in families:
            numbers |= {"cells": one.as_dict()} if isinstance(one, CellMetrics) else one.as_dict()
        print(json.dumps(numbers))  # noqa: T201
        for note in (note for one in families for note in one.notes):
            print(f"maskwright: {note}", file=sys.stderr)  # noqa: T201
        return
    from rich.console import Console

    for one in families:
        Console().print(one.to_table())
