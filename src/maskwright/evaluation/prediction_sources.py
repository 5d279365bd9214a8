"""Predictions in any form, as a list of COCO results.

A path may be a COCO results json, a COCO annotation json whose objects have scores, a folder that
`predict` wrote, or a folder of YOLO-seg texts, label maps or mask files
(`prediction_folders.py`). In Python they may also be COCO's entries, or per picture its id or
file name and what was found in it (pairs or a dictionary): `Instances`, `supervision.Detections`,
or the dictionary of a torchvision model. A list of these alone is one per picture of the truth, in
its order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np

from maskwright.errors import ConfigError, EvaluationError, nearest_name
from maskwright.evaluation.objects import read_json
from maskwright.evaluation.prediction_folders import FolderReader, sniff_folder
from maskwright.evaluation.predictions import Results
from maskwright.evaluation.truth import CocoTruth
from maskwright.masks import Masks

if TYPE_CHECKING:
    from maskwright.structures import Instances

__all__ = ["PredictionFormat", "PredictionSource", "coco_results", "load_results"]

PredictionSource: TypeAlias = (
    "str | Path | Mapping[Any, Any] | Iterable[Mapping[str, Any]] | Iterable[tuple[int | str, Any]]"
    " | Iterable[Any] | Results"
)
"""A file or folder; COCO results; or objects per picture, with the picture's id or file name; or
what `load_results` made of any of them, to be read once and scored several times."""

PredictionFormat: TypeAlias = Literal["coco", "yolo", "labelmap", "masks"]

_OWN_RESULTS = "results.json"
"""What `predict` calls its COCO results."""


def load_results(
    predictions: PredictionSource,
    truth: CocoTruth | None = None,
    *,
    format: PredictionFormat | None = None,
) -> Results:
    """Load predictions of any form; they are not checked against the truth yet.

    Args:
        predictions: See the module; what was loaded before is handed back.
        truth: Where pictures are found by file name and size; needed for folders and for lists
            without ids.
        format: Of a path, where it is not to be found out by looking.

    Raises:
        EvaluationError: The file is missing, is not json, or is of no known form; objects without
            scores; files of unknown pictures.
        ConfigError: An unknown format.
    """
    if format is not None and format not in get_args(PredictionFormat):
        known = get_args(PredictionFormat)
        raise ConfigError(
            f"unknown format of predictions {format!r}.{nearest_name(format, known)} "
            f"Known: {', '.join(known)}"
        )
    if isinstance(predictions, Results):
        return predictions
    if isinstance(predictions, (str, Path)):
        return _from_path(Path(predictions), truth, format)
    entries: list[Any] = []
    alone: list[Any] = []
    for one in predictions.items() if isinstance(predictions, Mapping) else predictions:
        if isinstance(one, tuple):
            entries += _object_entries(*one)
        elif _is_of_picture(one):
            alone.append(one)
        else:
            entries.append(one)
    if alone:
        entries += _in_order(alone, truth, num_others=len(entries))
    return Results("predictions", entries)


def coco_results(image_id: int | str, instances: Instances) -> list[dict[str, Any]]:
    """Return one picture's objects as entries of a COCO results json, for an id of any kind."""
    return [entry | {"image_id": image_id} for entry in instances.to_coco()]


def _from_path(
    path: Path, truth: CocoTruth | None, format_name: PredictionFormat | None
) -> Results:
    if not path.exists():
        raise EvaluationError(
            f"{path}: cannot be read (no such file or folder); wanted predictions"
        )
    if path.is_dir() and (path / _OWN_RESULTS).is_file() and format_name in (None, "coco"):
        path = path / _OWN_RESULTS
    if not path.is_dir():
        if format_name not in (None, "coco"):
            raise EvaluationError(f"{path}: predictions of format {format_name} are a folder")
        return _from_json(path)
    found = sniff_folder(path) if format_name is None else [format_name]
    if len(found) != 1:
        what = (
            f"looks like {' and '.join(found)}" if found else "holds no predictions that are known"
        )
        raise EvaluationError(
            f"{path}: {what}; say which with --predictions-format (format= in Python): coco "
            "(results.json), yolo (texts), labelmap (a map per picture) or masks (a folder of "
            "masks per picture)"
        )
    if truth is None or found[0] == "coco":
        raise EvaluationError(f"{path}: there is no {_OWN_RESULTS} in this folder")
    images = [one for one in truth.coco["images"] if isinstance(one, Mapping)]
    classes = [one for one in truth.coco["categories"] if isinstance(one, Mapping)]
    reader = FolderReader(
        path,
        tuple(str(one.get("file_name", one.get("id"))) for one in images),
        tuple(
            (int(one["height"]), int(one["width"]))
            if one.get("height") and one.get("width")
            else None
            for one in images
        ),
        tuple(str(one.get("name", one.get("id"))) for one in sorted(classes, key=_id_of)),
    )
    read: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "yolo": reader.yolo,
        "labelmap": reader.labelmap,
        "masks": reader.masks,
    }
    return Results(str(path), read[found[0]](), tuple(reader.notes))


def _id_of(record: Mapping[str, Any]) -> Any:
    return record.get("id", 0)


def _from_json(path: Path) -> Results:
    content = read_json(path, EvaluationError)
    if isinstance(content, list):
        return Results(str(path), content)
    annotations = content.get("annotations") if isinstance(content, dict) else None
    if (
        isinstance(annotations, list)
        and annotations
        and all(isinstance(one, dict) and "score" in one for one in annotations)
    ):
        return Results(str(path), _named(content, annotations))
    raise EvaluationError(
        f"{path}: predictions must be a json list of results, got a json "
        f"{type(content).__name__}: are predictions and truth swapped?"
    )


def _named(
    content: Mapping[str, Any], annotations: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Entries that say names in place of their file's own ids, where it lists them."""
    named = annotations
    for table, key, name in (
        ("images", "image_id", "file_name"),
        ("categories", "category_id", "name"),
    ):
        names = {
            one["id"]: one[name]
            for one in content.get(table) or []
            if isinstance(one, dict) and "id" in one and name in one
        }
        into = "file_name" if table == "images" else "category_name"
        named = [one | {into: names[one[key]]} if one.get(key) in names else one for one in named]
    return list(named)


def _is_of_picture(one: Any) -> bool:
    """Say whether it is all that was found in a picture, and not one COCO result."""
    if isinstance(one, Mapping):
        return "boxes" in one
    from maskwright.structures import Instances

    return isinstance(one, Instances) or _is_supervision(one)


def _is_supervision(one: Any) -> bool:
    return type(one).__module__.split(".")[0] == "supervision"


def _in_order(
    alone: Sequence[Any], truth: CocoTruth | None, *, num_others: int
) -> list[dict[str, Any]]:
    """Entries of objects per picture that come without ids, in the order of the truth."""
    images = [] if truth is None else truth.coco["images"]
    if len(alone) != len(images) or num_others:
        raise EvaluationError(
            f"{len(alone)} predictions came without the id of their picture, and the truth has "
            f"{len(images)} pictures: give one per picture in the order of the truth, or "
            "(image id or file name, prediction) pairs"
        )
    return [
        entry
        for image, one in zip(images, alone, strict=True)
        for entry in _object_entries(image["id"], one)
    ]


def _object_entries(image: int | str, found: Any) -> list[dict[str, Any]]:
    """Entries of what was found in one picture."""
    from maskwright.structures import Instances

    if isinstance(found, Instances):
        if found.scores is None and len(found):
            raise EvaluationError(
                f"predictions for picture {image!r} have no scores: is this the truth?"
            )
        return coco_results(image, found)
    if isinstance(found, Mapping):
        return _torchvision_entries(image, found)
    if _is_supervision(found):
        return _supervision_entries(image, found)
    raise EvaluationError(
        f"predictions for picture {image!r} are a {type(found).__name__}; wanted Instances, "
        "supervision.Detections or a torchvision dict of boxes, labels, scores and masks"
    )


def _torchvision_entries(image: int | str, found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A torchvision dict: xyxy boxes, labels that are category ids, mask probabilities."""
    lacking = [key for key in ("boxes", "labels", "scores") if key not in found]
    if lacking:
        raise EvaluationError(
            f"predictions for picture {image!r}: a torchvision dict has boxes, labels and scores, "
            f"this lacks {', '.join(lacking)} and has {', '.join(map(str, found))}"
        )
    columns = {key: _array(found[key]) for key in ("boxes", "labels", "scores")}
    masks = None
    if found.get("masks") is not None:
        # (n, 1, h, w) probabilities; torchvision's own threshold is a half.
        masks = _array(found["masks"])
        masks = masks[:, 0] if masks.ndim == 4 else masks
        masks = masks if masks.dtype == bool else masks > 0.5
    labels = [{"category_id": int(label)} for label in columns["labels"]]
    return _entries(image, columns["boxes"], labels, columns["scores"], masks)


def _supervision_entries(image: int | str, found: Any) -> list[dict[str, Any]]:
    """supervision.Detections: xyxy boxes, class names where it has them, else labels from 0."""
    if found.confidence is None and len(found):
        raise EvaluationError(
            f"predictions for picture {image!r} have no confidence, which AP ranks by: set "
            "detections.confidence"
        )
    names = found.data.get("class_name")
    if names is None and found.class_id is None and len(found):
        raise EvaluationError(
            f"predictions for picture {image!r} have no class: set detections.class_id, or "
            'detections.data["class_name"]'
        )
    labels: list[dict[str, Any]]
    if names is not None:
        labels = [{"category_name": str(name)} for name in names]
    else:
        labels = [{"label": int(label)} for label in found.class_id if len(found)]
    masks = None if found.mask is None else np.asarray(found.mask)
    return _entries(image, found.xyxy, labels, found.confidence, masks)


def _entries(
    image: int | str,
    boxes: Any,
    labels: Sequence[Mapping[str, Any]],
    scores: Any,
    masks: np.ndarray | None,
) -> list[dict[str, Any]]:
    if not len(labels):
        return []
    corners = np.asarray(boxes, np.float64)
    xywh = np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]]).tolist()
    codes: Sequence[Any] = [None] * len(labels)
    if masks is not None:
        codes = Masks.from_dense(masks).to_coco()
    numbers = np.asarray(scores, np.float64).tolist()
    return [
        {"image_id": image, "bbox": box, "score": score, **label}
        | ({} if code is None else {"segmentation": code})
        for label, box, score, code in zip(labels, xywh, numbers, codes, strict=True)
    ]


def _array(values: Any) -> np.ndarray:
    import torch

    if isinstance(values, torch.Tensor):
        return values.detach().cpu().numpy()
    return np.asarray(values)
