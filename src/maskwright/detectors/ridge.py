"""Ridge regression: least squares with a penalty on the weights.

As R-CNN regresses boxes: Girshick et al. 2014, https://arxiv.org/abs/1311.2524, appendix C.

Shapes: d inputs, o outputs, n rows. All in float64 on the processor.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

__all__ = ["RidgeRegression"]


class RidgeRegression:
    """Least squares with a penalty on the weights, from rows that come a few at a time.

    Keeps sums only: d * (d + o) numbers, however many rows come. The outputs' means are not
    penalised, so without informative features the mean output is predicted.

    Args:
        num_inputs: d.
        num_outputs: o.

    >>> regression = RidgeRegression(1, 1)
    >>> regression.add(np.array([[0.0], [1.0], [2.0]]), np.array([[1.0], [3.0], [5.0]]))
    >>> weight, bias = regression.solve(penalty=1e-9)
    >>> weight.round(3).tolist(), bias.round(3).tolist()
    ([[2.0]], [1.0])
    """

    def __init__(self, num_inputs: int, num_outputs: int) -> None:
        self._count = 0
        self._sum_inputs = np.zeros(num_inputs)
        self._sum_outputs = np.zeros(num_outputs)
        self._squares = np.zeros((num_inputs, num_inputs))
        self._products = np.zeros((num_inputs, num_outputs))

    def add(self, inputs: Float[np.ndarray, "n d"], outputs: Float[np.ndarray, "n o"]) -> None:
        """Add rows."""
        self._count += len(inputs)
        self._sum_inputs += inputs.sum(axis=0)
        self._sum_outputs += outputs.sum(axis=0)
        self._squares += inputs.T @ inputs
        self._products += inputs.T @ outputs

    def solve(self, penalty: float) -> tuple[Float[np.ndarray, "o d"], Float[np.ndarray, " o"]]:
        """Return weight and bias of the smallest squared error plus penalty.

        With x and y centred: weight = y' x (x' x + penalty 1)^-1 (appendix C, equation 5).

        Args:
            penalty: Of the squared weights, above 0; the paper's is 1000.

        Returns:
            The prediction is `inputs @ weight.T + bias`; all zero without rows.
        """
        count = max(self._count, 1)
        mean_input, mean_output = self._sum_inputs / count, self._sum_outputs / count
        squares = self._squares - count * np.outer(mean_input, mean_input)
        products = self._products - count * np.outer(mean_input, mean_output)
        weight = np.linalg.solve(squares + penalty * np.eye(len(squares)), products).T
        return weight, mean_output - weight @ mean_input
