"""Semantic segmentation scored: mean IoU, from exact counts of pixels.

With n_ij the pixels of class i that were given class j, the IoU of class i is
n_ii / (sum_j n_ij + sum_j n_ji - n_ii), and pixel accuracy is sum_i n_ii / sum_ij n_ij
(Long et al. 2015, https://arxiv.org/abs/1411.4038, section 5). Counts are over all pictures
together, at the original resolution; the background is a class like others. The mean is over the
classes that are in the truth or were found. A number without any pixel is -1, as in `metrics.py`.

Shapes: k classes without the background, (h, w) of a picture. Channel 0 is the background,
channel i + 1 the class with label i.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64, Int64, Integer

from maskwright.conversions import class_map_names
from maskwright.errors import EvaluationError, nearest_name

if TYPE_CHECKING:
    from rich.console import Group

    from maskwright.data import Dataset

__all__ = ["SemanticMetrics", "confusion_counts", "evaluate_semantic"]

_STRIPE = 1 << 20
"""Pixels counted at a time, which bounds memory on large pictures."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SemanticMetrics:
    """How well class maps agree with the truth.

    Args:
        confusion: Pixels by true channel (row) and found channel (column).
        class_names: By label, without the background.
        num_images: Pictures of the truth.
        num_unknown: Pixels that were not counted since only crowds cover them.
    """

    confusion: Int64[np.ndarray, "k+1 k+1"]
    class_names: tuple[str, ...]
    num_images: int
    num_unknown: int = 0

    @classmethod
    def merge(cls, parts: Sequence[SemanticMetrics]) -> SemanticMetrics:
        """Return the metrics of all pictures from those of parts of them, of the same classes."""
        return cls(
            confusion=np.sum([part.confusion for part in parts], axis=0),
            class_names=parts[0].class_names,
            num_images=sum(part.num_images for part in parts),
            num_unknown=sum(part.num_unknown for part in parts),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each channel, the background's first, no two alike."""
        return class_map_names(self.class_names)

    @property
    def iou(self) -> Float64[np.ndarray, " k+1"]:
        """IoU of each channel, in [0, 1]; -1 where it is neither in the truth nor found."""
        right = np.diagonal(self.confusion)
        union = self.confusion.sum(axis=0) + self.confusion.sum(axis=1) - right
        return np.where(union > 0, right / np.maximum(union, 1), -1.0)

    @property
    def miou(self) -> float:
        """Mean of the defined IoUs, in [0, 1]; -1 where nothing was counted."""
        iou = self.iou
        return float(iou[iou >= 0].mean()) if (iou >= 0).any() else -1.0

    @property
    def pixel_accuracy(self) -> float:
        """Share of the counted pixels that have their class, in [0, 1]; -1 of no pixels."""
        total = int(self.confusion.sum())
        return int(np.trace(self.confusion)) / total if total else -1.0

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know about the numbers, in sentences."""
        absent = [name for name, iou in zip(self.names, self.iou, strict=True) if iou < 0]
        notes = []
        if absent:
            shown = ", ".join(absent[:5]) + (", ..." if len(absent) > 5 else "")
            notes.append(
                f"{len(absent)} of {len(self.names)} classes are neither in the truth nor found "
                f"and not in the mean: {shown}."
            )
        if self.num_unknown:
            notes.append(f"{self.num_unknown} pixels of crowds are not counted.")
        return tuple(notes)

    def __getitem__(self, kind: str) -> Mapping[str, float]:
        return self.as_dict()[kind]

    def as_dict(self) -> dict[str, dict[str, float]]:
        """Return {"semantic": {"mIoU": ..., "pixel_accuracy": ...}, "IoU": {class name: ...}}.

        Every value is finite, so it is valid json.
        """
        return {
            "semantic": {"mIoU": self.miou, "pixel_accuracy": self.pixel_accuracy},
            "IoU": dict(zip(self.names, self.iou.tolist(), strict=True)),
        }

    def to_table(self) -> Group:
        """Return the numbers, the classes and the notes as rich tables, ready to be printed."""
        from maskwright.evaluation.tables import semantic_tables

        return semantic_tables(self)


def confusion_counts(
    truth: Integer[np.ndarray, "h w"], found: Integer[np.ndarray, "h w"], num_classes: int
) -> Int64[np.ndarray, "k+1 k+1"]:
    """Return the pixels by true channel (row) and found channel (column).

    Args:
        truth: The true channel of each pixel; those below 0 are not counted.
        found: The channel that each pixel was given, 0 to `num_classes`.
        num_classes: Without the background.

    >>> confusion_counts(np.array([[0, 1, -1]]), np.array([[0, 0, 1]]), 1).tolist()
    [[1, 0], [1, 0]]
    """
    side = num_classes + 1
    counts = np.zeros(side * side, np.int64)
    rows = max(1, _STRIPE // max(truth.shape[1], 1))
    for top in range(0, truth.shape[0], rows):
        true, given = truth[top : top + rows], found[top : top + rows]
        known = true >= 0
        cells = true[known].astype(np.int64) * side + given[known]
        counts += np.bincount(cells, minlength=side * side)
    return counts.reshape(side, side)


def evaluate_semantic(
    predictions: Iterable[tuple[int, Integer[np.ndarray, "_ _"]]],
    truth: Dataset,
    *,
    class_names: Sequence[str],
) -> SemanticMetrics:
    """Score class maps against the true objects, at the original resolution.

    The true class of a pixel is that of `Instances.to_class_map`: the smaller of overlapping
    objects has it, and what only crowds cover is not counted. One map is held at a time.

    Args:
        predictions: (image id, class map) of every picture: 0 background, label + 1 a class.
        truth: The dataset, whose classes are found among `class_names` by name.
        class_names: What the labels of the predictions mean.

    Raises:
        EvaluationError: A picture is missing, unknown or comes twice; a map of another size or
            with values that are no class; objects of a class that is not in `class_names`.
    """
    position = {image_id: i for i, image_id in enumerate(truth.image_ids.tolist())}
    channels = _channels(truth, class_names)
    confusion = np.zeros((len(class_names) + 1, len(class_names) + 1), np.int64)
    num_unknown = 0
    for image_id, found in predictions:
        i = position.pop(image_id, None)
        if i is None:
            raise EvaluationError(
                f"a class map of picture {image_id}: the truth has no such picture, or it came "
                "before; give each picture once"
            )
        _check_map(found, truth, i, len(class_names))
        true = channels[truth.targets(i).to_class_map() + 1]
        confusion += confusion_counts(true, found, len(class_names))
        num_unknown += int((true < 0).sum())
    if position:
        raise EvaluationError(
            f"{len(position)} of {len(truth)} pictures have no class map, picture "
            f"{next(iter(position))} for one: give one of every picture"
        )
    return SemanticMetrics(
        confusion=confusion,
        class_names=tuple(class_names),
        num_images=len(truth),
        num_unknown=num_unknown,
    )


def _channels(truth: Dataset, class_names: Sequence[str]) -> Int64[np.ndarray, " m"]:
    """The prediction's channel of a pixel of the truth, by the truth's channel + 1."""
    known = {name: label + 1 for label, name in enumerate(class_names)}
    for label in np.unique(truth.labels).tolist():
        name = truth.class_names[label]
        if name not in known:
            raise EvaluationError(
                f"the truth has objects of class {name!r}, which the model does not know."
                f"{nearest_name(name, list(known))} It knows {', '.join(known)}"
            )
    # a class without objects has no pixel that could be looked up
    return np.array([-1, 0, *(known.get(name, -1) for name in truth.class_names)])


def _check_map(found: np.ndarray, truth: Dataset, i: int, num_classes: int) -> None:
    name, size = truth.file_names[i], tuple(truth.sizes[i].tolist())
    if found.shape != size or found.dtype.kind not in "iu":
        raise EvaluationError(
            f"{name}: a class map must be {size} integers, the picture's size, "
            f"got {found.shape} {found.dtype}"
        )
    if found.size and not 0 <= found.min() <= found.max() <= num_classes:
        raise EvaluationError(
            f"{name}: a class map holds 0 to {num_classes}, got {found.min()} to {found.max()}"
        )
