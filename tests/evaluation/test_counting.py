from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from maskwright.evaluation.counting import count, count_overlaps
from maskwright.evaluation.objects import picture_groups
from maskwright.evaluation.prediction_sources import load_results
from maskwright.evaluation.predictions import read_predictions
from maskwright.evaluation.truth import load_truth, read_truth


def _encoded(segmentation, size: tuple[int, int]) -> dict:
    if isinstance(segmentation, list):
        return coco_mask.merge(coco_mask.frPyObjects(segmentation, *size))
    if isinstance(segmentation["counts"], list):
        return coco_mask.frPyObjects(segmentation, *size)
    return segmentation


def _own_overlaps(true, found, kind: str, limit: int):
    """IoU of boxes or masks by pycocotools, asked by picture and class."""
    groups = picture_groups(true.objects.images), picture_groups(found.images)

    def overlaps(picture: int, label: int) -> np.ndarray:
        left, right = (group.get(picture, np.zeros(0, int)) for group in groups)
        left = left[true.objects.labels[left] == label]
        right = right[found.labels[right] == label]
        right = right[np.argsort(-found.scores[right], kind="stable")][:limit]
        crowd = true.objects.is_crowd[left].astype(int).tolist()
        if kind == "bbox":
            return coco_mask.iou(found.boxes[right], true.objects.boxes[left], crowd)
        size = true.sizes[picture]
        masks = [_encoded(found.segmentations[row], size) for row in right]
        return coco_mask.iou(
            masks, [_encoded(true.objects.segmentations[row], size) for row in left], crowd
        )

    return overlaps


@pytest.mark.parametrize("kind", ["bbox", "segm"])
@pytest.mark.parametrize("limits", [(1, 10, 100), (2, 3, 250)], ids=str)
def test_both_libraries_agree_with_pycocotools(kind, limits, scene, oracle) -> None:
    coco, results = scene(21, num_images=12, most=12)
    true = read_truth(load_truth(coco), need_masks=False)
    found = read_predictions(load_results(results), true, need_masks=False)
    expected = oracle(coco, results, kind, limits)
    counts = count(kind, true, found, limits)
    other = count_overlaps(_own_overlaps(true, found, kind, limits[-1]), true, found, limits)
    for name in ("precision", "recall"):
        np.testing.assert_array_equal(getattr(counts, name), expected[name])
        np.testing.assert_allclose(getattr(other, name), expected[name], rtol=0, atol=3e-16)


@pytest.mark.parametrize("kind", ["bbox", "segm", "boundary"])
def test_limits_may_repeat(kind, scene) -> None:
    coco, results = scene(22)
    true = read_truth(load_truth(coco), need_masks=True)
    found = read_predictions(load_results(results), true, need_masks=True)
    counts = count(kind, true, found, (1, 4, 4))
    assert counts.precision.shape == (10, 101, 3, 4, 3)
    np.testing.assert_array_equal(counts.recall[..., 1], counts.recall[..., 2])


@pytest.mark.parametrize("kind", ["bbox", "segm", "boundary"])
@pytest.mark.parametrize("empty", ["truth", "predictions", "both"])
def test_nothing_counted_against_something_has_the_full_shape(kind, empty, scene) -> None:
    coco, results = scene(23)
    if empty in ("truth", "both"):
        coco = {**coco, "annotations": []}
    true = read_truth(load_truth(coco), need_masks=True)
    results = results if empty == "truth" else []
    found = read_predictions(load_results(results), true, need_masks=True)
    counts = count(kind, true, found, (1, 10, 100))
    assert counts.precision.shape == (10, 101, 3, 4, 3)
    assert counts.recall.shape == (10, 3, 4, 3)
    assert set(np.unique(counts.precision)) <= {-1, 0}
