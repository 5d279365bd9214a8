"""What a run asks of its model besides losses: scores, the one that chooses, and what is special.

One class per kind of model; the loop in `run.py` knows the kinds by these alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, TypeAlias

from maskwright.data import Dataset
from maskwright.evaluation import Metrics, SemanticMetrics
from maskwright.files import write_json
from maskwright.inference import Predictor
from maskwright.model import InstanceSegmenter, Model, SemanticSegmenter
from maskwright.recipes.proposals import keep_proposals, measure_proposals, proposals_sentence
from maskwright.recipes.scoring import score_class_maps, score_model
from maskwright.structures import Batch
from maskwright.training import Processes

__all__ = ["InstanceTask", "Scores", "SemanticTask", "Task", "task_of"]

Scores: TypeAlias = Metrics | SemanticMetrics


class Task(ABC):
    """A model in a run; `task_of` finds the one for a model.

    Attributes:
        decisive: The logged number of the validation that chooses the best model.
    """

    decisive: ClassVar[str]

    @abstractmethod
    def score(self, dataset: Dataset) -> Scores:
        """Return every number of the model on these pictures."""

    @abstractmethod
    def validate(self, dataset: Dataset) -> tuple[Scores, dict[str, float]]:
        """Return the numbers of a validation during the run, and those to log by their names."""

    def prepare(self) -> None:  # noqa: B027 - most need nothing
        """Make ready for the first step of a run, once its starting weights are loaded."""

    def survey(self, validation: Dataset) -> str | None:
        """Look at the validation pictures before the steps; return what people should know."""
        del validation
        return None

    @property
    def is_finished(self) -> bool:
        """Whether steps teach everything, or `finish` has been called."""
        return True

    def finish(self, pictures: Iterable[Batch]) -> None:  # noqa: B027 - most need nothing
        """Learn what steps do not teach, from the training pictures, each once, as they are."""


class InstanceTask(Task):
    """Finding objects; the best model has the best mask AP.

    Args:
        model: The model.
        run: The run's folder, where proposals of selective search are kept.
        processes: Those that share the pictures to score.
    """

    decisive = "val/segm_AP"

    def __init__(self, model: InstanceSegmenter, run: Path, processes: Processes) -> None:
        self._model, self._run, self._processes = model, run, processes
        keep_proposals(model, run)

    def score(self, dataset: Dataset) -> Metrics:
        """Return COCO's numbers of boxes, masks and boundaries."""
        return score_model(Predictor(self._model), dataset, processes=self._processes)

    def validate(self, dataset: Dataset) -> tuple[Metrics, dict[str, float]]:
        """Return the numbers of boxes and masks."""
        metrics = score_model(
            Predictor(self._model), dataset, kinds=("bbox", "segm"), processes=self._processes
        )
        return metrics, {
            "val/bbox_AP": metrics["bbox"]["AP"],
            "val/segm_AP": metrics["segm"]["AP"],
            "val/segm_AP50": metrics["segm"]["AP50"],
        }

    def prepare(self) -> None:
        """Let the detector see the backbone that it starts from."""
        self._model.detector.prepare(self._model.backbone)

    def survey(self, validation: Dataset) -> str | None:
        """Say how many objects selective search proposes, for detectors that leave it to that."""
        proposals = measure_proposals(self._model, validation)
        if proposals is None:
            return None
        write_json(self._run / "proposals.json", proposals)
        return proposals_sentence(proposals)

    @property
    def is_finished(self) -> bool:
        """Whether the detector is."""
        return self._model.detector.is_finished

    def finish(self, pictures: Iterable[Batch]) -> None:
        """Let the detector learn what steps do not teach."""
        self._model.detector.finish(pictures)


class SemanticTask(Task):
    """Giving pixels a class; the best model has the best mean IoU."""

    decisive = "val/mIoU"

    def __init__(self, model: SemanticSegmenter, processes: Processes) -> None:
        self._model, self._processes = model, processes

    def score(self, dataset: Dataset) -> SemanticMetrics:
        """Return mean IoU, pixel accuracy and the IoU of each class."""
        return score_class_maps(Predictor(self._model), dataset, processes=self._processes)

    def validate(self, dataset: Dataset) -> tuple[SemanticMetrics, dict[str, float]]:
        """Return the same numbers; mean IoU and pixel accuracy are logged."""
        metrics = self.score(dataset)
        return metrics, {"val/mIoU": metrics.miou, "val/pixel_accuracy": metrics.pixel_accuracy}


def task_of(model: Model, run: Path, processes: Processes | None = None) -> Task:
    """Return the task that the model is for, in the run of that folder, by these processes."""
    processes = processes or Processes()
    match model:
        case InstanceSegmenter():
            return InstanceTask(model, run, processes)
        case SemanticSegmenter():
            return SemanticTask(model, processes)
