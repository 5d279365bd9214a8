from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.models.detection._utils import BoxCoder
from torchvision.ops import box_iou, clip_boxes_to_image

from maskwright.ops import (
    are_larger,
    box_areas,
    clip_boxes,
    decode_boxes,
    encode_boxes,
    pairwise_coverage,
    pairwise_iou,
    scale_boxes,
)


def random_boxes(count: int, seed: int = 0, size: float = 100.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand((count, 2, 2), generator=generator) * size
    low, high = corners.min(dim=1).values, corners.max(dim=1).values
    return torch.cat((low, high + 5), dim=1)


def test_iou_equals_torchvisions_bit_for_bit() -> None:
    one, other = random_boxes(40), random_boxes(30, seed=1)
    assert torch.equal(pairwise_iou(one, other), box_iou(one, other))


def test_coverage_is_the_shared_part_of_the_first() -> None:
    one, other = random_boxes(20), random_boxes(10, seed=1)
    a, b = one.double().numpy(), other.double().numpy()
    width = np.minimum(a[:, None, 2], b[None, :, 2]) - np.maximum(a[:, None, 0], b[None, :, 0])
    height = np.minimum(a[:, None, 3], b[None, :, 3]) - np.maximum(a[:, None, 1], b[None, :, 1])
    area = (a[:, 2] - a[:, 0]) * (a[:, 3] - a[:, 1])
    expected = width.clip(0) * height.clip(0) / area[:, None]
    np.testing.assert_allclose(pairwise_coverage(one, other).numpy(), expected, atol=1e-5)


def test_clipping_equals_torchvisions() -> None:
    boxes = random_boxes(50, size=300.0) - 100
    assert torch.equal(clip_boxes(boxes, (80, 120)), clip_boxes_to_image(boxes, (80, 120)))


@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0, 1.0), (10.0, 10.0, 5.0, 5.0)])
def test_codes_equal_torchvisions(weights: tuple[float, float, float, float]) -> None:
    boxes, anchors = random_boxes(60), random_boxes(60, seed=1)
    coder = BoxCoder(weights)
    deltas = encode_boxes(boxes, anchors, weights)
    assert torch.equal(deltas, coder.encode_single(boxes, anchors))
    noisy = deltas + torch.randn(60, 4, generator=torch.Generator().manual_seed(2))
    assert torch.equal(decode_boxes(noisy, anchors, weights), coder.decode_single(noisy, anchors))


def test_decoding_what_was_encoded_gives_the_box_back() -> None:
    boxes, anchors = random_boxes(60), random_boxes(60, seed=1)
    weights = (10.0, 10.0, 5.0, 5.0)
    back = decode_boxes(encode_boxes(boxes, anchors, weights), anchors, weights)
    torch.testing.assert_close(back, boxes, atol=1e-3, rtol=1e-4)


_delta = st.floats(-3, 3, width=32)


@given(st.tuples(_delta, _delta, _delta, _delta), st.integers(0, 1000))
def test_encoding_what_was_decoded_gives_the_deltas_back(
    deltas: tuple[float, float, float, float], seed: int
) -> None:
    wanted = torch.tensor([deltas], dtype=torch.float64)
    anchors = random_boxes(1, seed=seed).double()
    back = encode_boxes(decode_boxes(wanted, anchors), anchors)
    torch.testing.assert_close(back, wanted, atol=1e-6, rtol=1e-6)


def test_huge_scales_are_clamped() -> None:
    anchor = torch.tensor([[0.0, 0.0, 16.0, 16.0]])
    box = decode_boxes(torch.tensor([[0.0, 0.0, 99.0, math.inf]]), anchor)
    assert box.isfinite().all()
    torch.testing.assert_close(box[0, 2] - box[0, 0], torch.tensor(1000.0))


def test_anchors_are_broadcast_over_classes() -> None:
    deltas = torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(0))
    anchors = random_boxes(5)
    together = decode_boxes(deltas, anchors[:, None])
    for label in range(3):
        assert torch.equal(together[:, label], decode_boxes(deltas[:, label], anchors))


def test_scaling_there_and_back_changes_nothing() -> None:
    boxes = random_boxes(10)
    there = scale_boxes(boxes, (427, 640), (800, 1199))
    torch.testing.assert_close(scale_boxes(there, (800, 1199), (427, 640)), boxes)


def test_no_boxes_give_no_boxes() -> None:
    none, some = random_boxes(0), random_boxes(3)
    assert pairwise_iou(none, some).shape == (0, 3)
    assert pairwise_iou(some, none).shape == (3, 0)
    assert pairwise_coverage(none, some).shape == (0, 3)
    assert box_areas(none).shape == (0,)
    assert are_larger(none, 1.0).shape == (0,)
    for result in (
        clip_boxes(none, (4, 4)),
        encode_boxes(none, none),
        decode_boxes(none, none),
        scale_boxes(none, (4, 4), (8, 8)),
    ):
        assert result.shape == (0, 4)
