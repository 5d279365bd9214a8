"""Class losses against torchvision, and against the papers' equations in float64 NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import sigmoid_focal_loss as torchvisions_focal_loss

from maskwright.errors import ConfigError
from maskwright.ops import (
    CrossEntropy,
    Focal,
    class_balanced_weights,
    class_weights,
    object_weights,
    sigmoid_focal_loss,
    softmax_class_loss,
)

_COUNTS = (4000, 250, 30, 1)


def _scored() -> tuple[np.ndarray, np.ndarray]:
    """Logits of background and four classes, and the class of each box: each comes."""
    rng = np.random.default_rng(0)
    return rng.normal(0, 3, (60, 5)), np.arange(60) % 5


def _probs_of_the_right(logits: np.ndarray, classes: np.ndarray) -> np.ndarray:
    grown = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (grown / grown.sum(axis=1, keepdims=True))[np.arange(len(classes)), classes]


@pytest.mark.parametrize("beta", [0.9, 0.99, 0.999, 0.9999])
def test_weights_are_the_inverse_effective_numbers_summing_to_the_classes(beta: float) -> None:
    counts = np.array(_COUNTS, dtype=np.float64)
    weights = (1 - beta) / (1 - beta**counts)
    np.testing.assert_allclose(
        class_balanced_weights(_COUNTS, beta), weights * 4 / weights.sum(), rtol=1e-5
    )
    mean = (weights * counts).sum() / counts.sum()
    np.testing.assert_allclose(object_weights(_COUNTS, beta), weights / mean, rtol=1e-5)


def test_the_ends_of_beta_are_equal_weights_and_inverse_counts() -> None:
    assert class_balanced_weights(_COUNTS, 0.0).tolist() == [1.0] * 4
    inverse = 1 / np.array(_COUNTS)
    found = class_balanced_weights(_COUNTS, 1 - 1e-9)
    np.testing.assert_allclose(found, inverse * 4 / inverse.sum(), rtol=1e-4)


def test_classes_without_objects_have_no_weight_and_change_no_other() -> None:
    alone, beside = class_balanced_weights([50, 5], 0.99), class_balanced_weights([50, 0, 5], 0.99)
    assert beside.tolist() == [alone[0].item(), 0.0, alone[1].item()]
    assert class_balanced_weights([0, 0], 0.99).tolist() == [0.0, 0.0]
    assert object_weights([0, 0], 0.99).tolist() == [0.0, 0.0]
    assert class_balanced_weights([], 0.99).shape == (0,)


def test_cross_entropy_is_torchs_to_the_bit() -> None:
    logits, classes = map(torch.from_numpy, _scored())
    expected = F.cross_entropy(logits, classes, reduction="none")
    assert torch.equal(softmax_class_loss(CrossEntropy(), logits, classes), expected)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("alpha", [None, 0.25])
def test_the_focal_loss_of_a_softmax_is_the_papers(gamma: float, alpha: float | None) -> None:
    logits, classes = _scored()
    right = _probs_of_the_right(logits, classes)
    expected = -((1 - right) ** gamma) * np.log(right)
    if alpha is not None:
        expected *= np.where(classes > 0, alpha, 1 - alpha)
    found = softmax_class_loss(
        Focal(gamma=gamma, alpha=alpha), torch.from_numpy(logits), torch.from_numpy(classes)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_balance_multiplies_the_loss_of_objects_by_their_class_and_leaves_background() -> None:
    logits, classes = map(torch.from_numpy, _scored())
    weights = object_weights(_COUNTS, 0.999).double()
    for loss in (CrossEntropy, Focal):
        plain = softmax_class_loss(loss(), logits, classes)
        balanced = softmax_class_loss(loss(balance=0.999, class_counts=_COUNTS), logits, classes)
        background = classes == 0
        assert torch.equal(balanced[background], plain[background])
        expected = plain[~background] * weights[classes[~background] - 1]
        torch.testing.assert_close(balanced[~background], expected)


def test_counts_of_other_classes_are_refused_with_a_way_out() -> None:
    with pytest.raises(ConfigError, match=r"weighs 3 classes .* has 4 numbers: give one per class"):
        class_weights(CrossEntropy(balance=0.9, class_counts=_COUNTS), 3)
    with pytest.raises(ConfigError, match="has 0 numbers"):
        class_weights(Focal(balance=0.9), 3)
    assert class_weights(Focal(), 3) is None


@pytest.mark.parametrize("gamma", [0.0, 2.0])
@pytest.mark.parametrize("alpha", [None, 0.25])
def test_the_focal_loss_of_a_sigmoid_is_torchvisions(gamma: float, alpha: float | None) -> None:
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.normal(0, 4, (40, 3)))
    targets = torch.from_numpy(np.concatenate([rng.integers(0, 2, (20, 3)), rng.random((20, 3))]))
    expected = torchvisions_focal_loss(
        logits, targets, alpha=-1 if alpha is None else alpha, gamma=gamma
    )
    found = sigmoid_focal_loss(logits, targets, alpha=alpha, gamma=gamma)
    torch.testing.assert_close(found, expected)


def test_gradients_are_those_of_the_functions() -> None:
    logits, classes = map(torch.from_numpy, _scored())
    logits.requires_grad_()
    for loss in (CrossEntropy(), Focal(), Focal(balance=0.99, class_counts=_COUNTS)):
        assert torch.autograd.gradcheck(
            lambda given, loss=loss: softmax_class_loss(loss, given, classes), logits
        )
    targets = torch.rand(60, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.autograd.gradcheck(lambda given: sigmoid_focal_loss(given, targets), logits)


def test_certain_logits_and_no_boxes_give_no_nan() -> None:
    logits = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    for loss in (CrossEntropy(), Focal(), Focal(gamma=0.5)):
        logits.grad = None
        found = softmax_class_loss(loss, logits, torch.tensor([0, 0]))
        assert found[0] == 0
        found.sum().backward()
        assert logits.grad.isfinite().all()
        nothing = torch.zeros((0, 2), requires_grad=True)
        total = softmax_class_loss(loss, nothing, torch.zeros(0, dtype=torch.int64)).sum()
        total.backward()
        assert total == 0
