"""Mask losses against versions written from the papers, one mask at a time in float64 NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt

from maskwright.errors import ConfigError
from maskwright.ops import (
    boundary_loss,
    dice_loss,
    lovasz_hinge_loss,
    lovasz_loss,
    mask_loss_names,
    parse_mask_loss,
    signed_distances,
)


def _masks() -> tuple[np.ndarray, np.ndarray]:
    """Logits of 8 masks of 9 x 11 cells, and the truth: blobs, an empty and a full one."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:9, :11]
    truth = np.stack(
        [(y - rng.uniform(2, 7)) ** 2 + (x - rng.uniform(2, 9)) ** 2 < 9 for _ in range(8)]
    )
    truth[6], truth[7] = False, True
    return rng.normal(0, 2, truth.shape) + 2.0 * truth, truth


def _flat(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array.reshape(len(array), -1))


def _iou_loss(wrong: np.ndarray, truth: np.ndarray) -> float:
    """1 - IoU of the mask in which just these cells are wrong: Berman et al., equation 5."""
    union = np.count_nonzero(truth | wrong)
    return np.count_nonzero(wrong) / union if union else 0.0


def _lovasz_extension(errors: np.ndarray, truth: np.ndarray) -> float:
    """Definition 1 of the paper, cell by cell: the rise of 1 - IoU times the error."""
    order = np.argsort(-errors, kind="stable")
    total, wrong, before = 0.0, np.zeros(len(truth), bool), 0.0
    for cell in order:
        wrong[cell] = True
        after = _iou_loss(wrong, truth)
        total += errors[cell] * (after - before)
        before = after
    return total


def _signed_distances(mask: np.ndarray) -> np.ndarray:
    """As Kervadec et al. compute them, with scipy, in units of the longer side."""
    if not mask.any() or mask.all():
        return np.zeros(mask.shape)
    outside = distance_transform_edt(~mask)
    inside = distance_transform_edt(mask)
    return (outside * ~mask - (inside - 1) * mask) / max(mask.shape)


def test_dice_is_the_papers() -> None:
    logits, truth = _masks()
    probs = 1 / (1 + np.exp(-logits))
    shared = (probs * truth).sum(axis=(1, 2))
    sizes = (probs**2).sum(axis=(1, 2)) + (truth**2).sum(axis=(1, 2))
    found = dice_loss(_flat(probs), _flat(truth.astype(np.float64)))
    np.testing.assert_allclose(found, 1 - 2 * shared / sizes, atol=1e-6)


def test_lovasz_is_the_extension_of_the_iou() -> None:
    logits, truth = _masks()
    for name, errors in {
        "hinge": np.maximum(0, 1 - logits * (2.0 * truth - 1)),
        "sigmoid": np.abs(truth - 1 / (1 + np.exp(-logits))),
    }.items():
        expected = [
            _lovasz_extension(one.ravel(), mask.ravel())
            for one, mask in zip(errors, truth, strict=True)
        ]
        found = (
            lovasz_hinge_loss(_flat(logits), _flat(truth))
            if name == "hinge"
            else lovasz_loss(_flat(errors), _flat(truth))
        )
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_lovasz_of_a_decided_mask_is_one_minus_its_iou() -> None:
    _, truth = _masks()
    drawn = np.roll(truth, 1, axis=2)
    found = lovasz_loss(_flat((drawn != truth).astype(np.float64)), _flat(truth))
    either = (drawn | truth).sum(axis=(1, 2))
    iou = np.where(either > 0, (drawn & truth).sum(axis=(1, 2)) / np.maximum(either, 1), 1.0)
    np.testing.assert_allclose(found, 1 - iou, atol=1e-6)


def test_distances_are_scipys() -> None:
    _, truth = _masks()
    expected = np.stack([_signed_distances(mask) for mask in truth])
    found = signed_distances(torch.from_numpy(truth))
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert (found[:6][torch.from_numpy(truth[:6])] <= 0).all()
    assert (found[:6][torch.from_numpy(~truth[:6])] > 0).all()


def test_the_boundary_loss_is_the_papers_up_to_its_constant() -> None:
    logits, truth = _masks()
    probs = 1 / (1 + np.exp(-logits))
    distances = np.stack([_signed_distances(mask) for mask in truth])
    constant = (distances * truth).mean(axis=(1, 2))  # equation 3: what equation 5 leaves out
    expected = (distances * probs).mean(axis=(1, 2)) - constant
    found = boundary_loss(_flat(probs), _flat(truth), _flat(distances))
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert (found >= 0).all()
    perfect = boundary_loss(_flat(truth.astype(np.float64)), _flat(truth), _flat(distances))
    assert (perfect == 0).all()


def test_gradients_are_those_of_the_functions() -> None:
    logits, truth = _masks()
    given, mask = _flat(logits)[:4].requires_grad_(), _flat(truth)[:4]
    distances = signed_distances(torch.from_numpy(truth)).flatten(1)[:4].double()
    losses = (
        lambda x: dice_loss(x.sigmoid(), mask.double()),
        lambda x: lovasz_loss((x.sigmoid() - mask.double()).abs(), mask),
        lambda x: boundary_loss(x.sigmoid(), mask, distances),
    )
    for loss in losses:
        assert torch.autograd.gradcheck(loss, given)
    # a hinge has no slope on one side of its corner: away from it
    assert torch.autograd.gradcheck(lambda x: lovasz_hinge_loss(x * 1.001, mask), given)


@pytest.mark.parametrize("count", [0, 3])
def test_no_masks_and_masks_of_nothing_give_finite_gradients(count: int) -> None:
    logits = torch.zeros((count, 16), requires_grad=True)
    nothing = torch.zeros((count, 16), dtype=torch.bool)
    distances = signed_distances(nothing.reshape(count, 4, 4)).flatten(1)
    losses = torch.stack(
        (
            dice_loss(logits.sigmoid(), nothing.float()),
            lovasz_hinge_loss(logits, nothing),
            boundary_loss(logits.sigmoid(), nothing, distances),
        )
    )
    assert losses.shape == (3, count)
    losses.sum().backward()
    assert logits.grad.isfinite().all()


def test_a_sum_of_losses_is_read_and_named() -> None:
    assert parse_mask_loss("bce") == (("cross_entropy", 1.0),)
    assert parse_mask_loss(" dice + 0.5 * lovasz") == (("dice", 1.0), ("lovasz", 0.5))
    assert mask_loss_names("lovasz") == ("mask",)
    assert mask_loss_names("bce+boundary") == ("mask_cross_entropy", "mask_boundary")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dise", "Did you mean 'dice'"),
        ("", "There are: cross_entropy, focal, dice, lovasz, boundary"),
        ("dice+bce+ce", "twice"),
        ("boundary", "add another, such as 'dice\\+boundary'"),
        ("-1*dice", "'-1' is not a weight above 0"),
        ("two*dice", "'two' is not a weight"),
        ("nan*dice", "not a weight"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_way_out(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_mask_loss(text)
