"""`maskwright evaluate`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from cyclopts import Parameter

from maskwright.errors import ConfigError, EvaluationError

if TYPE_CHECKING:
    from rich.console import Group

    from maskwright.data import Dataset
    from maskwright.evaluation import Family, FamilyResult, PredictionSource, SemanticMetrics
    from maskwright.evaluation.truth import TruthSource
    from maskwright.inference import Predictor

__all__ = ["evaluate"]

_Family: TypeAlias = Literal["coco", "cells", "lvis", "panoptic", "counting", "agnostic"]
_Kind: TypeAlias = Literal["bbox", "segm", "boundary"]
_Flag: TypeAlias = Annotated[bool, Parameter(negative="")]
_SEMANTIC_HAS_NONE = "--semantic scores the class maps of a MODEL, not --predictions"


def evaluate(
    first: Annotated[str | None, Parameter(name="MODEL")] = None,
    second: Annotated[str | None, Parameter(name="DATA")] = None,
    /,
    *,
    data: Path | None = None,
    predictions: Path | None = None,
    predictions_format: Literal["coco", "yolo", "labelmap", "masks"] | None = None,
    paired: _Flag = False,
    images: Path | None = None,
    subset: Literal["train", "validation", "test"] | None = None,
    semantic: _Flag = False,
    metrics: Annotated[tuple[_Family, ...], Parameter(consume_multiple=True, negative="")] = (
        "coco",
    ),
    kinds: Annotated[
        tuple[_Kind, ...] | None, Parameter(consume_multiple=True, negative="")
    ] = None,
    max_detections: int | None = None,
    iou_thresholds: Annotated[
        tuple[float, ...] | None, Parameter(consume_multiple=True, negative="")
    ] = None,
    score_threshold: float = 0.5,
    overlap: Literal["score", "smaller"] = "score",
    replicates: int = 1000,
    groups: str | None = None,
    seed: int = 0,
    tta: str | None = None,
    ensemble: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative="")] = (),
    ensemble_weights: Annotated[
        tuple[float, ...], Parameter(consume_multiple=True, negative="")
    ] = (),
    weights: str | None = None,
    device: str | None = None,
    follow_links: Annotated[bool, Parameter(negative="")] = False,
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Score a model, or the results of any tool, at the original size, with 95 % intervals.

    COCO's numbers by default: boxes, masks and boundaries (dilation 0.02); the box and mask
    numbers equal pycocotools'. A semantic model is scored by mean IoU over its classes and the
    background, and pixel accuracy. With --paired two models or prediction files are held against
    each other on the pictures of --data.

    Args:
        first: A model file; with --paired contestant A, a model or predictions.
        second: Annotated pictures of any known format (COCO, YOLO, LabelMe, ...), file or folder;
            with --paired contestant B.
        data: The annotated pictures, where they are not given as DATA.
        predictions: Results to score, in place of a model: COCO results json, or a folder of
            YOLO-seg texts, label maps, mask files, or what predict wrote.
        predictions_format: What --predictions is, where it is not to be found out by looking.
        paired: Say whether B is better than A: evaluate A B --paired --data DATA.
        images: Folder of the pictures, if it is not beside the annotations.
        subset: Score only these pictures of the split that was made when the model was trained.
        semantic: Score the class map also of a model that finds objects (mask head fcn or
            deeplab).
        metrics: coco for AP and AR; cells for AP and F1 against IoU, AJI; lvis for AP of rare,
            common and frequent classes; panoptic for PQ, SQ, RQ; counting for how far counts are
            off; agnostic for COCO's numbers without classes. One or more.
        kinds: Of coco, lvis and agnostic: bbox for boxes, segm for masks, boundary. By default
            all that the predictions have; with --paired boxes and masks.
        max_detections: Detections per picture that count. By default COCO's 100, or more where
            pictures hold more objects; LVIS's 300.
        iou_thresholds: What AP and AR are averaged over. By default 0.5, 0.55, ... 0.95.
        score_threshold: For cells, panoptic and counting: found objects below it are left out.
        overlap: For panoptic: whose a pixel of two found objects is, the surer one's (score) or
            the smaller one's.
        replicates: Of the bootstrap over pictures; 0 for no intervals.
        groups: Pictures that are drawn together for the intervals: field:NAME of a COCO json's
            pictures, or name:PATTERN with brackets around the part of the file name.
        seed: Of the bootstrap.
        tta: Test-time augmentation: fuse what is found in several views, flips (and mirrored),
            vertical-flips, scales (0.8, 1, 1.25), or some of them joined by +.
        ensemble: More models, whose objects are fused with those of MODEL.
        ensemble_weights: Of MODEL and of each of those; by default all alike.
        weights: For torchvision/NAME models: a file, or download.
        device: cpu, cuda or mps. By default the best there is.
        follow_links: Follow symbolic links that lead out of the folder of the data.
        json_: Print the numbers as JSON, and nothing else.
    """
    from maskwright.evaluation import Resampling, ScoringOptions

    options = ScoringOptions(
        max_detections=max_detections,
        iou_thresholds=iou_thresholds,
        score_threshold=score_threshold,
        overlap=overlap,
        resampling=Resampling(num_replicates=replicates, seed=seed, groups=groups),
    )
    if paired or predictions is not None:
        _refuse_views(tta, ensemble, "--paired" if paired else "--predictions")
    if paired:
        _refuse_beside_paired(first, second, data, predictions, subset, semantic)
        assert first is not None
        assert second is not None
        assert data is not None
        from maskwright.data import open_dataset
        from maskwright.recipes import compare_paired
        from maskwright.recipes.paired_scoring import is_model

        has_model = is_model(first) or is_model(second)
        comparison = compare_paired(
            first,
            second,
            open_dataset(data, images=images, follow_links=follow_links) if has_model else data,
            metrics,
            kinds=kinds,
            options=options,
            predictions_format=predictions_format,
            weights=weights,
            device=device,
            progress=lambda name: _bar(name, quiet=json_),
        )
        _print_one(comparison.as_dict(), comparison.to_table, comparison.notes, as_json=json_)
        return 0
    data = _truth_of(first, second, data, predictions)
    found: PredictionSource
    truth: TruthSource = data
    if predictions is not None:
        if semantic:
            raise ConfigError(_SEMANTIC_HAS_NONE)
        found = predictions
        if images is not None or follow_links:
            from maskwright.data import open_dataset

            truth = open_dataset(data, images=images, follow_links=follow_links)
    else:
        from maskwright.recipes.scoring import match_classes

        assert first is not None
        predictor, dataset = open_model_and_data(
            first,
            data,
            images,
            subset,
            weights,
            device,
            follow_links=follow_links,
            tta=tta,
            ensemble=ensemble,
            ensemble_weights=ensemble_weights,
        )
        if semantic and (tta is not None or ensemble):
            _refuse_views(tta, ensemble, "--semantic")
        if semantic or not predictor.finds_objects:
            scores = _score_class_maps(predictor, dataset, quiet=json_)
            _print_one(scores.as_dict(), scores.to_table, scores.notes, as_json=json_)
            return 0
        truth = match_classes(predictor.class_names, dataset)
        found = predict_all(predictor, truth, quiet=json_)
    from maskwright.evaluation import evaluate_families

    _print(
        evaluate_families(
            found,
            truth,
            metrics,
            kinds=kinds,
            options=options,
            predictions_format=predictions_format,
        ),
        as_json=json_,
    )
    return 0


def _truth_of(
    first: str | None, second: str | None, data: Path | None, predictions: Path | None
) -> Path:
    """Return the truth, given as DATA or --data, or say what is missing."""
    if second is not None and data is not None:
        raise ConfigError(
            f"evaluate got DATA twice, {second} and --data {data}: to hold two models or "
            "predictions against each other add --paired"
        )
    if data is None and second is not None:
        data = Path(second)
    if data is None and predictions is not None and first is not None:
        raise ConfigError(
            f"evaluate --predictions needs the truth as --data: evaluate --predictions "
            f"{predictions} --data {first}"
        )
    if data is None:
        raise ConfigError("evaluate needs the truth: evaluate MODEL DATA, or --data DATA")
    if (first is None) == (predictions is None):
        raise ConfigError("evaluate takes a MODEL or --predictions results.json, one of the two")
    return data


def _refuse_beside_paired(
    a: str | None,
    b: str | None,
    data: Path | None,
    predictions: Path | None,
    subset: str | None,
    semantic: bool,
) -> None:
    usage = "evaluate A B --paired --data DATA, A and B being models or predictions"
    if predictions is not None:
        raise ConfigError(f"with --paired predictions are named as A or B: {usage}")
    if a is None or b is None:
        raise ConfigError(
            f"--paired holds two against each other, got {int(a is not None)}: {usage}"
        )
    if data is None:
        raise ConfigError(f"--paired needs the truth as --data, {b} is taken for B: {usage}")
    if subset is not None or semantic:
        raise ConfigError(f"--subset and --semantic do not go with --paired: {usage}")


def _refuse_views(tta: str | None, ensemble: Sequence[str], beside: str) -> None:
    for name, value in (("--tta", tta), ("--ensemble", ensemble)):
        if value:
            raise ConfigError(f"{name} is about the objects of a MODEL: not with {beside}")


def _bar(name: str, *, quiet: bool) -> Any:
    from maskwright.cli.progress import pictures_bar

    return pictures_bar(f"Scoring {name}", quiet=quiet)


def open_model_and_data(
    model: str,
    data: Path,
    images: Path | None,
    subset: str | None,
    weights: str | None,
    device: str | None,
    *,
    follow_links: bool = False,
    tta: str | None = None,
    ensemble: Sequence[str] = (),
    ensemble_weights: Sequence[float] = (),
) -> tuple[Predictor, Dataset]:
    from maskwright.data import open_dataset

    predictor = open_model(
        model,
        weights,
        device,
        tta=tta,
        ensemble=ensemble,
        ensemble_weights=ensemble_weights,
    )
    dataset = open_dataset(data, images=images, follow_links=follow_links)
    if subset is not None:
        dataset = open_subset(dataset, model, subset)
    return predictor, dataset


def open_model(
    model: str,
    weights: str | None,
    device: str | None,
    *,
    tta: str | None = None,
    ensemble: Sequence[str] = (),
    ensemble_weights: Sequence[float] = (),
    runtime: str = "auto",
    precision: str = "fp32",
) -> Predictor:
    """Return the model, or it and those of `ensemble` as one."""
    from maskwright.inference import ModelChoice

    return ModelChoice(
        model=model,
        weights=weights,
        device=device,
        tta=tta,
        ensemble=tuple(ensemble),
        ensemble_weights=tuple(ensemble_weights),
        runtime=runtime,
        precision=precision,
    ).open()


def open_subset(dataset: Dataset, model: str, name: str) -> Dataset:
    """Return the pictures that the model's run used for this."""
    run = Path(model) if Path(model).is_dir() else Path(model).parent
    return _subset(dataset, run / "split.json", name)


def predict_all(predictor: Predictor, dataset: Dataset, *, quiet: bool) -> PredictionSource:
    """Return what the model finds on every picture."""
    from maskwright.cli.progress import pictures_bar
    from maskwright.recipes import predict_dataset

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


def _print(families: Mapping[Family, FamilyResult], *, as_json: bool) -> None:
    from maskwright.evaluation import Metrics

    if as_json:
        numbers: dict[str, Any] = {}
        for name, one in families.items():
            numbers |= one.as_dict() if name == "coco" else {name: one.as_dict()}
            if isinstance(one, Metrics) and (intervals := one.report()["intervals"]):
                numbers["intervals"] = intervals
        _print_json(numbers, [note for one in families.values() for note in one.notes])
        return
    from rich.console import Console

    for one in families.values():
        Console().print(one.to_table())


def _print_one(
    numbers: Mapping[str, Any],
    to_table: Callable[[], Group],
    notes: Sequence[str],
    *,
    as_json: bool,
) -> None:
    if as_json:
        _print_json(numbers, notes)
        return
    from rich.console import Console

    Console().print(to_table())


def _print_json(numbers: Mapping[str, Any], notes: Sequence[str]) -> None:
    print(json.dumps(numbers, allow_nan=False))  # noqa: T201
    for note in notes:
        print(f"maskwright: {note}", file=sys.stderr)  # noqa: T201
