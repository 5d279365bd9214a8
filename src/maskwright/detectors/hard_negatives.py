"""Linear SVMs learnt from a stream of negatives of which only the hard ones are kept.

R-CNN, Girshick et al. 2014, https://arxiv.org/abs/1311.2524, section 2.3 and appendix B, after
Felzenszwalb et al., "Object Detection with Discriminatively Trained Part Based Models", 2010. The
numbers that the paper leaves out are those of the authors' code (rcnn_train.m).

Shapes: d features, n rows, p positives. All in float64 on the processor.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

__all__ = ["HardNegativeMiner"]

_POSITIVE_WEIGHT = 2.0  # how much more a wrong positive costs than a wrong negative
_BIAS_SCALE = 10.0  # the constant feature behind the bias, large so that the bias is hardly shrunk
_HARD_MARGIN = -1.0  # a negative above it lies within the margin or beyond
_EASY_MARGIN = -1.2  # a kept negative below it is let go
_ABSENT_BIAS = -2.0  # the margin of everything for a class without positives
_MOST_ITERATIONS = 20_000


class HardNegativeMiner:
    """A linear SVM of one class, learnt from all its positives and a stream of negatives.

    Of each lot of negatives only the hard ones are kept, which the present SVM does not clearly
    refuse; once `retrain_after` of them are new, the SVM is trained again and forgets those that
    have become easy. One pass over the pictures is enough (section 2.3).

    Args:
        positives: All of them; a class without any gets an SVM that refuses everything.
        cost: C, the weight of errors against the width of the margin.
        retrain_after: New hard negatives after which the SVM is trained.

    Attributes:
        weight: (d,) of the present SVM, zero before the first training.
        bias: Of the present SVM.
    """

    def __init__(
        self, positives: Float[np.ndarray, "p d"], *, cost: float, retrain_after: int = 2000
    ) -> None:
        self.weight = np.zeros(positives.shape[1])
        self.bias = 0.0
        self._positives = positives
        self._kept = positives[:0]
        self._cost = cost
        self._retrain_after = retrain_after
        self._num_new = 0

    @property
    def num_kept(self) -> int:
        """How many negatives are kept at present."""
        return len(self._kept)

    def see(self, negatives: Float[np.ndarray, "n d"]) -> None:
        """Keep the hard ones; train again when there are enough new ones."""
        if not len(self._positives):
            return
        hard = negatives[self.margins(negatives) > _HARD_MARGIN]
        self._kept = np.concatenate((self._kept, hard))
        self._num_new += len(hard)
        if self._num_new >= self._retrain_after:
            self._train()

    def finish(self) -> tuple[Float[np.ndarray, " d"], float]:
        """Train on what is new since the last time; return weight and bias.

        The margin is `features @ weight + bias`: above 0 it is the class.
        """
        if not len(self._positives):
            self.bias = _ABSENT_BIAS
        elif self._num_new:
            self._train()
        return self.weight, self.bias

    def margins(self, features: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        """Return how far each row is on the side of the class, in units of the margin."""
        return np.asarray(features @ self.weight + self.bias)

    def _train(self) -> None:
        from sklearn.svm import LinearSVC

        svm = LinearSVC(
            C=self._cost,
            loss="hinge",
            dual=True,
            class_weight={1: _POSITIVE_WEIGHT},
            intercept_scaling=_BIAS_SCALE,
            max_iter=_MOST_ITERATIONS,
            random_state=0,
        )
        is_positive = np.zeros(len(self._positives) + len(self._kept), dtype=np.int64)
        is_positive[: len(self._positives)] = 1
        svm.fit(np.concatenate((self._positives, self._kept)), is_positive)
        self.weight, self.bias = svm.coef_[0], float(svm.intercept_[0])
        self._kept = self._kept[self.margins(self._kept) >= _EASY_MARGIN]
        self._num_new = 0
