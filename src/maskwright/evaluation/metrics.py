"""The twelve COCO numbers, per-class numbers, and the object that holds them.

AP is the precision averaged over 101 recalls, ten IoU thresholds (0.50 to 0.95) and classes; AR
the highest recall averaged over thresholds and classes (https://cocodataset.org/#detection-eval).
A number is -1 where it is undefined because no true object is of that size or class, as in
pycocotools; tables show "n/a". Nothing here is ever NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64

from maskwright.evaluation.counting import Counts

if TYPE_CHECKING:
    from rich.console import Group

__all__ = ["ClassMetrics", "Metrics", "canonical_numbers", "class_numbers"]

_ALL, _SMALL, _MEDIUM, _LARGE = range(4)


@dataclass(frozen=True, kw_only=True)
class ClassMetrics:
    """What one class scores by one kind of overlap.

    Args:
        ap: AP over IoU 0.50 to 0.95, in [0, 1]; -1 without true objects.
        ap50: AP at IoU 0.50.
        ar: Average recall at the largest number of detections.
        num_objects: True objects, crowds left out.
        num_detections: Found objects, all that were given.
    """

    ap: float
    ap50: float
    ar: float
    num_objects: int
    num_detections: int


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """How well predictions agree with the truth.

    Args:
        numbers: Kind ("bbox", "segm", "boundary") -> the twelve COCO numbers by name.
        per_class: Kind -> class name -> its numbers; classes with most true objects first.
        max_detections: How many detections per picture and class were counted.
        num_images: Pictures of the truth, those without objects included.
        notes: What a reader must know about the numbers, in sentences.
    """

    numbers: Mapping[str, Mapping[str, float]]
    per_class: Mapping[str, Mapping[str, ClassMetrics]]
    max_detections: int
    num_images: int
    notes: tuple[str, ...] = ()

    def __getitem__(self, kind: str) -> Mapping[str, float]:
        return self.numbers[kind]

    def as_dict(self) -> dict[str, dict[str, float]]:
        """Return {"bbox": {"AP": ..., ..., "ARl": ...}, "segm": {...}, "boundary": {...}}.

        Only the kinds that were scored; every value is finite, so it is valid json.
        """
        return {kind: dict(numbers) for kind, numbers in self.numbers.items()}

    def report(self) -> dict[str, Any]:
        """Return everything as plain values for json: numbers, classes, limits and notes."""
        per_class = {
            kind: {
                name: {
                    "AP": one.ap,
                    "AP50": one.ap50,
                    "AR": one.ar,
                    "objects": one.num_objects,
                    "detections": one.num_detections,
                }
                for name, one in classes.items()
            }
            for kind, classes in self.per_class.items()
        }
        return {
            "numbers": self.as_dict(),
            "per_class": per_class,
            "max_detections": self.max_detections,
            "images": self.num_images,
            "notes": list(self.notes),
        }

    def to_table(self) -> Group:
        """Return the numbers, the classes and the notes as rich tables, ready to be printed."""
        from maskwright.evaluation.tables import metrics_tables

        return metrics_tables(self)


def canonical_numbers(counts: Counts) -> dict[str, float]:
    """Return the twelve COCO numbers by name, in COCO's order.

    Args:
        counts: With three limits on detections; AR1, AR10 and AR100 are the recalls at these.
    """
    precision, recall = counts.precision, counts.recall
    return {
        "AP": _mean(precision[:, :, :, _ALL, -1]),
        "AP50": _mean(precision[0, :, :, _ALL, -1]),
        "AP75": _mean(precision[5, :, :, _ALL, -1]),
        "APs": _mean(precision[:, :, :, _SMALL, -1]),
        "APm": _mean(precision[:, :, :, _MEDIUM, -1]),
        "APl": _mean(precision[:, :, :, _LARGE, -1]),
        "AR1": _mean(recall[:, :, _ALL, 0]),
        "AR10": _mean(recall[:, :, _ALL, 1]),
        "AR100": _mean(recall[:, :, _ALL, 2]),
        "ARs": _mean(recall[:, :, _SMALL, -1]),
        "ARm": _mean(recall[:, :, _MEDIUM, -1]),
        "ARl": _mean(recall[:, :, _LARGE, -1]),
    }


def class_numbers(
    counts: Counts, label: int, *, num_objects: int, num_detections: int
) -> ClassMetrics:
    """Return the numbers of one class over objects of all sizes."""
    return ClassMetrics(
        ap=_mean(counts.precision[:, :, label, _ALL, -1]),
        ap50=_mean(counts.precision[0, :, label, _ALL, -1]),
        ar=_mean(counts.recall[:, label, _ALL, -1]),
        num_objects=num_objects,
        num_detections=num_detections,
    )


def _mean(values: Float64[np.ndarray, "*any"]) -> float:
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else -1.0
