"""Panoptic quality: hotcoco's, and a float64 version written from Kirillov et al. 2019."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hotcoco import COCO
from hotcoco.panoptic import PanopticEval
from pycocotools import mask as coco_mask

from maskwright.errors import EvaluationError
from maskwright.evaluation import Resampling, ScoringOptions, evaluate_families

# pycocotools 2.0.11 decodes by an __array__ without the copy argument that NumPy 2 asks for.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

_CLASSES = (3, 7, 8)


def _dense(one, size) -> np.ndarray:
    segmentation = one["segmentation"]
    if isinstance(segmentation, list):
        segmentation = coco_mask.merge(coco_mask.frPyObjects(segmentation, *size))
    elif isinstance(segmentation["counts"], list):
        segmentation = coco_mask.frPyObjects(segmentation, *size)
    return coco_mask.decode(segmentation).astype(bool)


def _painted(objects, size, order) -> list[np.ndarray]:
    """Masks of which each pixel is the last one's in the order of painting."""
    canvas = np.full(size, -1)
    for place in order:
        canvas[_dense(objects[place], size)] = place
    return [canvas == place for place in range(len(objects))]


def _segments(coco, results, image, threshold: float, rule: str):
    """True and found segments of a picture, none of which overlap."""
    size = image["height"], image["width"]
    true = [one for one in coco["annotations"] if one["image_id"] == image["id"]]
    found = [one for one in results if one["image_id"] == image["id"] and one["score"] >= threshold]
    areas = [[_dense(one, size).sum() for one in group] for group in (true, found)]
    true_order = sorted(range(len(true)), key=lambda i: (not true[i]["iscrowd"], -areas[0][i], i))
    if rule == "smaller":
        order = sorted(range(len(found)), key=lambda i: (-areas[1][i], i))
    else:
        order = sorted(range(len(found)), key=lambda i: (found[i]["score"], -i))
    return (true, _painted(true, size, true_order)), (found, _painted(found, size, order))


def _quality(coco, results, threshold: float, rule: str) -> dict[int, np.ndarray]:
    """IoU sum, TP, FP and FN of every class: the paper's section 4, step by step."""
    sums = {category: np.zeros(4) for category in _CLASSES}
    for image in coco["images"]:
        (true, true_masks), (found, masks) = _segments(coco, results, image, threshold, rule)
        real = [i for i, one in enumerate(true) if not one["iscrowd"] and true_masks[i].any()]
        matched_true, matched = set(), set()
        for i in real:
            for j, one in enumerate(found):
                if one["category_id"] != true[i]["category_id"] or not masks[j].any():
                    continue
                iou = (true_masks[i] & masks[j]).sum() / (true_masks[i] | masks[j]).sum()
                if iou > 0.5:
                    sums[one["category_id"]] += [iou, 1, 0, 0]
                    matched_true.add(i)
                    matched.add(j)
        for i in set(real) - matched_true:
            sums[true[i]["category_id"]][3] += 1
        for j in set(range(len(found))) - matched:
            category = found[j]["category_id"]
            crowd = sum(
                (true_masks[i] & masks[j]).sum()
                for i, one in enumerate(true)
                if one["iscrowd"] and one["category_id"] == category
            )
            if masks[j].any() and crowd <= 0.5 * masks[j].sum():
                sums[category][2] += 1
    return sums


def _score(results, coco, **options):
    options = ScoringOptions(resampling=Resampling(num_replicates=20), **options)
    return evaluate_families(results, coco, ["panoptic"], options=options)["panoptic"]


@pytest.mark.parametrize("rule", ["score", "smaller"])
@pytest.mark.parametrize("seed", range(4))
def test_pq_sq_and_rq_equal_the_definition(seed, rule, scene) -> None:
    coco, results = scene(300 + seed, num_images=24, most=8, small=True)
    found = _score(results, coco, score_threshold=0.3, overlap=rule)
    sums = _quality(coco, results, 0.3, rule)
    names = {one["id"]: one["name"] for one in coco["categories"]}
    table = found.tables["Per class, in %"]
    qualities = []
    for category, (iou, hits, false, missed) in sums.items():
        row = table[names[category]]
        assert (row["TP"], row["FP"], row["FN"]) == (hits, false, missed)
        sq, rq = iou / max(hits, 1), hits / (hits + false / 2 + missed / 2)
        assert row["SQ"] == pytest.approx(sq, abs=1e-12)
        assert row["RQ"] == pytest.approx(rq, abs=1e-12)
        assert row["PQ"] == pytest.approx(sq * rq, abs=1e-12)
        qualities.append((sq * rq, sq, rq))
    for name, value in zip(("PQ", "SQ", "RQ"), np.mean(qualities, axis=0), strict=True):
        assert found[name] == pytest.approx(value, abs=1e-12)
    assert sum(one[1] for one in sums.values()) > 5


@pytest.mark.parametrize("seed", range(4))
def test_pq_equals_hotcocos_where_background_is_a_segment_and_no_void(seed, scene, as_rle) -> None:
    coco, results = scene(310 + seed, num_images=8, most=8, small=True)
    coco["annotations"] = [one for one in coco["annotations"] if not one["iscrowd"]]
    sides = ([], [])
    for image in coco["images"]:
        for side, (objects, masks) in zip(
            sides, _segments(coco, results, image, 0.3, "score"), strict=True
        ):
            background = np.ones((image["height"], image["width"]), bool)
            for one, mask in zip(objects, masks, strict=True):
                background &= ~mask
                side.append((image["id"], one["category_id"], mask))
            side.append((image["id"], 1000, background))
    true, found = (
        [
            {
                "id": number,
                "image_id": image_id,
                "category_id": category,
                "segmentation": as_rle(mask),
                "area": float(mask.sum()),
                "bbox": coco_mask.toBbox(as_rle(mask)).tolist(),
                "iscrowd": 0,
                "score": 1.0,
            }
            for number, (image_id, category, mask) in enumerate(side, start=1)
            if mask.any()
        ]
        for side in sides
    )
    classes = [one | {"isthing": 1} for one in coco["categories"]]
    classes.append({"id": 1000, "name": "background", "isthing": 0})
    truth = COCO({"images": coco["images"], "annotations": true, "categories": classes})
    evaluator = PanopticEval(truth, truth.load_res(found))
    evaluator.evaluate()
    expected = evaluator.results()["per_class"]
    table = _score(results, coco, score_threshold=0.3).tables["Per class, in %"]
    for one in coco["categories"]:
        row, other = table[one["name"]], expected[one["id"]]
        assert (row["TP"], row["FP"], row["FN"]) == (other["tp"], other["fp"], other["fn"])
        for name in ("PQ", "SQ", "RQ"):
            assert row[name] == pytest.approx(other[name.lower()], abs=1e-12)


def test_nothing_on_one_side_or_both_is_defined_and_never_nan(scene) -> None:
    coco, results = scene(320)
    coco["annotations"] = [one for one in coco["annotations"] if not one["iscrowd"]]
    no_truth = coco | {"annotations": []}
    for truth, found, expected in (
        (coco, [], 0.0),
        (no_truth, results, 0.0),
        (no_truth, [], -1.0),
        (no_truth | {"images": []}, [], -1.0),
    ):
        metrics = _score(found, truth)
        assert metrics["PQ"] == expected
        json.dumps(metrics.as_dict(), allow_nan=False)
        assert metrics.to_table().renderables


def test_the_rule_for_shared_pixels_is_said_and_checked(scene) -> None:
    coco, results = scene(321)
    assert "the surer object's" in _score(results, coco).notes[-1]
    assert "the smaller object's" in _score(results, coco, overlap="smaller").notes[-1]
    with pytest.raises(EvaluationError, match='must be "score" or "smaller"'):
        _score(results, coco, overlap="larger")
