"""Pasting against torchvision, bit for bit."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torchvision.models.detection.roi_heads import paste_masks_in_image

from maskwright.errors import MaskError
from maskwright.masks import Masks

KINDS = ("noise", "blobs", "halves", "steps", "saturated", "nearly-half")


def make_crops(rng: np.random.Generator, kind: str, n: int, s: int) -> np.ndarray:
    if kind == "halves":
        return np.full((n, s, s), 0.5, np.float32)
    if kind == "steps":
        return (rng.integers(0, 5, (n, s, s)) / 4).astype(np.float32)
    if kind == "nearly-half":
        return (0.5 + rng.integers(-3, 4, (n, s, s)) * 2.0**-24).astype(np.float32)
    if kind == "noise":
        return rng.random((n, s, s), dtype=np.float32)
    y, x = (np.mgrid[:s, :s] + 0.5) / s - 0.5
    radius = rng.uniform(0.1, 0.6, (n, 1, 1)) + 0.1 * np.sin(np.arctan2(y, x) * 5)
    steepness = 200 if kind == "saturated" else 8
    logits = steepness * (radius - np.hypot(y, x)) + rng.normal(0, 0.3, (n, s, s))
    return torch.from_numpy(logits).float().sigmoid().numpy()


def make_boxes(rng: np.random.Generator, n: int, size: tuple[int, int]) -> np.ndarray:
    """Boxes of every size whose part inside the picture is not empty, beyond every border."""
    height, width = size
    centres = rng.uniform(0, 1, (n, 2)) * [width, height]
    halves = np.exp(rng.uniform(np.log(0.1), np.log(max(size)), (n, 2)))
    boxes = np.concatenate([centres - halves, centres + halves], axis=1)
    return np.where(rng.random((n, 1)) < 0.3, np.round(boxes), boxes).astype(np.float32)


def pasted(crops: np.ndarray, boxes: np.ndarray, size: tuple[int, int], t: float = 0.5) -> Masks:
    probs = paste_masks_in_image(torch.from_numpy(crops)[:, None], torch.from_numpy(boxes), size)
    return Masks.from_dense((probs > t)[:, 0].numpy())


@pytest.mark.parametrize("s", [1, 2, 14, 28, 56])
@pytest.mark.parametrize("kind", KINDS)
def test_paste_equals_torchvision_bit_for_bit(kind: str, s: int) -> None:
    rng = np.random.default_rng(s)
    for _ in range(25):
        size = tuple(rng.integers(1, 260, 2).tolist())
        n = int(rng.integers(0, 6))
        crops, boxes = make_crops(rng, kind, n, s), make_boxes(rng, n, size)
        assert Masks.paste(crops, boxes, size) == pasted(crops, boxes, size)


def test_paste_equals_torchvision_where_the_two_kernels_of_torch_meet() -> None:
    rng = np.random.default_rng(0)
    for width in range(56, 76):
        for height in range(126 - width, 132 - width):
            boxes = np.array([[3, 2, 3 + width, 2 + height]], np.float32)
            crops = make_crops(rng, "nearly-half", 1, 28)
            assert Masks.paste(crops, boxes, (90, 100)) == pasted(crops, boxes, (90, 100))


def test_paste_equals_torchvision_where_the_size_stays_the_same() -> None:
    rng = np.random.default_rng(0)
    for s in (14, 28, 62):
        for extra in (0, 1, 90):
            grown = np.array([[5, 6, 5 + s - 1, 6 + s + extra - 1]], np.float32)
            crops = make_crops(rng, "nearly-half", 1, s)
            assert Masks.paste(crops, grown, (190, 100)) == pasted(crops, grown, (190, 100))


@pytest.mark.parametrize("s", [29, 30, 31, 61, 62, 63, 95])
def test_crops_of_about_a_block_of_entries_equal_torchvision(s: int) -> None:
    rng = np.random.default_rng(s)
    for kind in KINDS:
        crops, boxes = make_crops(rng, kind, 3, s), make_boxes(rng, 3, (170, 210))
        assert Masks.paste(crops, boxes, (170, 210)) == pasted(crops, boxes, (170, 210))


def test_paste_into_a_large_picture_equals_torchvision() -> None:
    rng = np.random.default_rng(0)
    size = (1500, 2100)
    crops, boxes = make_crops(rng, "blobs", 6, 28), make_boxes(rng, 6, size)
    boxes[0] = [-300, -200, 2500, 1800]
    assert Masks.paste(crops, boxes, size) == pasted(crops, boxes, size)


@pytest.mark.parametrize("threshold", [0.0, 0.05, 0.3, 0.999, 1.0])
def test_other_thresholds_compare_as_torch_does(threshold: float) -> None:
    rng = np.random.default_rng(0)
    for kind in KINDS:
        crops, boxes = make_crops(rng, kind, 4, 14), make_boxes(rng, 4, (80, 90))
        found = Masks.paste(crops, boxes, (80, 90), threshold)
        assert found == pasted(crops, boxes, (80, 90), threshold)


def test_values_that_are_not_probabilities_still_equal_torchvision() -> None:
    rng = np.random.default_rng(0)
    for scale in (1e-30, 1e-3, 1e3, 1e30, 2e38):
        normal = np.clip(rng.normal(0, scale, (3, 14, 14)) + 0.5, -3.4e38, 3.4e38)
        crops = normal.astype(np.float32)
        boxes = make_boxes(rng, 3, (150, 90))
        assert Masks.paste(crops, boxes, (150, 90)) == pasted(crops, boxes, (150, 90))


@pytest.mark.parametrize(
    "box",
    [
        [5, 5, 5, 5],
        [5, 5, 5.4, 5.4],
        [8, 8, 3, 3],
        [8, 3, 3, 8],
        [0, 0, 0, 0],
        [-4, -4, 40, 40],
        [19.5, 9.5, 30, 30],
        [-0.9, -0.9, 0.4, 0.4],
        [100, 100, 120, 120],
        [19, 9, 20, 10],
    ],
)
def test_degenerate_boxes_equal_torchvision(box: list[float]) -> None:
    crops = np.full((1, 14, 14), 0.9, np.float32)
    boxes = np.array([box], np.float32)
    try:
        expected = pasted(crops, boxes, (10, 20))
    except RuntimeError:  # slices of different length: torchvision cannot paste this box
        expected = Masks.from_dense(np.zeros((1, 10, 20), bool))
    assert Masks.paste(crops, boxes, (10, 20)) == expected


def test_boxes_wholly_outside_give_empty_masks_where_torchvision_fails() -> None:
    boxes = [
        [-50, 2, -40, 8],
        [2, -50, 8, -40],
        [60, 2, 70, 8],
        [2, 60, 8, 70],
        [1e8, 1e8, 2e8, 2e8],
    ]
    masks = Masks.paste(np.ones((5, 28, 28)), boxes, (30, 40))
    assert masks.area.tolist() == [0] * 5


def test_tensors_and_nothing_are_taken() -> None:
    crops, boxes = torch.rand(2, 14, 14), torch.tensor([[0.0, 0, 9, 9], [3, 3, 8, 9]])
    assert Masks.paste(crops, boxes, (12, 13)) == Masks.paste(
        crops.numpy(), boxes.numpy(), (12, 13)
    )
    assert len(Masks.paste(torch.zeros(0, 28, 28), torch.zeros(0, 4), (12, 13))) == 0


@pytest.mark.parametrize(
    ("crops", "boxes", "message"),
    [
        (np.zeros((1, 1, 28, 28)), [[0, 0, 1, 1]], r"crops must be \(n, s, s\).*drop the channel"),
        (np.zeros((1, 28, 27)), [[0, 0, 1, 1]], r"crops must be \(n, s, s\).*got \(1, 28, 27\)"),
        (np.zeros((1, 28, 28), int), [[0, 0, 1, 1]], "floating point"),
        (np.full((2, 2, 2), np.nan), np.zeros((2, 4)), "crop 0 holds NaN"),
        (np.zeros((2, 2, 2)), [[0, 0, 1, 1]], r"one box per mask \(2\), got 1"),
        (np.zeros((2, 2, 2)), np.zeros((4, 2)), r"boxes must be \(n, 4\).*transposed"),
        (np.zeros((2, 2, 2)), [[0, 0, 1, 1], [0, 0, np.nan, 1]], "box 1 must be finite"),
        (np.zeros((1, 2, 2)), [[0, 0, 1e12, 1]], "box 0 must be finite"),
    ],
)
def test_bad_crops_and_boxes_are_refused(crops: object, boxes: object, message: str) -> None:
    with pytest.raises(MaskError, match=message):
        Masks.paste(crops, boxes, (30, 40))


def test_bad_thresholds_and_sizes_are_refused() -> None:
    with pytest.raises(MaskError, match="threshold must be from 0 to 1"):
        Masks.paste(np.zeros((0, 2, 2)), [], (3, 4), threshold=1.5)
    with pytest.raises(MaskError, match="image_size must be"):
        Masks.paste(np.zeros((0, 2, 2)), [], (0, 4))


CAPABILITY_CHECK = """
import numpy as np, torch
from torchvision.models.detection.roi_heads import paste_masks_in_image
from maskwright.masks import Masks

assert torch.backends.cpu.get_cpu_capability() == "DEFAULT"
rng = np.random.default_rng(0)
for n in range(40):
    size = tuple(rng.integers(20, 200, 2).tolist())
    crops = (0.5 + rng.integers(-3, 4, (3, 14, 14)) * 2.0**-24).astype(np.float32)
    corners = rng.uniform(0, 15, (3, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(1, 150, (3, 2))], 1).astype(np.float32)
    probs = paste_masks_in_image(torch.from_numpy(crops)[:, None], torch.from_numpy(boxes), size)
    assert (Masks.paste(crops, boxes, size).to_dense() == (probs > 0.5)[:, 0].numpy()).all()
"""


def test_paste_follows_the_kernels_of_torch_without_fused_arithmetic() -> None:
    environment = os.environ | {"ATEN_CPU_CAPABILITY": "default"}
    subprocess.run([sys.executable, "-c", CAPABILITY_CHECK], env=environment, check=True)
