"""Is model B better than model A on these pictures? Contestants are models or prediction files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from maskwright.data import Dataset
from maskwright.evaluation import (
    Family,
    Kind,
    PairedComparison,
    PredictionFormat,
    PredictionSource,
    ScoringOptions,
    compare_predictions,
)
from maskwright.inference import load
from maskwright.recipes.scoring import match_classes, predict_dataset

__all__ = ["compare_paired", "is_model"]

Progress = Callable[[str], AbstractContextManager[Callable[[int, int], None] | None]]
"""From a contestant's name to what is called after each picture with those done and all."""


def compare_paired(
    a: str | Path,
    b: str | Path,
    truth: Path | Dataset,
    families: Sequence[Family] = ("coco",),
    *,
    kinds: Sequence[Kind] | None = None,
    options: ScoringOptions | None = None,
    predictions_format: PredictionFormat | None = None,
    weights: str | None = None,
    device: str | None = None,
    progress: Progress | None = None,
) -> PairedComparison:
    """Say whether B is better than A.

    Args:
        a: A model (file, run folder, torchvision/NAME) or a file or folder of predictions.
        b: Another.
        truth: The true objects; a dataset with pictures where one of the two is a model.
        families: As for `compare_predictions`.
        kinds: As for `compare_predictions`.
        options: As for `compare_predictions`.
        predictions_format: Of contestants that are folders, as for `evaluate`.
        weights: Of torchvision models.
        device: Where models run.
        progress: Shows how far a model is.

    Raises:
        CheckpointError: A model cannot be loaded.
        DataError: The truth or a picture cannot be read.
        EvaluationError: Predictions or classes that do not fit the truth.
    """
    found: list[PredictionSource] = []
    for one in (str(a), str(b)):
        if not is_model(one):
            found.append(one)
            continue
        assert isinstance(truth, Dataset), "a model needs a dataset with pictures"
        own_weights = weights if one.startswith("torchvision/") else None
        predictor = load(one, weights=own_weights, device=device)
        truth = match_classes(predictor.class_names, truth)
        with progress(Path(one).name) if progress else nullcontext(None) as shown:
            found.append(list(predict_dataset(predictor, truth, progress=shown)))
    return compare_predictions(
        found[0],
        found[1],
        truth,
        families,
        names=contestant_names(str(a), str(b)),
        kinds=kinds,
        options=options,
        predictions_format=predictions_format,
    )


def is_model(name: str) -> bool:
    """Say whether a contestant is a model: anything but a json or a folder without a model."""
    path = Path(name)
    if path.is_dir():
        return any(path.glob("*.safetensors"))
    return path.suffix.lower() != ".json"


def contestant_names(a: str, b: str) -> tuple[str, str]:
    """Return short names of two contestants that tell them apart.

    >>> contestant_names("runs/first/best.safetensors", "runs/second/best.safetensors")
    ('first/best.safetensors', 'second/best.safetensors')
    """
    parts_a, parts_b = Path(a).parts, Path(b).parts
    for length in range(1, max(len(parts_a), len(parts_b)) + 1):
        names = "/".join(parts_a[-length:]), "/".join(parts_b[-length:])
        if names[0] != names[1]:
            return names
    return f"{names[0]} (first)", f"{names[1]} (second)"
