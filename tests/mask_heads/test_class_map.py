from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from contracts.made_up import ellipses, random_features
from maskwright.mask_heads import FCN
from maskwright.mask_heads.class_map import class_counts
from maskwright.mask_heads.class_map_losses import class_map_loss
from maskwright.structures import Instances

_SIZE = (50, 71)
_BOXES = [(5, 6, 30, 40), (20, 20, 70, 49), (22, 24, 40, 36), (0, 0, 71, 20), (50, 2, 60, 12)]
_LABELS = [0, 2, 1, 2, 0]
_CROWD = torch.tensor([False, False, False, True, False])


def _targets() -> Instances:
    return replace(ellipses(_SIZE, _BOXES, _LABELS), is_crowd=_CROWD)


def _dense_counts(targets: Instances, map_size: tuple[int, int], stride: int) -> np.ndarray:
    """Pixel by pixel: the smallest object of a pixel has it; a crowd alone is not counted."""
    masks = targets.masks.to_dense()
    areas = masks.sum(axis=(1, 2))
    counts = np.zeros((4, *map_size))
    for y in range(_SIZE[0]):
        for x in range(_SIZE[1]):
            owners = [i for i in range(len(masks)) if masks[i, y, x]]
            single = [i for i in owners if not _CROWD[i]]
            if owners and not single:
                continue
            channel = 0
            if single:
                channel = 1 + _LABELS[min(single, key=lambda i: areas[i])]
            counts[channel, y // stride, x // stride] += 1
    return counts


@pytest.mark.parametrize(("stride", "map_size"), [(4, (16, 24)), (8, (7, 9)), (1, (50, 71))])
def test_counts_equal_those_of_dense_masks(stride: int, map_size: tuple[int, int]) -> None:
    found = class_counts(_targets(), 3, map_size, stride)
    np.testing.assert_array_equal(found.numpy(), _dense_counts(_targets(), map_size, stride))
    assert found.sum() < _SIZE[0] * _SIZE[1], "the crowd is not counted"


def test_a_picture_without_objects_is_background_and_its_padding_nothing() -> None:
    counts = class_counts(ellipses((10, 6), [], []), 2, (4, 4), stride=4)
    assert counts[0].tolist() == [[16, 8, 0, 0], [16, 8, 0, 0], [8, 4, 0, 0], [0, 0, 0, 0]]
    assert not counts[1:].any()


def test_targets_without_masks_are_refused() -> None:
    with pytest.raises(ValueError, match="no masks"):
        class_counts(replace(_targets(), masks=None), 3, (16, 24), 4)


def test_the_loss_is_the_mean_cross_entropy_of_the_counted_pixels() -> None:
    logits = torch.randn(1, 4, 13, 18, generator=torch.Generator().manual_seed(0))
    counts = class_counts(_targets(), 3, (13, 18), 4)
    per_pixel = logits.repeat_interleave(4, 2).repeat_interleave(4, 3)[..., : _SIZE[0], : _SIZE[1]]
    truth = torch.from_numpy(_dense_counts(_targets(), _SIZE, 1))
    labels = torch.where(truth.sum(0) > 0, truth.argmax(0), -1)
    expected = F.cross_entropy(per_pixel, labels[None], ignore_index=-1)
    torch.testing.assert_close(class_map_loss(logits, counts[None]), expected)


def test_a_picture_that_is_one_crowd_teaches_nothing() -> None:
    whole = ellipses((16, 16), [(-8, -8, 24, 24)], [0])
    counts = class_counts(replace(whole, is_crowd=torch.tensor([True])), 1, (4, 4), 4)
    logits = torch.randn(1, 2, 4, 4, requires_grad=True)
    loss = class_map_loss(logits, counts[None])
    loss.backward()
    assert loss == 0
    assert not logits.grad.any()


@torch.no_grad()
def test_a_picture_without_objects_teaches_background() -> None:
    head = FCN.Config(hidden_channels=8).build({4: 8}, 2).eval()
    features = random_features({4: 8}, 1, (32, 32))
    losses = head.loss(features, [], (ellipses((32, 32), [], []),))
    expected = -head.class_logits(features).log_softmax(1)[:, 0].mean()
    torch.testing.assert_close(losses["class_map"], expected)


@torch.no_grad()
def test_crops_are_the_maps_own_probabilities_where_boxes_lie_on_cells() -> None:
    head = FCN.Config(strides=(4,), hidden_channels=8, crop_size=6).build({4: 8}, 2).eval()
    features = random_features({4: 8}, 2, (48, 64))
    probs = head.class_logits(features).softmax(dim=1)
    box = torch.tensor([[8.0, 12.0, 32.0, 36.0]])  # columns 2 to 8, rows 3 to 9
    found = [
        Instances(image_size=(48, 64), boxes=box, labels=torch.tensor([label])) for label in (1, 0)
    ]
    first, second = head.crops(features, found)
    torch.testing.assert_close(first[0], probs[0, 2, 3:9, 2:8])
    torch.testing.assert_close(second[0], probs[1, 1, 3:9, 2:8])
