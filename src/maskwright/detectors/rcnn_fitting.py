"""What R-CNN fits on the features of its finished network: SVMs and box regressions.

R-CNN, Girshick et al. 2014, https://arxiv.org/abs/1311.2524, section 2.3 and appendix C.

Shapes: k classes, d features, n proposals of a picture, p true boxes of all pictures.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from maskwright.detectors.hard_negatives import HardNegativeMiner
from maskwright.detectors.ridge import RidgeRegression
from maskwright.ops import IGNORED, encode_boxes, match_targets, pairwise_iou
from maskwright.structures import Instances

__all__ = ["RegionFitting"]

_FEATURE_NORM = 20.0
"""Features are scaled to this mean length, for which cost and penalty are meant (rcnn_train.m)."""


class RegionFitting:
    """The SVM and the box regression of every class, fitted to pictures one after another.

    Features are scaled inside; the tensors that come out take them as they are.

    Args:
        features: Of the true boxes of all pictures, crowds left out; the SVMs' positives.
        labels: Class of each.
        num_classes: Classes of objects.
        svm_cost: C, the weight of errors against the width of the margin.
        negative_iou: A proposal that overlaps no object of a class by as much is its negative.
        regression_iou: A proposal that overlaps an object by as much teaches its regression.
    """

    def __init__(
        self,
        features: Float[Tensor, "p d"],
        labels: Int64[Tensor, " p"],
        num_classes: int,
        *,
        svm_cost: float,
        negative_iou: float,
        regression_iou: float,
    ) -> None:
        mean_norm = float(features.norm(dim=1).mean()) if len(features) else 0.0
        self._scale = _FEATURE_NORM / mean_norm if mean_norm else 1.0
        self._negative_iou, self._regression_iou = negative_iou, regression_iou
        positives, numbers = self._scaled(features), labels.cpu().numpy()
        self._miners = [
            HardNegativeMiner(positives[numbers == label], cost=svm_cost)
            for label in range(num_classes)
        ]
        self._regressions = [RidgeRegression(positives.shape[1], 4) for _ in self._miners]

    def see(
        self, features: Float[Tensor, "n d"], boxes: Float[Tensor, "n 4"], target: Instances
    ) -> None:
        """Learn from the proposals of one picture; those in a crowd teach nothing.

        Args:
            features: Of the proposals.
            boxes: The proposals.
            target: The true objects, in the same frame.
        """
        described = self._scaled(features)
        boxes, true_boxes, labels = boxes.cpu(), target.boxes.cpu(), target.labels.cpu()
        on_processor = Instances(
            image_size=target.image_size,
            boxes=true_boxes,
            labels=labels,
            is_crowd=None if target.is_crowd is None else target.is_crowd.cpu(),
        )
        iou = self._regression_iou
        matched = match_targets(boxes, on_processor, foreground=iou, background=iou)
        matched_labels = torch.full_like(matched, -1)
        matched_labels[matched >= 0] = labels[matched[matched >= 0]]
        overlaps = pairwise_iou(boxes, true_boxes)  # (n, t)
        if target.is_crowd is not None:
            overlaps[:, target.is_crowd.cpu()] = 0.0
        for label, (miner, regression) in enumerate(
            zip(self._miners, self._regressions, strict=True)
        ):
            nearest = overlaps[:, labels == label].amax(dim=1) if (labels == label).any() else 0.0
            negative = (torch.as_tensor(nearest) < self._negative_iou) & (matched != IGNORED)
            miner.see(described[negative.numpy()])
            near = matched_labels == label
            deltas = encode_boxes(true_boxes[matched[near]], boxes[near])
            regression.add(described[near.numpy()], deltas.double().numpy())

    def finish(self, ridge_penalty: float) -> dict[str, Float[Tensor, ...]]:
        """Return `svm_weight` (k, d), `svm_bias` (k,), `ridge_weight` (k, 4, d), `ridge_bias`.

        The margin of class k is `features @ svm_weight[k] + svm_bias[k]`, the deltas of its box
        are `ridge_weight[k] @ features + ridge_bias[k]`.
        """
        machines = [miner.finish() for miner in self._miners]
        lines = [regression.solve(ridge_penalty) for regression in self._regressions]
        fitted = {
            "svm_weight": np.stack([weight for weight, _ in machines]) * self._scale,
            "svm_bias": np.array([bias for _, bias in machines]),
            "ridge_weight": np.stack([weight for weight, _ in lines]) * self._scale,
            "ridge_bias": np.stack([bias for _, bias in lines]),
        }
        return {name: torch.from_numpy(value).float() for name, value in fitted.items()}

    def _scaled(self, features: Float[Tensor, "n d"]) -> Float[np.ndarray, "n d"]:
        return np.asarray(features.double().cpu().numpy() * self._scale)
