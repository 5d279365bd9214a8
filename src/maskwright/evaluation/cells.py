"""Cell metrics: AP and F1 against IoU, aggregated Jaccard index, and how far counts are off.

- AP at an IoU is TP / (TP + FP + FN), F1 is 2 TP / (2 TP + FP + FN). StarDist pools the counts of
  all pictures; Cellpose takes the mean of each picture's AP. Both are given. (COCO's AP is another
  number: it ranks by score.)
- AJI: Kumar et al., A Dataset and a Technique for Generalized Nuclear Segmentation, 2017,
  algorithm 1: each true object takes the found one of largest IoU, which may serve twice. AJI+
  (Graham et al., HoVer-Net, 2019) pairs one to one. Mean over pictures.
- Counting: found minus true objects per picture.

Pairs are of one class (`pairing.py`). A number without a base, since neither side holds an object,
is -1; pictures where both sides are empty are left out of means over pictures, except counting.

Shapes: t IoU thresholds, m pictures, k classes, b bootstrap replicates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from maskwright.errors import EvaluationError
from maskwright.evaluation.cell_sums import CELL_THRESHOLDS, CellCounts, CellSums
from maskwright.evaluation.inputs import Inputs
from maskwright.evaluation.objects import Objects
from maskwright.evaluation.prediction_sources import PredictionSource, load_results
from maskwright.evaluation.predictions import read_predictions
from maskwright.evaluation.resampling import Interval, Resampling, Statistic, bootstrap, defined
from maskwright.evaluation.truth import TruthSource, load_truth, read_truth
from maskwright.evaluation.truth_groups import with_groups

if TYPE_CHECKING:
    from rich.console import Group

__all__ = ["CellMetrics", "cell_statistic", "evaluate_cells", "score_cells"]


@dataclass(frozen=True, kw_only=True)
class CellMetrics:
    """How well objects are separated and counted.

    Args:
        counts: IoU threshold -> counts over all pictures.
        mean_ap: IoU threshold -> mean of the pictures' AP, as Cellpose reports it.
        numbers: "AP", "AP50", "AP75", "F1", "AJI", "AJI+", "count error" (mean of found minus
            true objects) and "count distance" (mean of its absolute value); AP and F1 pooled,
            AP over IoU 0.50 to 0.95, F1 at 0.50.
        intervals: Number -> its 95 % bootstrap interval over pictures; empty without one.
        per_class: Class name -> counts at IoU 0.50.
        class_intervals: Class name -> 95 % interval of its AP at IoU 0.50.
        score_threshold: Found objects below it are left out.
        num_images: Pictures of the truth.
        notes: What a reader must know, in sentences.
    """

    counts: Mapping[float, CellCounts]
    mean_ap: Mapping[float, float]
    numbers: Mapping[str, float]
    intervals: Mapping[str, Interval]
    per_class: Mapping[str, CellCounts]
    score_threshold: float
    num_images: int
    notes: tuple[str, ...] = ()
    class_intervals: Mapping[str, Interval] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, all finite, ready for json."""
        return {
            "numbers": dict(self.numbers),
            "intervals": {name: list(ends) for name, ends in self.intervals.items()},
            "by_iou": {
                f"{iou:.2f}": asdict(one) | {"mean_ap": self.mean_ap[iou]}
                for iou, one in self.counts.items()
            },
            "per_class": {
                name: asdict(one) | {"ap_interval": list(self.class_intervals.get(name, ()))}
                for name, one in self.per_class.items()
            },
            "score_threshold": self.score_threshold,
            "images": self.num_images,
            "notes": list(self.notes),
        }

    def to_table(self) -> Group:
        """Return the numbers as rich tables, ready to be printed."""
        from maskwright.evaluation.cell_tables import cell_tables

        return cell_tables(self)


def evaluate_cells(
    predictions: PredictionSource,
    truth: TruthSource,
    *,
    score_threshold: float = 0.5,
    groups: Sequence[object] | str | None = None,
    num_replicates: int = 1000,
    seed: int = 0,
) -> CellMetrics:
    """Score masks as cell segmentations are scored.

    Args:
        predictions: As for `evaluate`.
        truth: As for `evaluate`.
        score_threshold: Found objects below it are left out, since these metrics do not rank.
        groups: Group of each picture, by ascending image id, for the intervals; see
            `draw_pictures`.
        num_replicates: Of the bootstrap; 0 for no intervals.
        seed: Of the bootstrap.

    Raises:
        DataError: The truth cannot be read or contradicts itself.
        EvaluationError: A prediction that does not fit the truth, or an option out of range.

    >>> square = {"size": [20, 20], "counts": [42, 6, 14, 6, 14, 6, 312]}
    >>> truth = {
    ...     "images": [{"id": 1, "height": 20, "width": 20, "file_name": "a.png"}],
    ...     "categories": [{"id": 1, "name": "cell"}],
    ...     "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": square}],
    ... }
    >>> found = [{"image_id": 1, "category_id": 1, "score": 0.9, "segmentation": square}]
    >>> evaluate_cells(found, truth).numbers["AJI"]
    1.0
    """
    coco = load_truth(truth)
    true = read_truth(coco, need_masks=True)
    found = read_predictions(load_results(predictions, coco), true, need_masks=True)
    resampling = with_groups(
        Resampling(num_replicates=num_replicates, seed=seed, groups=groups), coco
    )
    return score_cells(Inputs(true, found), score_threshold=score_threshold, resampling=resampling)


def score_cells(
    inputs: Inputs, *, score_threshold: float = 0.5, resampling: Resampling
) -> CellMetrics:
    """Score what was read; see `evaluate_cells`."""
    if not np.isfinite(score_threshold):
        raise EvaluationError(f"score_threshold must be finite, got {score_threshold}")
    counted = inputs.keep(np.flatnonzero(inputs.found.scores >= score_threshold))
    sums = CellSums(counted)
    once = sums.statistic(np.ones((1, inputs.num_images), np.int64))
    intervals, notes = bootstrap(sums.statistic, inputs.num_images, resampling)
    return CellMetrics(
        counts=dict(zip(CELL_THRESHOLDS, sums.pooled(), strict=True)),
        mean_ap=dict(zip(CELL_THRESHOLDS, sums.mean_ap(), strict=True)),
        numbers={key[0]: defined(values[0]) for key, values in once.items() if len(key) == 1},
        intervals={key[0]: ends for key, ends in intervals.items() if len(key) == 1},
        per_class=sums.per_class(),
        class_intervals={
            key[1]: ends for key, ends in intervals.items() if len(key) == 2 and key[0] == "AP"
        },
        score_threshold=score_threshold,
        num_images=inputs.num_images,
        notes=(*_notes(inputs, counted.found, score_threshold), *notes),
    )


def cell_statistic(inputs: Inputs, *, score_threshold: float = 0.5) -> Statistic:
    """Return cell metrics as a function of picture weights: (name,) or (name, class name)."""
    kept = np.flatnonzero(inputs.found.scores >= score_threshold)
    return CellSums(inputs.keep(kept)).statistic


def _notes(inputs: Inputs, found: Objects, score_threshold: float) -> list[str]:
    true, every = inputs.true, inputs.found
    notes = []
    if true.objects.is_crowd.all():
        notes.append(f"The truth ({true.source}) holds no single objects.")
    if len(every) and not len(found):
        notes.append(
            f"All {len(every)} predictions score below {score_threshold}, so none is counted: "
            "give a lower score threshold."
        )
    elif not len(every):
        notes.append("There are no predictions.")
    return notes
