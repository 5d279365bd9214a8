"""How much of a found object a model still finds on a changed copy of its picture.

Works with any runtime, since it asks for nothing but predictions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Float64, UInt8

from maskwright.errors import ConfigError
from maskwright.inference import Predictor
from maskwright.inference.pictures import Picture
from maskwright.ops import pairwise_iou
from maskwright.structures import Instances

__all__ = ["DetectionScore", "Target", "require_target"]

Target: TypeAlias = Literal["object", "class", "mask"]
"""What is explained: "class" is the score of the object's class times the IoU of its box, "mask"
the IoU of its mask, "object" the score times the IoU of the mask."""


class DetectionScore:
    """Scores copies of a picture by the detection that is most like the object.

    D-RISE (Petsiuk et al. 2021, https://arxiv.org/abs/2006.03204), equations 1 to 4: the largest
    product of overlap and score over all detections, here those of the object's class, with
    overlaps of masks. A picture on which nothing of that class is found scores 0.

    Args:
        predictor: The model, calibrated or not.
        found: The object, alone, in the frame of the picture.
        target: What is explained.
        batch_size: Copies that go through the network together.

    Raises:
        ConfigError: "mask" of a model that finds boxes alone.
    """

    def __init__(
        self, predictor: Predictor, found: Instances, target: Target, *, batch_size: int = 4
    ) -> None:
        if len(found) != 1:
            raise ValueError(f"one object is explained at a time, got {len(found)}")
        require_target(target, has_masks=found.masks is not None)
        self._predictor, self._found = predictor, found
        self._target, self._batch_size = target, batch_size

    def __call__(self, pictures: Iterable[UInt8[np.ndarray, "h w 3"]]) -> Float64[np.ndarray, " n"]:
        """Return the score of each copy, 0 to 1."""
        copies: Iterator[Picture] = (Picture(image=image) for image in pictures)
        results = self._predictor.run(copies, batch_size=self._batch_size)
        return np.array([self._score(each) for each in results], np.float64)

    def _score(self, result: Instances) -> float:
        alike = result[(result.labels == self._found.labels[0]).nonzero().flatten()]
        if not len(alike):
            return 0.0
        if self._target == "class" or self._found.masks is None or alike.masks is None:
            overlap = pairwise_iou(self._found.boxes.cpu(), alike.boxes)[0].double().numpy()
        else:
            overlap = self._found.masks.iou(alike.masks)[0]
        scores = torch.ones(len(alike)) if self._target == "mask" else alike.scores
        assert scores is not None
        # boxes without area have no overlap, not an undefined one
        return float((np.nan_to_num(overlap) * scores.double().numpy()).max())


def require_target(target: Target, *, has_masks: bool) -> None:
    """Raise ConfigError where the mask is to be explained and there is none."""
    if target == "mask" and not has_masks:
        raise ConfigError(
            "this model finds boxes alone, so there is no mask to explain: take target class"
        )
