"""Boundary AP against the definition, written out in NumPy, matched by pycocotools."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from maskwright.evaluation import evaluate

# pycocotools 2.0.11 decodes by an __array__ without the copy argument that NumPy 2 asks for.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

DILATION = 0.02


def _boundary(mask: np.ndarray) -> np.ndarray:
    """Pixels of `mask` within round(0.02 diagonal) steps (eight neighbours) of its outside.

    A pixel is inner if the whole square window around it is in the mask, what lies beyond the
    picture being outside; sums over windows come off an integral image of the mask's own box.
    """
    reach = max(1, round(DILATION * float(np.hypot(*mask.shape))))
    edge = np.zeros_like(mask)
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return edge
    box = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    padded = np.pad(mask[box], reach).astype(np.int64)
    total = np.pad(padded.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    side = 2 * reach + 1
    windows = total[side:, side:] - total[:-side, side:] - total[side:, :-side]
    inner = windows + total[:-side, :-side] == side**2
    edge[box] = mask[box] & ~inner
    return edge


def _dense(one: dict) -> np.ndarray:
    segmentation = one["segmentation"]  # pycocotools has made it compressed run lengths
    return coco_mask.decode(segmentation).astype(bool)


def _overlaps(found: list[dict], true: list[dict]) -> np.ndarray:
    """min(mask IoU, boundary IoU); against a crowd the share of the detection inside it."""
    masks = [[_dense(one) for one in group] for group in (found, true)]
    crowd = np.array([one["iscrowd"] for one in true], bool)
    by_mask = _iou(*masks, crowd)
    by_edge = _iou(*([_boundary(mask) for mask in group] for group in masks), crowd)
    return np.where(crowd, by_mask, np.minimum(by_mask, by_edge))


def _iou(found: list[np.ndarray], true: list[np.ndarray], crowd: np.ndarray) -> np.ndarray:
    left, right = (np.stack(group).reshape(len(group), -1) for group in (found, true))
    shared = left.astype(np.float32) @ right.T.astype(np.float32)  # exact up to 2**24 pixels
    area = left.sum(1, dtype=np.float64)[:, None]
    total = np.where(crowd, area, area + right.sum(1) - shared)
    return shared / np.maximum(total, 1)


@pytest.mark.parametrize("small", [True, False], ids=["dilation 1", "dilation up to 7"])
@pytest.mark.parametrize("seed", range(3))
def test_boundary_numbers_equal_the_definition(seed, small, scene, oracle, twelve) -> None:
    coco, results = scene(seed + 40, small=small, num_images=14)
    numbers = evaluate(results, coco, kinds=("boundary",))["boundary"]
    expected = twelve(oracle(coco, results, "boundary", overlaps=_overlaps))
    np.testing.assert_allclose(list(numbers.values()), expected, rtol=0, atol=1e-12)
    assert 0 < numbers["AP50"] < 1


def test_boundary_is_never_above_mask_ap_and_below_it_for_ragged_outlines(scene) -> None:
    metrics = evaluate(*reversed(scene(45, num_images=12)), kinds=("segm", "boundary"))
    assert metrics["boundary"]["AP"] < metrics["segm"]["AP"]


@pytest.mark.shared_data
@pytest.mark.parametrize(
    "num_images", [25, pytest.param(100, marks=pytest.mark.slow)], ids=["a quarter", "all"]
)
def test_official_results_give_the_boundary_numbers_of_the_definition(
    shared_data: Path, oracle, twelve, num_images: int
) -> None:
    golden = shared_data / "golden"
    coco = json.loads((golden / "instances_val2014_100.json").read_text())
    results = json.loads((golden / "instances_val2014_fakesegm100_results.json").read_text())
    coco["images"] = coco["images"][:num_images]
    kept = {one["id"] for one in coco["images"]}
    coco["annotations"] = [one for one in coco["annotations"] if one["image_id"] in kept]
    results = [one for one in results if one["image_id"] in kept]
    numbers = evaluate(results, coco, kinds=("boundary",))["boundary"]
    expected = twelve(oracle(coco, results, "boundary", overlaps=_overlaps))
    np.testing.assert_allclose(list(numbers.values()), expected, rtol=0, atol=1e-12)
