"""The twelve COCO numbers, per-class numbers, and the object that holds them.

AP is the precision averaged over 101 recalls, ten IoU thresholds (0.50 to 0.95) and classes; AR
the highest recall averaged over thresholds and classes (https://cocodataset.org/#detection-eval).
A number is -1 where it is undefined because no true object is of that size or class, as in
pycocotools; tables show "n/a". Nothing here is ever NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64

from maskwright.evaluation.counting import Counts
from maskwright.evaluation.matching import COCO_SIZES, COCO_THRESHOLDS
from maskwright.evaluation.resampling import Interval

if TYPE_CHECKING:
    from rich.console import Group

__all__ = [
    "ClassMetrics",
    "Metrics",
    "SizeMetrics",
    "canonical_numbers",
    "class_numbers",
    "mean_defined",
    "size_numbers",
]

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
        ap_by_size: AP of small, medium and large objects.
        interval: 95 % interval of `ap`; None without one.
    """

    ap: float
    ap50: float
    ar: float
    num_objects: int
    num_detections: int
    ap_by_size: tuple[float, float, float] = (-1.0, -1.0, -1.0)
    interval: Interval | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for json."""
        return {
            "AP": self.ap,
            "AP50": self.ap50,
            "AR": self.ar,
            **dict(zip(("APs", "APm", "APl"), self.ap_by_size, strict=True)),
            "objects": self.num_objects,
            "detections": self.num_detections,
            "AP_interval": None if self.interval is None else list(self.interval),
        }


@dataclass(frozen=True, kw_only=True)
class SizeMetrics:
    """What objects of one range of areas score by one kind of overlap.

    Args:
        ap: AP over the IoU thresholds, in [0, 1]; -1 without true objects.
        ap50: AP at IoU 0.50.
        ar: Average recall at the largest number of detections.
        num_objects: True objects, crowds left out.
    """

    ap: float
    ap50: float
    ar: float
    num_objects: int


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """How well predictions agree with the truth.

    Args:
        numbers: Kind ("bbox", "segm", "boundary") -> the twelve COCO numbers by name.
        per_class: Kind -> class name -> its numbers; classes with most true objects first.
        max_detections: How many detections per picture and class were counted.
        num_images: Pictures of the truth, those without objects included.
        notes: What a reader must know about the numbers, in sentences.
        intervals: Kind -> number -> its 95 % bootstrap interval over pictures; empty without.
        per_size: Kind -> "small", "medium" or "large" -> its numbers.
        iou_thresholds: What AP and AR are averaged over.
    """

    numbers: Mapping[str, Mapping[str, float]]
    per_class: Mapping[str, Mapping[str, ClassMetrics]]
    max_detections: int
    num_images: int
    notes: tuple[str, ...] = ()
    intervals: Mapping[str, Mapping[str, Interval]] = field(default_factory=dict)
    per_size: Mapping[str, Mapping[str, SizeMetrics]] = field(default_factory=dict)
    iou_thresholds: tuple[float, ...] = COCO_THRESHOLDS

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
            kind: {name: one.as_dict() for name, one in classes.items()}
            for kind, classes in self.per_class.items()
        }
        per_size = {
            kind: {
                name: {"AP": one.ap, "AP50": one.ap50, "AR": one.ar, "objects": one.num_objects}
                for name, one in sizes.items()
            }
            for kind, sizes in self.per_size.items()
        }
        intervals = {
            kind: {name: list(ends) for name, ends in numbers.items()}
            for kind, numbers in self.intervals.items()
        }
        return {
            "numbers": self.as_dict(),
            "intervals": intervals,
            "per_class": per_class,
            "per_size": per_size,
            "iou_thresholds": list(self.iou_thresholds),
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

    AP50 and AP75 are left out where their threshold is not among those that were counted.

    Args:
        counts: With three limits on detections; AR1, AR10 and AR100 are the recalls at these.
    """
    precision, recall = counts.precision, counts.recall
    single = {"AP50": _at(counts, 0.5), "AP75": _at(counts, 0.75)}
    return {
        "AP": mean_defined(precision[:, :, :, _ALL, -1]),
        **{
            name: mean_defined(precision[t, :, :, _ALL, -1])
            for name, t in single.items()
            if t is not None
        },
        "APs": mean_defined(precision[:, :, :, _SMALL, -1]),
        "APm": mean_defined(precision[:, :, :, _MEDIUM, -1]),
        "APl": mean_defined(precision[:, :, :, _LARGE, -1]),
        "AR1": mean_defined(recall[:, :, _ALL, 0]),
        "AR10": mean_defined(recall[:, :, _ALL, 1]),
        "AR100": mean_defined(recall[:, :, _ALL, 2]),
        "ARs": mean_defined(recall[:, :, _SMALL, -1]),
        "ARm": mean_defined(recall[:, :, _MEDIUM, -1]),
        "ARl": mean_defined(recall[:, :, _LARGE, -1]),
    }


def class_numbers(
    counts: Counts,
    label: int,
    *,
    num_objects: int,
    num_detections: int,
    interval: Interval | None = None,
) -> ClassMetrics:
    """Return the numbers of one class over objects of all sizes."""
    by_size = [
        mean_defined(counts.precision[:, :, label, size, -1]) for size in (_SMALL, _MEDIUM, _LARGE)
    ]
    at_half = _at(counts, 0.5)
    return ClassMetrics(
        ap=mean_defined(counts.precision[:, :, label, _ALL, -1]),
        ap50=-1.0
        if at_half is None
        else mean_defined(counts.precision[at_half, :, label, _ALL, -1]),
        ar=mean_defined(counts.recall[:, label, _ALL, -1]),
        num_objects=num_objects,
        num_detections=num_detections,
        ap_by_size=(by_size[0], by_size[1], by_size[2]),
        interval=interval,
    )


def size_numbers(counts: Counts, areas: Float64[np.ndarray, " g"]) -> dict[str, SizeMetrics]:
    """Return the numbers of small, medium and large objects.

    Args:
        counts: Over COCO's sizes.
        areas: Of the true objects that are no crowds. One of exactly 32² or 96² pixels belongs
            to both neighbours, as COCO counts it.
    """
    at_half = _at(counts, 0.5)
    sizes = {}
    for size, name in ((_SMALL, "small"), (_MEDIUM, "medium"), (_LARGE, "large")):
        low, high = COCO_SIZES[size]
        at = None if at_half is None else counts.precision[at_half, :, :, size, -1]
        sizes[name] = SizeMetrics(
            ap=mean_defined(counts.precision[:, :, :, size, -1]),
            ap50=-1.0 if at is None else mean_defined(at),
            ar=mean_defined(counts.recall[:, :, size, -1]),
            num_objects=int(((areas >= low) & (areas <= high)).sum()),
        )
    return sizes


def _at(counts: Counts, iou: float) -> int | None:
    """Return the place of an IoU threshold."""
    places = np.flatnonzero(np.isclose(counts.thresholds, iou))
    return int(places[0]) if len(places) else None


def mean_defined(values: Float64[np.ndarray, "*any"]) -> float:
    """Return the mean of the values that are not -1, or -1 where there is none."""
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else -1.0
