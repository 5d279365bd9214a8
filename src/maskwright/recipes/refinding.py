"""How much of a few pictures a model gives back: the question after overfitting them.

Of n true objects only the n highest-scored detections are looked at. No score threshold is
needed then, which matters since the scores of a network after few steps are low, and a network
that answers everywhere does not pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from maskwright.data import Dataset
from maskwright.evaluation import evaluate_semantic
from maskwright.inference import Predictor
from maskwright.model import Model, SemanticSegmenter
from maskwright.ops import pairwise_iou
from maskwright.structures import Instances

__all__ = ["Refound", "refind"]

_IOU = 0.5


@dataclass(frozen=True, kw_only=True)
class Refound:
    """What a model gives back of the truth.

    Args:
        num_objects: True objects, crowds left out.
        num_found: Of them, those found with IoU 0.5 and their class: by masks where the model
            draws masks, else by boxes. Of a semantic model, classes with an IoU of 0.5.
        num_boxed: Likewise by boxes.
        num_misnamed: Likewise by masks (or boxes), but only where the class is not asked for.
        share: The part of the truth that came back, in [0, 1]; of a semantic model the mean IoU.
    """

    num_objects: int
    num_found: int
    num_boxed: int = 0
    num_misnamed: int = 0
    share: float

    def describe(self) -> str:
        """Return what came back in a few words.

        >>> Refound(num_objects=16, num_found=15, share=15 / 16).describe()
        '15 of 16 objects are found again'
        """
        if self.num_objects < 0:
            return f"the mean IoU over the classes is {self.share:.2f}"
        return f"{self.num_found} of {self.num_objects} objects are found again"


def refind(model: Model, dataset: Dataset) -> Refound:
    """Predict on the pictures of the dataset and count what of their truth comes back.

    Without objects nothing is missing: the share is then 1.
    """
    predictor = Predictor(model)
    dataset = dataset.with_pixels(predictor.pixel_format)
    if isinstance(model, SemanticSegmenter):
        return _of_classes(predictor, dataset)
    counts = np.zeros(4, np.int64)
    for i in range(len(dataset)):
        found = predictor.predict(dataset.image(i))
        assert isinstance(found, Instances)
        counts += _count(found, dataset.targets(i))
    total, by_masks, by_boxes, misnamed = counts.tolist()
    return Refound(
        num_objects=total,
        num_found=by_masks,
        num_boxed=by_boxes,
        num_misnamed=misnamed,
        share=by_masks / total if total else 1.0,
    )


def _of_classes(predictor: Predictor, dataset: Dataset) -> Refound:
    maps = (
        (image_id, predictor.class_map(dataset.image(i)))
        for i, image_id in enumerate(dataset.image_ids.tolist())
    )
    metrics = evaluate_semantic(maps, dataset, class_names=predictor.class_names)
    return Refound(
        num_objects=-1,
        num_found=int((metrics.iou[1:] >= _IOU).sum()),
        share=max(metrics.miou, 0.0),
    )


def _count(found: Instances, truth: Instances) -> tuple[int, int, int, int]:
    """Return true objects, those found by masks, by boxes, and by masks under another class."""
    if truth.is_crowd is not None:
        truth = truth[(~truth.is_crowd).nonzero().flatten()]
    found = found[: len(truth)]
    boxes = pairwise_iou(found.boxes, truth.boxes).double().numpy()
    overlaps = boxes
    if found.masks is not None and truth.masks is not None:
        overlaps = found.masks.iou(truth.masks)
    is_same = found.labels.numpy()[:, None] == truth.labels.numpy()[None]
    right, anyhow = _pairs(overlaps * is_same), _pairs(overlaps)
    return len(truth), right, _pairs(boxes * is_same), max(0, anyhow - right)


def _pairs(overlaps: Float64[np.ndarray, "n m"]) -> int:
    """Return how many pairs of IoU 0.5 and more there are at most, each row and column once."""
    from scipy.optimize import linear_sum_assignment

    enough = (overlaps >= _IOU).astype(np.float64)
    return int(enough[linear_sum_assignment(enough, maximize=True)].sum())
