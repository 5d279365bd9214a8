from __future__ import annotations

import numpy as np
import pytest

from maskwright.detectors.ridge import RidgeRegression


def _rows(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    inputs = rng.normal(3.0, 1.0, (40, 6))
    outputs = inputs @ rng.normal(size=(6, 2)) + 5 + rng.normal(0, 0.1, (40, 2))
    return inputs, outputs


@pytest.mark.parametrize("penalty", [1e-6, 1.0, 1000.0])
def test_rows_that_come_in_lots_give_the_closed_form_of_all_of_them(penalty: float) -> None:
    inputs, outputs = _rows()
    regression = RidgeRegression(6, 2)
    for start, stop in ((0, 7), (7, 7), (7, 20), (20, 40)):
        regression.add(inputs[start:stop], outputs[start:stop])
    weight, bias = regression.solve(penalty)
    centred = inputs - inputs.mean(axis=0)
    inverse = np.linalg.inv(centred.T @ centred + penalty * np.eye(6))
    expected = (inverse @ centred.T @ (outputs - outputs.mean(axis=0))).T
    np.testing.assert_allclose(weight, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(
        inputs @ weight.T + bias,
        centred @ expected.T + outputs.mean(axis=0),
        rtol=1e-9,
    )


def test_the_bias_is_not_penalised() -> None:
    inputs, outputs = _rows()
    regression = RidgeRegression(6, 2)
    regression.add(inputs, outputs)
    weight, bias = regression.solve(penalty=1e12)
    np.testing.assert_allclose(weight, 0, atol=1e-8)
    np.testing.assert_allclose(bias, outputs.mean(axis=0), rtol=1e-6)


def test_no_rows_predict_zero() -> None:
    weight, bias = RidgeRegression(3, 4).solve(penalty=1000.0)
    assert weight.shape == (4, 3)
    assert not weight.any()
    assert not bias.any()
