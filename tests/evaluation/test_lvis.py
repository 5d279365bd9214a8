"""LVIS's numbers: hotcoco's, our own matching's and a float64 version of lvis-api's rules."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from maskwright.data import open_dataset
from maskwright.data.formats.table import format_named
from maskwright.errors import DataError
from maskwright.evaluation import Resampling, ScoringOptions, evaluate_families
from maskwright.evaluation.families import family_statistic
from maskwright.evaluation.inputs import Inputs
from maskwright.evaluation.lvis import frequency_buckets
from maskwright.evaluation.prediction_sources import load_results
from maskwright.evaluation.predictions import read_predictions
from maskwright.evaluation.truth import load_truth, read_truth

# pycocotools 2.0.11 decodes by an __array__ without the copy argument that NumPy 2 asks for.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

_QUICK = ScoringOptions(resampling=Resampling(num_replicates=30))


def _federated(coco, seed: int):
    """Give a scene LVIS's fields: one class of each frequency, lists that leave some out."""
    rng = np.random.default_rng(seed)
    annotations = [one for one in coco["annotations"] if not one["iscrowd"]]
    shown = {image["id"]: set() for image in coco["images"]}
    for one in annotations:
        shown[one["image_id"]].add(one["category_id"])
    images = []
    for image in coco["images"]:
        absent = [c for c in (3, 7, 8) if c not in shown[image["id"]]]
        partly = [c for c in sorted(shown[image["id"]]) if rng.random() < 0.4]
        images.append(
            image
            | {
                "neg_category_ids": [c for c in absent if rng.random() < 0.5],
                "not_exhaustive_category_ids": partly,
            }
        )
    frequency = {3: "r", 7: "c", 8: "f"}
    categories = [one | {"frequency": frequency[one["id"]]} for one in coco["categories"]]
    return {"images": images, "annotations": annotations, "categories": categories}


def _mask(segmentation, size):
    if isinstance(segmentation, list):
        segmentation = coco_mask.merge(coco_mask.frPyObjects(segmentation, *size))
    elif isinstance(segmentation["counts"], list):
        segmentation = coco_mask.frPyObjects(segmentation, *size)
    return coco_mask.decode(segmentation).astype(bool)


def _lvis_ap(coco, results, limit: int) -> dict[int, float]:
    """AP of every class over IoU 0.50 to 0.95, after lvis-api's eval.py, in plain NumPy."""
    images = {one["id"]: one for one in coco["images"]}
    shown = {(one["image_id"], one["category_id"]) for one in coco["annotations"]}
    kept = []
    for image in images:
        own = [one for one in results if one["image_id"] == image]
        kept += sorted(own, key=lambda one: one["score"], reverse=True)[:limit]
    aps = {}
    for category in sorted(one["id"] for one in coco["categories"]):
        scores, hits, ignored, total = [], [], [], 0
        for image_id in sorted(images):
            image = images[image_id]
            if (image_id, category) not in shown and category not in image["neg_category_ids"]:
                continue
            size = image["height"], image["width"]
            pick = [
                [o for o in group if (o["image_id"], o["category_id"]) == (image_id, category)]
                for group in (coco["annotations"], kept)
            ]
            true = [_mask(one["segmentation"], size) for one in pick[0]]
            found = sorted(pick[1], key=lambda one: one["score"], reverse=True)
            total += len(true)
            free = np.ones((10, len(true)), bool)
            for one in found:
                mask = _mask(one["segmentation"], size)
                ious = [(mask & t).sum() / max((mask | t).sum(), 1) for t in true]
                row = np.zeros(10, bool)
                for t, threshold in enumerate(np.linspace(0.5, 0.95, 10)):
                    best, chosen = min(threshold, 1 - 1e-10), -1
                    for g, iou in enumerate(ious):
                        if free[t, g] and iou >= best:
                            best, chosen = iou, g
                    if chosen >= 0:
                        free[t, chosen], row[t] = False, True
                scores.append(one["score"])
                hits.append(row)
                ignored.append(~row & (category in image["not_exhaustive_category_ids"]))
        if not total:
            aps[category] = -1.0
            continue
        order = np.argsort(-np.array(scores), kind="mergesort")
        hit = np.array(hits).reshape(-1, 10)[order]
        miss = ~hit & ~np.array(ignored).reshape(-1, 10)[order]
        values = []
        for t in range(10):
            tp, fp = np.cumsum(hit[:, t], dtype=float), np.cumsum(miss[:, t], dtype=float)
            recall, precision = tp / total, tp / (tp + fp + np.spacing(1))
            for level in np.linspace(0, 1, 101):
                reached = recall >= level
                values.append(precision[reached].max() if reached.any() else 0.0)
        aps[category] = float(np.mean(values))
    return aps


@pytest.mark.parametrize("limit", [300, 3])
@pytest.mark.parametrize("seed", range(3))
def test_apr_apc_and_apf_equal_the_definition(seed, limit, scene) -> None:
    coco, results = scene(200 + seed, num_images=12, most=8, small=True)
    coco = _federated(coco, seed)
    options = ScoringOptions(max_detections=limit, resampling=Resampling(num_replicates=5))
    found = evaluate_families(results, coco, ["lvis"], kinds=["segm"], options=options)["lvis"]
    expected = _lvis_ap(coco, results, limit)
    for name, category in (("r", 3), ("c", 7), ("f", 8)):
        assert found[f"mask AP{name}"] == pytest.approx(expected[category], abs=1e-12)
    known = [ap for ap in expected.values() if ap >= 0]
    assert found["mask AP"] == pytest.approx(np.mean(known), abs=1e-12)
    assert len(set(known)) == 3


@pytest.mark.parametrize("seed", range(3))
def test_our_matching_with_every_picture_once_equals_hotcocos_counts(seed, scene) -> None:
    coco, results = scene(210 + seed, num_images=12, most=8)
    coco = _federated(coco, seed)
    numbers = evaluate_families(results, coco, ["lvis"], options=_QUICK)["lvis"].numbers
    true = read_truth(load_truth(coco), need_masks=True)
    inputs = Inputs(true, read_predictions(load_results(results), true, need_masks=True))
    statistic = family_statistic("lvis", inputs, ["segm", "bbox"], _QUICK)
    got = statistic(np.ones((1, inputs.num_images), np.int64))
    assert {name for name in got if len(name) == 1} == {(name,) for name in numbers}
    for name, value in numbers.items():
        plain = -1.0 if np.isnan(got[name,][0]) else got[name,][0]
        assert plain == pytest.approx(value, rel=0, abs=1e-12), name


def test_without_lvis_fields_every_class_is_looked_for_and_it_is_said(scene) -> None:
    coco, results = scene(220, num_images=12)
    coco["annotations"] = [one for one in coco["annotations"] if not one["iscrowd"]]
    found = evaluate_families(results, coco, ["coco", "lvis"], options=_QUICK)
    assert found["lvis"]["mask AP"] == pytest.approx(found["coco"]["segm"]["AP"], abs=1e-12)
    assert found["lvis"]["mask APf"] == -1.0
    assert any("looked for" in note for note in found["lvis"].notes)
    true = read_truth(load_truth(coco), need_masks=False)
    assert sorted(chain(*frequency_buckets(true)[0].values())) == [0, 1, 2]


def test_no_predictions_and_no_truth_are_defined(scene) -> None:
    coco, results = scene(221)
    coco = _federated(coco, 0)
    nothing = evaluate_families([], coco, ["lvis"], kinds=["segm"], options=_QUICK)["lvis"]
    assert nothing["mask AP"] == 0.0
    empty = coco | {"annotations": []}
    undefined = evaluate_families(results, empty, ["lvis"], kinds=["segm"], options=_QUICK)["lvis"]
    assert undefined["mask AP"] == -1.0
    for one in (nothing, undefined):
        json.dumps(one.as_dict(), allow_nan=False)
        assert one.to_table().renderables


def test_lvis_fields_survive_reading_choosing_and_writing(scene, tmp_path: Path) -> None:
    from PIL import Image

    coco = _federated(scene(222, num_images=6)[0], 1)
    for one in coco["categories"]:
        one["synset"] = f"{one['name']}.n.01"
    (tmp_path / "in").mkdir()
    for image in coco["images"]:
        path = tmp_path / "in" / image["file_name"]
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (image["width"], image["height"])).save(path)
    (tmp_path / "in" / "lvis.json").write_text(json.dumps(coco))
    dataset = open_dataset(tmp_path / "in" / "lvis.json")
    part = dataset.subset([4, 1])
    expected = [coco["images"][4], coco["images"][1]]
    written = part.to_coco(federated=True)
    assert "frequency" not in part.to_coco()["categories"][0]
    for got, entry in zip(written["images"], expected, strict=True):
        for key in ("neg_category_ids", "not_exhaustive_category_ids"):
            assert sorted(got[key]) == sorted(entry[key])
    from maskwright.data.formats.export import ExportLog

    (tmp_path / "out").mkdir()
    format_named("lvis").write(part, tmp_path / "out", ExportLog())
    again = open_dataset(tmp_path / "out").to_coco(federated=True)
    assert again["categories"] == written["categories"]
    assert [one["frequency"] for one in again["categories"]] == ["r", "c", "f"]
    for got, entry in zip(again["images"], written["images"], strict=True):
        assert got["neg_category_ids"] == entry["neg_category_ids"]
        assert got["not_exhaustive_category_ids"] == entry["not_exhaustive_category_ids"]


@pytest.mark.parametrize("key", ["neg_category_ids", "not_exhaustive_category_ids"])
def test_a_list_that_names_an_unknown_class_is_refused(key, scene) -> None:
    coco = _federated(scene(223)[0], 0)
    coco["images"][0][key] = [99]
    with pytest.raises(DataError, match=f"{key} names 99"):
        evaluate_families([], coco, ["lvis"])
