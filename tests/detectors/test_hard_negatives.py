from __future__ import annotations

import numpy as np
import pytest

from maskwright.detectors.hard_negatives import HardNegativeMiner

pytest.importorskip("sklearn", reason="only training of R-CNN needs scikit-learn")


def _classes(num_negatives: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    """Features of length 20 that a plane separates; few negatives are near it."""
    rng = np.random.default_rng(0)
    positives = rng.normal((2.0, 1.0, 0.0), 0.2, (30, 3))
    negatives = rng.normal((-2.0, 0.0, 0.0), 0.8, (num_negatives, 3))
    features = np.concatenate((positives, negatives))
    features *= 20 / np.linalg.norm(features, axis=1, keepdims=True)
    keep = features[30:, 0] < 10
    return features[:30], features[30:][keep]


def test_mined_negatives_give_the_svm_of_all_negatives() -> None:
    """One pass with a small memory ends near the SVM that sees everything at once."""
    from sklearn.svm import LinearSVC

    positives, negatives = _classes()
    miner = HardNegativeMiner(positives, cost=0.1, retrain_after=100)
    for start in range(0, len(negatives), 50):
        miner.see(negatives[start : start + 50])
    weight, bias = miner.finish()
    assert miner.num_kept < len(negatives) / 10
    everything = LinearSVC(
        C=0.1, loss="hinge", class_weight={1: 2.0}, intercept_scaling=10.0, max_iter=100_000
    ).fit(np.concatenate((positives, negatives)), [1] * len(positives) + [0] * len(negatives))
    expected = everything.decision_function(negatives)
    np.testing.assert_allclose(negatives @ weight + bias, expected, atol=0.1)
    assert (positives @ weight + bias > 0).all()
    assert (negatives @ weight + bias < 0).all()


def test_only_negatives_within_the_margin_are_kept() -> None:
    positives, negatives = _classes()
    miner = HardNegativeMiner(positives, cost=0.1, retrain_after=200)
    miner.see(negatives[:200])
    kept = miner.num_kept
    easy = negatives[miner.margins(negatives) < -1.5]
    assert len(easy) > 100
    miner.see(easy)
    assert miner.num_kept == kept < 200
    weight = miner.weight
    assert np.array_equal(miner.finish()[0], weight)  # nothing new, nothing trained


def test_a_class_without_positives_refuses_everything() -> None:
    miner = HardNegativeMiner(np.zeros((0, 3)), cost=0.001)
    miner.see(_classes()[1])
    weight, bias = miner.finish()
    assert not weight.any()
    assert bias < -1
    assert miner.num_kept == 0


def test_a_class_without_negatives_neither_fails_nor_decides() -> None:
    miner = HardNegativeMiner(_classes()[0], cost=0.001)
    miner.see(np.zeros((0, 3)))
    weight, bias = miner.finish()
    assert not weight.any()
    assert bias == 0


def test_the_same_pictures_give_the_same_svm() -> None:
    positives, negatives = _classes()
    found = []
    for _ in range(2):
        miner = HardNegativeMiner(positives, cost=0.01, retrain_after=500)
        miner.see(negatives)
        found.append(miner.finish())
    assert np.array_equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]
