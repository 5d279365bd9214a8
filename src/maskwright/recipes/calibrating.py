"""Calibrating a model: predict on validation pictures, fit, judge on held-out ones, store."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from maskwright.data import Dataset
from maskwright.errors import CheckpointError, ConfigError, EvaluationError
from maskwright.evaluation.analysis import FoundAndTrue, read_found_and_true
from maskwright.evaluation.analysis.calibration import (
    Binning,
    CalibrationReport,
    calibration_report,
    right_and_counted,
)
from maskwright.evaluation.analysis.calibration_fit import calibrated_scores, fit_calibration
from maskwright.files import atomic_write
from maskwright.inference import Predictor, load
from maskwright.inference.loading import model_file
from maskwright.recipes.scoring import match_classes, predict_dataset
from maskwright.score_calibration import (
    CalibrationMethod,
    ScoreCalibration,
    parse_threshold_name,
)

if TYPE_CHECKING:
    from rich.console import Group

__all__ = [
    "Calibrated",
    "HeldOut",
    "calibrate_model",
    "cross_fitted",
    "save_reliability_plot",
]

_FOLDS = 5


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """How the default thresholds do on pictures that they were not fitted on; -1: undefined.

    Args:
        threshold: Name of the thresholds.
        precision: Right among kept objects.
        recall: Found among true objects.
        f1: Of the two.
    """

    threshold: str
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """What a calibration did.

    Args:
        path: The model file that holds it.
        calibration: What was stored.
        before: Reliability of the model's own scores.
        after: Of calibrated scores, each picture's by a calibration that was fitted without it
            (five parts of the pictures in turn); None with fewer than two pictures.
        held_out: The default thresholds, judged likewise; None likewise.
        notes: What a reader must know, in sentences.
    """

    path: Path
    calibration: ScoreCalibration
    before: CalibrationReport
    after: CalibrationReport | None
    held_out: HeldOut | None
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, all finite, ready for json."""
        return {
            "path": str(self.path),
            "calibration": self.calibration.as_dict(),
            "before": self.before.as_dict(),
            "after": None if self.after is None else self.after.as_dict(),
            "held_out": None if self.held_out is None else asdict(self.held_out),
            "notes": list(self.notes),
        }

    def to_table(self) -> Group:
        """Return what happened as rich tables, ready to be printed."""
        from maskwright.recipes.calibration_tables import calibration_tables

        return calibration_tables(self)


def calibrate_model(
    model: str | os.PathLike[str],
    dataset: Dataset,
    *,
    method: CalibrationMethod = "logistic",
    iou_threshold: float = 0.5,
    default_threshold: str = "f1",
    out: str | os.PathLike[str] | None = None,
    binning: Binning = "equal_mass",
    num_bins: int = 15,
    device: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Calibrated:
    """Fit a calibration and score thresholds on a dataset and write them into the model file.

    Take pictures that the model has not learnt from: on training pictures its scores look better
    than they are. A calibration that the file has already is replaced.

    Args:
        model: A model file, or a run folder, whose best model is calibrated.
        dataset: With its pictures.
        method: "temperature", "logistic" or "size"; see `ScoreCalibration`.
        iou_threshold: From which IoU a found object is right.
        default_threshold: What the threshold "auto" shall mean: "f1", "precision=0.9",
            "recall=0.9" or the like.
        out: Where to write the calibrated model; None writes into the file itself, whole or not
            at all.
        binning: Of the calibration error.
        num_bins: Of the calibration error.
        device: As for `load`.
        progress: Called after each picture with the pictures done and all.

    Raises:
        CheckpointError: There is no such file, or it cannot be written.
        ConfigError: An unknown method or threshold, or a model that finds no objects.
        EvaluationError: Model and data differ in classes, or there is nothing to fit on.
    """
    if os.fspath(model).startswith("torchvision/"):
        raise CheckpointError(
            f"{model} has no file to store a calibration in: train it, or save it as a model file"
        )
    parse_threshold_name(default_threshold)  # said before the first prediction
    path = model_file(model)
    predictor = Predictor(load(path, device=device).model)  # without the calibration it may have
    if not predictor.finds_objects:
        raise ConfigError(f"{path} is a semantic model: it finds no objects whose scores could lie")
    dataset = match_classes(predictor.class_names, dataset)
    found = list(predict_dataset(predictor, dataset, progress=progress))
    objects = read_found_and_true(found, dataset)
    calibration, notes = fit_calibration(
        objects,
        method=method,
        iou_threshold=iou_threshold,
        default_threshold=default_threshold,
    )
    after, held_out, on_folds = cross_fitted(
        objects, calibration, binning=binning, num_bins=num_bins
    )
    bins: dict[str, Any] = {"binning": binning, "num_bins": num_bins}
    return Calibrated(
        path=_store(path, calibration, predictor.class_names, out),
        calibration=calibration.for_classes(predictor.class_names),
        before=calibration_report(objects, iou_threshold=iou_threshold, **bins),
        after=after,
        held_out=held_out,
        notes=(*objects.notes, *notes, *on_folds),
    )


def save_reliability_plot(calibrated: Calibrated, path: str | os.PathLike[str]) -> None:
    """Write the reliability before, and on held-out pictures after, as a PNG."""
    from maskwright.evaluation.analysis.plots import plot_reliability

    reports = {"before": calibrated.before}
    if calibrated.after is not None:
        reports["held out"] = calibrated.after
    drawn = io.BytesIO()
    plot_reliability(reports).savefig(drawn, format="png")
    with atomic_write(path) as partial:
        partial.write_bytes(drawn.getvalue())


def cross_fitted(
    objects: FoundAndTrue,
    calibration: ScoreCalibration,
    *,
    binning: Binning = "equal_mass",
    num_bins: int = 15,
    num_folds: int = _FOLDS,
    seed: int = 0,
) -> tuple[CalibrationReport | None, HeldOut | None, tuple[str, ...]]:
    """Judge a way of calibrating on pictures that it was not fitted on.

    Pictures are parted at random; each part is calibrated by what was fitted on the others.

    Args:
        objects: Found, with the model's own scores, and true.
        calibration: Fitted on all of them: its method, IoU threshold and default are judged.
        binning: Of the calibration error.
        num_bins: Of the calibration error.
        num_folds: Parts; no more than there are pictures.
        seed: Of the parting.

    Returns:
        The reliability, how the default thresholds do, and what to know, in sentences. None and
        None where there is nothing to part, or a part leaves nothing to fit on.
    """
    m = len(objects.truth.image_ids)
    folds = np.random.default_rng(seed).permutation(m) % max(min(num_folds, m), 1)
    if m < 2:
        return None, None, ("One picture: nothing could be judged on held-out ones.",)
    scores = objects.found.scores.copy()
    kept = np.zeros(len(scores), bool)
    labels, images = objects.found.labels, objects.found.images
    for fold in range(int(folds.max()) + 1):
        try:
            other, _ = fit_calibration(
                objects,
                method=calibration.method,
                iou_threshold=calibration.iou_threshold,
                default_threshold=calibration.default_threshold,
                pictures=folds != fold,
            )
        except EvaluationError as error:
            return None, None, (f"Nothing could be judged on held-out pictures: {error}.",)
        rows = folds[images] == fold
        scores[rows] = calibrated_scores(objects, other)[rows]
        least = np.array(other.thresholds[other.default_threshold])
        kept[rows] = scores[rows] >= least[labels[rows]]
    report = calibration_report(
        objects,
        iou_threshold=calibration.iou_threshold,
        binning=binning,
        num_bins=num_bins,
        scores=scores,
    )
    return report, _held_out(objects, calibration, kept), ()


def _held_out(objects: FoundAndTrue, calibration: ScoreCalibration, kept: np.ndarray) -> HeldOut:
    is_right, counted = right_and_counted(objects, calibration.iou_threshold)
    hits = int((is_right & kept).sum())
    num_kept, num_true = int((kept & counted).sum()), int(objects.is_single.sum())
    return HeldOut(
        threshold=calibration.default_threshold,
        precision=hits / num_kept if num_kept else -1.0,
        recall=hits / num_true if num_true else -1.0,
        f1=2 * hits / (num_kept + num_true) if num_kept + num_true else -1.0,
    )


def _store(
    path: Path,
    calibration: ScoreCalibration,
    class_names: tuple[str, ...],
    out: str | os.PathLike[str] | None,
) -> Path:
    from maskwright.model import store_calibration

    return store_calibration(path, calibration.for_classes(class_names), out)
